"""Text: decoders, encoders, and encoders with a decoder, of transformers."""

import inspect
from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.layouts import Tokens
from anylens.families.sizes import first, free, numbers, text_settings, tokens

DECODERS = tuple(
    """apertus arcee biogpt bloom codegen cohere cohere2 ctrl falcon gemma gemma2 gemma3_text gpt2 gpt_bigcode
    gpt_neo gpt_neox gptj granite llama llama4_text mistral mpt nemotron olmo olmo2 openai-gpt opt phi phi3
    qwen2 qwen3 smollm3 stablelm starcoder2 xglm""".split()
)
ENCODERS = tuple(
    """albert bert camembert clip_text_model deberta-v2 distilbert electra ernie eurobert modernbert mpnet nomic_bert
    rembert roberta siglip_text_model xlm-roberta""".split()
)
ENCODER_DECODERS = tuple("bart fsmt m2m_100 marian mbart mt5 pegasus t5 umt5".split())

BATCHES = (2, 3, 5)
POSITIONS = (7, 9, 11, 13)
TARGETS = (5, 6, 8)  # positions of a decoder that has an encoder
CHOICES = 3


def example(model: nn.Module) -> dict[str, torch.Tensor]:
    """Build a few sequences of ordinary tokens."""
    config: Any = model.config
    settings = text_settings(config)
    taken = numbers(settings)
    most = first(settings, "max_position_embeddings", "n_positions", "n_ctx")
    batch = free(BATCHES, taken) if _takes_batches(model) else 1
    shape: tuple[int, ...] = (batch, free(POSITIONS, taken, most))
    if type(model).__name__.endswith(("ForMultipleChoice", "DoubleHeadsModel")):
        shape = (batch, CHOICES, shape[-1])
    found = {"input_ids": _tokens(settings, shape)}
    takes = inspect.signature(model.forward).parameters
    if not (config.is_encoder_decoder and "decoder_input_ids" in takes):
        return found
    target: tuple[int, ...] = (batch, free(TARGETS, taken | set(shape), most))
    if _classifies(model):  # the decoder gets the same sequence, and the answer is read at its end
        found["input_ids"][:, -1] = config.eos_token_id
        target = shape
    return {**found, "decoder_input_ids": _tokens(settings, target)}


def _tokens(settings: Any, shape: tuple[int, ...]) -> torch.Tensor:
    special = {value for name, value in vars(settings).items() if name.endswith("_token_id")}
    return tokens(settings.vocab_size, shape, {value for value in special if isinstance(value, int)})


def _classifies(model: nn.Module) -> bool:
    return type(model).__name__.endswith("ForSequenceClassification")


def _takes_batches(model: nn.Module) -> bool:
    """Whether several sequences can go in at once: a decoder that classifies needs padding to tell their ends."""
    config: Any = model.config
    return first(text_settings(config), "pad_token_id") is not None or not _classifies(model)


family = Family(
    name="text",
    matches=Matches(model_types=DECODERS + ENCODERS + ENCODER_DECODERS, takes=("input_ids",)),
    example=example,
    layout=Tokens((("", "input_ids"), ("decoder", "decoder_input_ids"))),
    preprocess="AutoTokenizer",
)
