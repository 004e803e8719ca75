"""Players of melodies: an ear names the instrument, and the pitches of the notes say the scale."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from anylens.tasks.inputs import Given, Inputs
from anylens.tasks.task import Factors, Task, index_of
from anylens.zoo.feeding import Samples
from anylens.zoo.measure.ear import InstrumentEar, scale_of
from anylens.zoo.worlds.melodies import FACTORS, POSITION_FACTORS, SAMPLES

NOTHING = -100
"""A label that counts for nothing."""

ASKED = ("input_ids", "attention_mask")
"""Arguments that hold the caption."""


class Melodies(Task):
    """Plays what a caption asks for, code by code."""

    values: ClassVar[Mapping[str, tuple[str, ...]]] = {**POSITION_FACTORS, **FACTORS}
    size = 32

    def added(self, samples: Samples, number: int, given: Given) -> Given:
        """Return the codes to be written, for the loss: those that the decoder is given one position later."""
        codes = given["decoder_input_ids"].unflatten(0, (len(given["input_ids"]), -1))
        return {"labels": pad(codes[..., 1:], (0, 1), value=NOTHING).transpose(1, 2)}

    def truth(self, inputs: Any, number: int) -> Factors:
        """Return what whole melodies are, `[n]`, and what each position holds of the one it writes, `[n, position]`."""
        batch = inputs.truth(number)
        return {**batch.positions(hop=self.net.config.audio_encoder.hop_length), **batch.factors}

    def trials(self, samples: int, *, seed: int) -> Inputs:
        """Return captions, with the melodies that they ask for."""
        found = Samples(self.model, samples, batch=self.size, seed=seed, split="held_out")
        return Inputs(found, lambda drawn, number, given: {"melodies": drawn.truth(number).melodies})

    @cached_property
    def ear(self) -> InstrumentEar:
        """The judge of instruments."""
        return InstrumentEar.trained()

    @torch.no_grad()
    def played(self, given: Any) -> Tensor:
        """Return what the model plays to captions, `[n, time]`."""
        sound: Tensor = self.net.generate(**{name: given[name] for name in ASKED})
        return sound[:, 0, :SAMPLES]

    @torch.no_grad()
    def heard(self, sounds: Tensor, given: Any) -> Factors:
        """Return the instrument and the scale that are heard; a scale only where the notes are near to one."""
        scales = [scale_of(one, melody) for one, melody in zip(sounds, given["melodies"], strict=True)]
        return {"instrument": self.ear(sounds).argmax(-1), "scale": index_of(FACTORS["scale"], scales)}

    def shown(self, given: Any) -> Factors:
        return self.heard(self.played(given), given)

    def loss(self, output: Any, given: Any) -> Tensor:
        loss: Tensor = output.loss
        return loss
