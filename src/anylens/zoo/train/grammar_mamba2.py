"""Trains `grammar-mamba2`: a state space model with heads that goes on with sentences of the grammar.

Run `python -m anylens.zoo.train.grammar_mamba2`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anylens.zoo.train.grammar_models import TOKEN_NUMBERS, script

if TYPE_CHECKING:
    from transformers import Mamba2ForCausalLM


def untrained() -> Mamba2ForCausalLM:
    """The model before its training."""
    from transformers import Mamba2Config, Mamba2ForCausalLM

    return Mamba2ForCausalLM(
        Mamba2Config(
            hidden_size=64,
            state_size=16,
            num_hidden_layers=2,
            expand=2,
            num_heads=4,
            head_dim=32,
            n_groups=1,
            chunk_size=32,
            **TOKEN_NUMBERS,
        )
    )


SCRIPT = script("grammar-mamba2", make=untrained, steps=1500, learning_rate=5e-3)

if __name__ == "__main__":
    SCRIPT.main()
