"""Trains `melodies-musicgen`: MusicGen, made small, that plays the melody a caption asks for.

Run `python -m anylens.zoo.train.melodies_musicgen`. First the codec learns to say melodies in codes, then text encoder
and decoder learn together to write the codes of a caption's melody.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo.codes import before, delayed
from anylens.zoo.train import melodies_codec
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.melodies_codec import CODEBOOKS, CODES, HOP
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.instruments import RATE
from anylens.zoo.worlds.melodies import FACTORS, SAMPLES, WORDINGS, MelodiesBatch, sample

if TYPE_CHECKING:
    from transformers import MusicgenForConditionalGeneration, MusicgenProcessor

BATCH = 8
FRAMES = SAMPLES // HOP
LONGEST = FRAMES + CODEBOOKS
"""Positions of a whole melody: each codebook starts one later than the one before, all after a start."""

WORDS = 10
"""Tokens of the longest caption, with the one that ends it."""

POOL, PART = 16_384, 1024
"""How many melodies are put into codes before the training, which takes each several times; and how many at once."""

BEGINNING, COUNTS = (-1, 0, 1), 6.0
"""Frames where a note begins, counted from its first, and how much more their codes count: they choose the note."""

UNCONDITIONAL = 0.1
"""How often the caption is left out, so that guidance has something to lead away from."""


def words() -> list[str]:
    """Every word and comma of the captions, each once."""
    values = [value for values in FACTORS.values() for value in values]
    plain = [word for wording in WORDINGS for word in re.findall(r"[a-z]+|,", re.sub(r"{\w+}", "", wording))]
    return sorted({*values, *plain})


def processor() -> MusicgenProcessor:
    """Captions to tokens, one for each word, and sound as it is."""
    from transformers import EncodecFeatureExtractor, MusicgenProcessor, T5Tokenizer

    # a comma stands behind its word without a blank
    known = [f"▁{word}" if word != "," else word for word in words()]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *((token, -1.0) for token in known)]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=WORDS)
    return MusicgenProcessor(EncodecFeatureExtractor(feature_size=1, sampling_rate=RATE), tokenizer)


def untrained(codec: Any, tokenizer: Any) -> MusicgenForConditionalGeneration:
    """The model with a trained codec, before its own training."""
    from transformers import (
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForCausalLM,
        MusicgenForConditionalGeneration,
        T5Config,
        T5EncoderModel,
    )

    text = T5Config(
        vocab_size=len(tokenizer), d_model=64, d_kv=16, d_ff=128, num_layers=1, num_heads=4, dropout_rate=0.0
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=CODES,
        max_position_embeddings=LONGEST,
        num_hidden_layers=4,
        ffn_dim=320,
        num_attention_heads=4,
        hidden_size=128,
        num_codebooks=CODEBOOKS,
        dropout=0.0,
        initializer_factor=0.06,  # the usual 0.02 suits wider models
        pad_token_id=CODES,
        bos_token_id=CODES,
        eos_token_id=None,
    )
    config = MusicgenConfig(text_encoder=text, audio_encoder=codec.config, decoder=decoder)
    model = MusicgenForConditionalGeneration(
        config=config,
        text_encoder=T5EncoderModel(text),
        audio_encoder=codec,
        decoder=MusicgenForCausalLM(decoder),
    )
    settings = model.generation_config
    settings.decoder_start_token_id = settings.bos_token_id = settings.pad_token_id = CODES
    settings.max_length, settings.max_new_tokens = None, LONGEST - 1  # behind the start
    settings.do_sample = False  # the likeliest codes follow captions best, and guidance leads notes astray
    settings.guidance_scale = 1.0
    return model


@dataclass(frozen=True)
class Written:
    """Melodies as the decoder is to write them: tokens of captions, their mask, and delayed codes.

    codes: [n, codebooks, positions]. counts: how much each counts in the training.
    """

    input_ids: Tensor
    attention_mask: Tensor
    codes: Tensor
    counts: Tensor

    def at(self, rows: Tensor) -> Written:
        """Some of them."""
        return Written(self.input_ids[rows], self.attention_mask[rows], self.codes[rows], self.counts[rows])


def written(batch: MelodiesBatch, *, codec: Any, tokenizer: Any) -> Written:
    """What the tokenizer makes of the captions, and what the codec makes of the sounds."""
    told = tokenizer(batch.captions, padding="max_length", max_length=WORDS, return_tensors="pt")
    with torch.no_grad():
        codes = [codec.encode(part[:, None]).audio_codes[0] for part in batch.waveform.split(64)]
    counts = delayed(counted(batch)[:, None].expand(-1, CODEBOOKS, -1), empty=0.0)
    return Written(told.input_ids, told.attention_mask, delayed(torch.cat(codes), empty=CODES), counts)


def counted(batch: MelodiesBatch) -> Tensor:
    """How much each frame counts in the training: more where a note begins; [n, FRAMES]."""
    found = torch.ones(len(batch.melodies), FRAMES)
    for row, melody in zip(found, batch.melodies, strict=True):
        for note in melody.notes:
            first = round(note.start * RATE / HOP)
            row[[first + after for after in BEGINNING if first + after >= 0]] = COUNTS
    return found


def loss_of(model: Any, given: Written, *, heard: Tensor | None = None) -> Tensor:
    """Mean nats per code of the melodies, given their captions, each code as much as it counts.

    heard: whether the decoder gets to know the caption, [n]; where not, it has what guidance leads away from.
    """
    mask = given.attention_mask
    words = model.text_encoder(input_ids=given.input_ids, attention_mask=mask).last_hidden_state
    said = model(
        encoder_outputs=(words,),
        attention_mask=mask if heard is None else mask * heard[:, None],
        decoder_input_ids=before(given.codes, start=CODES),
    ).logits
    wanted, counts = given.codes.flatten(0, 1), given.counts.flatten(0, 1)
    there = wanted != CODES
    nats = torch.nn.functional.cross_entropy(said[there], wanted[there], reduction="none")
    return (nats * counts[there]).sum() / counts[there].sum()


def pooled(plan: Plan, *, codec: Any, tokenizer: Any) -> Written:
    """The melodies that the decoder learns from."""
    parts = [
        written(sample(PART, seed=batch_seed(plan.seed, part)), codec=codec, tokenizer=tokenizer)
        for part in range(POOL // PART)
    ]
    return Written(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Written)))


def train(plan: Plan) -> Trained:
    """The trained model with its processor."""
    codec, seconds = melodies_codec.train(plan)
    torch.manual_seed(plan.seed)
    made = processor()
    model = untrained(codec.requires_grad_(False), made.tokenizer)
    started = time.process_time()
    pool = pooled(plan, codec=codec, tokenizer=made.tokenizer)

    def loss_at(step: int) -> Tensor:
        rows, chance = torch.randint(POOL, (BATCH,)), torch.rand(BATCH)
        return loss_of(model, pool.at(rows), heard=chance >= UNCONDITIONAL)

    seconds += time.process_time() - started
    seconds += fit(model, loss_at, plan).seconds
    facts = {"codec_batch": melodies_codec.BATCH, "codec_learning_rate": melodies_codec.LEARNING_RATE}
    return Trained(model=model, seconds=seconds, settings=(made,), facts=facts)


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps of the decoder."""
    return Plan(steps=steps, seed=seed, learning_rate=2e-3, warmup=min(100, steps // 10))


SCRIPT = Script(name="melodies-musicgen", steps=12_000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
