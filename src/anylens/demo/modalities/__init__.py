"""The modalities, in the order in which they are listed. A new one is a file with one value, and its row here."""

from anylens.demo.modalities.diffusion import DIFFUSION
from anylens.demo.modalities.gan import GAN
from anylens.demo.modalities.music import MUSIC
from anylens.demo.modalities.speech import SPEECH
from anylens.demo.modalities.state_space import STATE_SPACE
from anylens.demo.modalities.text import TEXT
from anylens.demo.modalities.vae import VAE
from anylens.demo.modalities.vision import VISION
from anylens.demo.modality import Modality

ALL: tuple[Modality, ...] = (VISION, SPEECH, MUSIC, TEXT, STATE_SPACE, DIFFUSION, VAE, GAN)
MODALITIES = {one.name: one for one in ALL}
