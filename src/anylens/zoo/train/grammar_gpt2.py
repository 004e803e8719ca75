"""Trains `grammar-gpt2`: a transformer that goes on with sentences of the grammar.

Run `python -m anylens.zoo.train.grammar_gpt2`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anylens.zoo.train.grammar_models import TOKEN_NUMBERS, script
from anylens.zoo.worlds.grammar import LONGEST

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


def untrained() -> GPT2LMHeadModel:
    """The model before its training."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            n_positions=LONGEST + 8,
            n_embd=64,
            n_layer=3,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=0.1,  # the usual 0.02 suits wider models
            **TOKEN_NUMBERS,
        )
    )


SCRIPT = script("grammar-gpt2", make=untrained, steps=1500, learning_rate=3e-3)

if __name__ == "__main__":
    SCRIPT.main()
