"""The codec of `melodies-musicgen`: an EnCodec that learns to say a melody in codes, four every 20 ms.

transformers has EnCodec's forward only: what follows adds what training takes. The codec learns without codebooks
first, so that there is something to quantise; then k-means over its frames lays the codebooks out, and from there on
each code follows the running mean of the frames that choose it, as in EnCodec itself. A code that nobody chooses takes
the place of a frame of the batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.worlds.instruments import RATE
from anylens.zoo.worlds.melodies import TONICS, MelodiesBatch, sample

if TYPE_CHECKING:
    from transformers import EncodecModel

BATCH = 8
PART = RATE
"""Samples of the part of each melody that a step of the training takes."""

CODEBOOKS, CODES = 4, 128
HOP = 80
"""Samples of a frame, 20 ms."""

FREE = 0.15
"""Of the steps, the first ones that do without codebooks."""

MORE, AFTER = 2.0, 0.48
"""Steps of the codec for each one of the decoder: at first, and then on notes that few melodies have."""

LEARNING_RATE, AFTER_RATE = 8e-3, 5e-3
RARE = (TONICS[0], TONICS[0], TONICS[1], TONICS[-1])
"""Tonics of the melodies with the lowest and the highest notes, which stay silent for long if they come by chance."""

DECAY = 0.98
"""Of the running means of the codebooks."""

UNUSED = 0.02
"""A code whose running count falls below this is put elsewhere."""

COMMITMENT = 0.25
"""Weight of how far frames are from their codes."""

WINDOWS = (128, 512)
"""Of the spectrograms that are compared, in samples."""

POWER = 0.02
"""Mean square of the melodies, about."""


def untrained() -> EncodecModel:
    """The codec before its training: 50 frames a second, each of four codes of 7 bits."""
    from transformers import EncodecConfig, EncodecModel

    bits = CODES.bit_length() - 1
    model = EncodecModel(
        EncodecConfig(
            target_bandwidths=[CODEBOOKS * bits * (RATE // HOP) / 1000],
            sampling_rate=RATE,
            audio_channels=1,
            hidden_size=32,
            num_filters=16,
            upsampling_ratios=[8, 10],
            num_lstm_layers=1,
            codebook_size=CODES,
            codebook_dim=32,
            use_causal_conv=False,
            pad_mode="constant",
        )
    )
    _make_ready(model)
    return model


@torch.no_grad()
def _make_ready(model: Any) -> None:
    """Let every convolution keep the size of what it is given, and the last begin with a whisper.

    As transformers leaves them, sounds fade on their way in and little is learnt for a long time.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            overlap = module.stride[0] if isinstance(module, nn.ConvTranspose1d) else 1
            heard = module.in_channels * module.kernel_size[0] / overlap
            module.weight = torch.randn_like(module.weight) / heard**0.5
            assert module.bias is not None
            module.bias.zero_()
    last = model.decoder.layers[-1].conv
    last.weight = 0.03 * last.weight


def train(plan: Plan) -> tuple[EncodecModel, float]:
    """The trained codec, and the seconds that its training took."""
    torch.manual_seed(plan.seed)
    model = untrained()
    steps, after = round(MORE * plan.steps), max(1, round(AFTER * plan.steps))
    free = round(FREE * steps)

    def part_of(step: int) -> Tensor:
        return _part(sample(BATCH, seed=batch_seed(plan.seed, step), split="train"))

    def loss_at(step: int) -> Tensor:
        waveform = part_of(step)
        if step == free:
            lay_out(model, torch.cat([part_of(steps + number) for number in range(32)]))
        return loss_of(model, waveform, free=step < free)

    def loss_after(step: int) -> Tensor:
        batch = sample(BATCH, seed=batch_seed(plan.seed, steps + 32 + step), split="train")
        return loss_of(model, _part(rarer(batch)))

    fast = replace(plan, steps=steps, learning_rate=LEARNING_RATE, betas=(0.8, 0.99), weight_decay=0.0)
    seconds = fit(model, loss_at, fast).seconds
    last = replace(fast, steps=after, learning_rate=AFTER_RATE, warmup=min(50, after // 10))
    return model, seconds + fit(model, loss_after, last).seconds


def rarer(batch: MelodiesBatch) -> MelodiesBatch:
    """Melodies of which every second is moved to one of the tonics with the rarest notes."""
    moved = torch.randint(len(RARE), (len(batch.melodies),)).tolist()
    return MelodiesBatch.of(
        replace(melody, tonic=RARE[moved[place]]) if place % 2 else melody
        for place, melody in enumerate(batch.melodies)
    )


def _part(batch: MelodiesBatch) -> Tensor:
    """The same part of each sound, from anywhere: [n, 1, PART]."""
    first = int(torch.randint(batch.waveform.shape[-1] - PART + 1, ()))
    return batch.waveform[:, None, first : first + PART]


def loss_of(model: Any, waveform: Tensor, *, free: bool = False) -> Tensor:
    """How far the codec's sounds are from these, [n, 1, samples], and its frames from their codes, if not free."""
    said, commitment = model.encoder(waveform), waveform.new_zeros(())
    if not free:
        said, commitment = quantise(model.quantizer, said)
    return difference(model.decoder(said), waveform) + COMMITMENT * commitment


# -- codebooks ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def lay_out(model: Any, waveform: Tensor) -> None:
    """Put the codebooks where the frames of these sounds, [n, 1, samples], are: by k-means, one after the other."""
    left = model.encoder(waveform).transpose(1, 2).flatten(0, 1)
    share = BATCH * PART / HOP / len(left)
    for layer in model.quantizer.layers:
        codebook = layer.codebook
        means, counts = k_means(left, codebook.codebook_size)
        codebook.cluster_size.copy_((counts * share).clamp_min(0.5))
        codebook.embed_avg.copy_(means * codebook.cluster_size[:, None])
        codebook.embed.copy_(means)
        left = left - codebook.decode(codebook.encode(left))


def k_means(points: Tensor, count: int, *, rounds: int = 10) -> tuple[Tensor, Tensor]:
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


def quantise(quantizer: Any, embedded: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest codes' sum, with the gradient passed straight through, and how far the frames are from their codes.

    embedded: [batch, channels, frames]. In training the codebooks move towards what chose them.
    """
    residual, commitment = embedded, embedded.new_zeros(())
    for layer in quantizer.layers:
        codes = layer.encode(residual.detach())
        chosen = layer.decode(codes)
        if quantizer.training:
            follow(layer.codebook, residual.detach().transpose(1, 2).flatten(0, 1), codes.flatten())
        commitment = commitment + (residual - chosen).square().mean()
        residual = residual - chosen
    return embedded - residual.detach(), commitment


@torch.no_grad()
def follow(codebook: Any, frames: Tensor, codes: Tensor) -> None:
    """Move a codebook's running means towards the frames, [n, channels], that chose its codes, [n]."""
    counts, sums = _gathered(frames, codes, codebook.codebook_size)
    codebook.cluster_size.lerp_(counts, 1 - DECAY)
    codebook.embed_avg.lerp_(sums, 1 - DECAY)
    unused = codebook.cluster_size < UNUSED
    codebook.embed_avg[unused] = frames[torch.randint(len(frames), (int(unused.sum()),))]
    codebook.cluster_size[unused] = 1.0
    codebook.embed.copy_(codebook.embed_avg / codebook.cluster_size[:, None])


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
