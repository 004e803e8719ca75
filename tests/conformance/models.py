"""The models that the kit is tried on: the tiny ones of all tests, and some of them with attention written out."""

from functools import partial

from tests import models

MODELS = {
    **models.MODELS,
    "gpt2-eager": partial(models.gpt2, "eager"),
    "llama-eager": partial(models.llama, "eager"),
    "bert-eager": partial(models.bert, "eager"),
    "positions-first": partial(models.transformer_encoder, batch_first=False),
}
