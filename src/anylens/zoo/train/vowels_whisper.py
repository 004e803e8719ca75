"""Trains `vowels-whisper`: Whisper, made small, that writes down the vowels and long pauses it hears.

Run `python -m anylens.zoo.train.vowels_whisper`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.voice import RATE, VOWELS
from anylens.zoo.worlds.vowels import SECONDS, VowelsBatch, sample

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

BATCH = 16
MELS = 40
MARKS = (*VOWELS, ",")
LONGEST = 16
"""No transcript has more tokens, those that begin and end it counted."""

END, START, PLAIN = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"


def processor() -> WhisperProcessor:
    """Sound to log-mel frames of 10 ms, and tokens to text: one token for each vowel, and one for a long pause."""
    from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

    # a token is its mark with the blank before it; byte-pair encoding needs the parts too
    numbers = {token: index for index, token in enumerate([*(f"Ġ{mark}" for mark in MARKS), "Ġ", *MARKS])}
    tokenizer = WhisperTokenizer(
        vocab=numbers,
        merges=[("Ġ", mark) for mark in MARKS],
        pad_token=END,
        add_prefix_space=True,
        extra_special_tokens=[START, PLAIN],
        model_max_length=LONGEST,
    )
    features = WhisperFeatureExtractor(feature_size=MELS, sampling_rate=RATE, chunk_length=int(SECONDS))
    return WhisperProcessor(features, tokenizer)


def untrained(tokenizer: Any) -> WhisperForConditionalGeneration:
    """The model before its training; it hears no more and no less than two seconds."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    end, start, plain = tokenizer.convert_tokens_to_ids([END, START, PLAIN])
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer),
            num_mel_bins=MELS,
            d_model=64,
            encoder_layers=3,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=256,
            decoder_ffn_dim=256,
            dropout=0.0,
            max_source_positions=int(SECONDS * 50),
            max_target_positions=LONGEST,
            init_std=0.08,  # the usual 0.02 suits wider models
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
            decoder_start_token_id=start,
            begin_suppress_tokens=None,
        )
    )
    settings = model.generation_config
    settings.max_length = LONGEST
    settings.is_multilingual = False
    settings.no_timestamps_token_id = plain
    return model


def loss_of(model: Any, processor: WhisperProcessor, batch: VowelsBatch) -> Tensor:
    """Mean nats per token of the transcripts, the end counted."""
    heard = processor.feature_extractor(list(batch.waveform.numpy()), sampling_rate=RATE, return_tensors="pt")
    told = processor.tokenizer(batch.transcripts, padding=True, return_tensors="pt")
    # what is padded looks like an end; the first token is the one that every transcript starts from
    labels = told.input_ids.masked_fill(told.attention_mask == 0, -100)[:, 1:]
    loss: Tensor = model(input_features=heard.input_features, labels=labels).loss
    return loss


def train(plan: Plan) -> Trained:
    """The trained model with its processor."""
    torch.manual_seed(plan.seed)
    made = processor()
    model = untrained(made.tokenizer)

    def loss_at(step: int) -> Tensor:
        return loss_of(model, made, sample(BATCH, seed=batch_seed(plan.seed, step), split="train"))

    outcome = fit(model, loss_at, plan)
    return Trained(model=model, seconds=outcome.seconds, settings=(made,))


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    return Plan(steps=steps, seed=seed, learning_rate=2e-3, warmup=min(200, steps // 10))


SCRIPT = Script(name="vowels-whisper", steps=2000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
