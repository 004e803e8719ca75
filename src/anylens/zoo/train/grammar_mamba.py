"""Trains `grammar-mamba`: a selective state space model that goes on with sentences of the grammar.

Run `python -m anylens.zoo.train.grammar_mamba`; the scan is plain Python, and slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anylens.zoo.train.grammar_models import TOKEN_NUMBERS, script

if TYPE_CHECKING:
    from transformers import MambaForCausalLM


def untrained() -> MambaForCausalLM:
    """The model before its training."""
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(
        MambaConfig(hidden_size=48, state_size=8, num_hidden_layers=2, expand=2, **TOKEN_NUMBERS)
    )


SCRIPT = script("grammar-mamba", make=untrained, steps=1500, learning_rate=5e-3)

if __name__ == "__main__":
    SCRIPT.main()
