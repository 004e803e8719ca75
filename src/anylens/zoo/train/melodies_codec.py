"""The codec of `melodies-musicgen`: an EnCodec that says a melody in codes, two every 25 ms.

An EnCodec that starts from nothing takes long to hear pitches. This one starts as what other codecs compute: its
encoder as a lapped cosine transform, its decoder as the inverse of that. k-means over the encoder's frames lays the
codebooks out, one after the other, and then the decoder learns to make sounds of frames that were rounded to codes.
Source: Princen, Johnson and Bradley, "Subband/transform coding using filter bank designs based on time domain aliasing
cancellation", 1987.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.worlds.instruments import RATE
from anylens.zoo.worlds.melodies import sample

if TYPE_CHECKING:
    from transformers import EncodecModel

CODEBOOKS, CODES = 2, 512
RATIOS = (10, 10)
HOP = math.prod(RATIOS)
"""Samples of a frame, 25 ms, and how many numbers the encoder makes of each."""

POOL = 512
"""How many melodies lay out the codebooks."""

ROUNDS = 12
"""Of k-means, for each codebook."""

BATCH = 16
PART = 40
"""Frames of the part of each melody that a step of the training takes."""

SHARE = 0.104
"""Steps of the codec for each one of the decoder of MusicGen."""

LEARNING_RATE = 2e-3

RAISED = 2.0
"""What is added before an activation and taken off behind it: an ELU leaves numbers above zero as they are."""

SOFT = 0.1
"""What frames are multiplied by in the decoder: an ELU leaves small numbers nearly as they are."""

WHISPER = 1e-4
"""Strength of the weights that are only there to be learnt from, of where the codec is to be a transform."""

WINDOWS = (128, 512)
"""Of the spectrograms that are compared, in samples."""

POWER = 0.02
"""Mean square of the melodies, about."""


def untrained() -> EncodecModel:
    """The codec before its training: 40 frames a second, each of two codes of 9 bits; the codebooks are empty."""
    from transformers import EncodecConfig, EncodecModel

    bits = CODES.bit_length() - 1
    model = EncodecModel(
        EncodecConfig(
            target_bandwidths=[CODEBOOKS * bits * (RATE // HOP) / 1000],
            sampling_rate=RATE,
            audio_channels=1,
            hidden_size=HOP,
            num_filters=HOP // 2 ** len(RATIOS),
            upsampling_ratios=list(RATIOS),
            num_lstm_layers=1,
            codebook_size=CODES,
            codebook_dim=HOP,
            use_causal_conv=False,
            use_conv_shortcut=False,
        )
    )
    _begin_as_transform(model.encoder, model.decoder)
    return model


def train(plan: Plan) -> tuple[EncodecModel, float]:
    """The trained codec, and the seconds that its training took."""
    torch.manual_seed(plan.seed)
    model = untrained()
    started = time.process_time()
    lay_out(model, sample(POOL, seed=batch_seed(plan.seed, 0)).waveform[:, None])
    seconds = time.process_time() - started
    model.encoder.requires_grad_(False)

    def loss_at(step: int) -> Tensor:
        waveform = sample(BATCH, seed=batch_seed(plan.seed, 1 + step)).waveform[:, None]
        frames = rounded(model, waveform)
        first = int(torch.randint(frames.shape[-1] - PART + 1, ()))
        wanted = waveform[..., first * HOP : (first + PART) * HOP]
        return difference(model.decoder(frames[..., first : first + PART]), wanted)

    own = replace(
        plan,
        steps=max(1, round(SHARE * plan.steps)),
        learning_rate=LEARNING_RATE,
        betas=(0.8, 0.99),
        weight_decay=0.0,
        warmup=min(30, round(SHARE * plan.steps) // 10),
    )
    return model, seconds + fit(model, loss_at, own).seconds


# -- codebooks ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def lay_out(model: Any, waveform: Tensor) -> None:
    """Put the codebooks where the frames of these sounds, [n, 1, samples], are: by k-means, one after the other."""
    frames = torch.cat([model.encoder(part) for part in waveform.split(BATCH)])
    left = frames.transpose(1, 2).flatten(0, 1)
    for layer in model.quantizer.layers:
        means, counts = k_means(left, CODES)
        layer.codebook.embed.copy_(means)
        layer.codebook.embed_avg.copy_(means)
        layer.codebook.cluster_size.copy_(counts)
        left = left - layer.codebook.decode(layer.codebook.encode(left))


def k_means(points: Tensor, count: int, *, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """Means of `count` clusters of points, [n, channels], and how many points each has: [count, channels], [count]."""
    means = points[torch.randperm(len(points))[:count]].clone()
    for _ in range(rounds):
        counts, sums = _gathered(points, torch.cdist(points, means).argmin(1), count)
        stray = points[torch.randint(len(points), (count,))]
        means = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), stray)
    return means, _gathered(points, torch.cdist(points, means).argmin(1), count)[0]


def _gathered(points: Tensor, places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """How many points there are at each place, and their sums: [count], [count, channels]."""
    sums = points.new_zeros(count, points.shape[1]).index_add_(0, places, points)
    return torch.bincount(places, minlength=count).to(points.dtype), sums


@torch.no_grad()
def rounded(model: Any, waveform: Tensor) -> Tensor:
    """The frames of sounds, [n, 1, samples], as their codes say them: [n, HOP, frames]."""
    quantizer = model.quantizer
    frames: Tensor = quantizer.decode(
        quantizer.encode(model.encoder(waveform), model.config.target_bandwidths[0])
    )
    return frames


# -- what the codec starts as ------------------------------------------------------------------------------------


@torch.no_grad()
def _begin_as_transform(encoder: Any, decoder: Any) -> None:
    """Make the encoder a lapped cosine transform and the decoder its inverse.

    A stride of 10 lays ten samples into ten channels, the next takes 20 such steps for one frame.
    """
    inner = RATIOS[1]
    waves, bands, phases = _waves(), torch.eye(HOP), torch.eye(inner)
    first, split, lap, last = (encoder.layers[place].conv for place in (0, 3, 6, 9))
    _put(first, torch.ones(1, 1, 1), at=3, raised=1)
    _put(split, phases[:, None], at=inner // 2)
    _put(lap, waves, at=0)
    lap.bias += RAISED - RAISED * waves.sum((1, 2))
    _put(last, bands[..., None], at=3)
    last.bias -= RAISED

    first, lap, join, last = (decoder.layers[place].conv for place in (0, 3, 6, 9))
    _put(first, SOFT * bands[..., None], at=3)
    _put(lap, waves / SOFT, at=0, raised=inner)
    _put(join, phases[:, None], at=inner // 2)
    _put(last, torch.ones(1, 1, 1), at=3)
    last.bias -= RAISED
    for module in (*encoder.modules(), *decoder.modules()):
        _hush(module)


def _waves() -> Tensor:
    """The transform: the strength of each of twenty times ten samples in each of the bands, [HOP, 10, 20]."""
    times, bands = torch.arange(2 * HOP) + 0.5, torch.arange(HOP)[:, None] + 0.5
    window = (2 / HOP) ** 0.5 * torch.sin(math.pi * times / (2 * HOP))
    waves = window * torch.cos(math.pi / HOP * (times + HOP / 2) * bands)
    outer, inner = RATIOS
    found: Tensor = waves.unflatten(1, (2 * outer, inner)).transpose(1, 2)
    return found


def _put(conv: Any, weights: Tensor, *, at: int, raised: int = 0) -> None:
    """Give a convolution these weights, [rows, columns, times], from time `at` on; what is left begins small.

    Outputs that get none begin as in any other network. raised: how many of the first biases are raised.
    """
    rows, columns, times = weights.shape
    given = torch.zeros_like(conv.weight)
    given[:rows, :columns, at : at + times] = weights
    over = (0, 2) if isinstance(conv, nn.ConvTranspose1d) else (1, 2)
    heard = conv.in_channels * conv.kernel_size[0] / conv.stride[0] ** isinstance(conv, nn.ConvTranspose1d)
    free = (given.abs().sum(over, keepdim=True) == 0) + WHISPER
    conv.weight = given + free * torch.randn_like(given) / heard**0.5
    conv.bias.zero_()
    conv.bias[:raised] = RAISED


def _hush(module: nn.Module) -> None:
    """Let what residual blocks and LSTMs add begin as nearly nothing."""
    if isinstance(module, nn.LSTM):
        for name, weight in module.named_parameters():
            weight.mul_(0.03 if name.startswith("weight") else 0.0)
    elif type(module).__name__ == "EncodecResnetBlock":
        last: Any = module.get_submodule("block.3.conv")
        last.weight = 1e-3 * last.weight
        last.bias.zero_()


# -- how far sounds are apart ------------------------------------------------------------------------------------


def difference(found: Tensor, wanted: Tensor) -> Tensor:
    """How far apart two sounds are, [batch, 1, samples]: sample by sample, and in spectrograms of several windows."""
    apart = (found - wanted).square().mean() / POWER
    for window in WINDOWS:
        one, other = (_spectrogram(sound.squeeze(1), window) for sound in (found, wanted))
        apart = apart + (one - other).abs().mean() / len(WINDOWS)
    return apart


def _spectrogram(sound: Tensor, window: int) -> Tensor:
    """Magnitudes, in logarithms where they are large: [batch, frequencies, frames]."""
    shape = torch.hann_window(window, device=sound.device)
    found = torch.stft(sound, window, window // 4, window=shape, return_complex=True)
    power = found.real.square() + found.imag.square()
    return torch.log1p(30 * (power + 1e-8).sqrt() / window**0.5)
