"""Torch's own recurrent networks. Gates and cell states of single positions stay inside one fused function."""

from typing import Any

import torch
from torch import nn

from anylens.families.family import Family, Matches
from anylens.families.series import Spans
from anylens.families.sizes import free, picture


def example(model: nn.Module) -> tuple[torch.Tensor, ...]:
    """Build a few sequences."""
    sizes: Any = model
    taken = {sizes.input_size, sizes.hidden_size, sizes.num_layers}
    batch = free((2, 3, 4, 5), taken)
    positions = free((7, 9, 11, 13), taken)
    shape = (batch, positions) if sizes.batch_first else (positions, batch)
    return (picture(*shape, sizes.input_size),)


EACH_POSITION = Spans(length=1, stride=1)

lstm = Family(
    name="LSTM",
    matches=Matches(classes=("torch.nn.modules.rnn.LSTM",)),
    example=example,
    aliases={"hook_output": "hook_out", "hook_h_n": "hook_out[1][0]", "hook_c_n": "hook_out[1][1]"},
    layout=EACH_POSITION,
)

gru = Family(
    name="GRU or plain RNN",
    matches=Matches(classes=("torch.nn.modules.rnn.GRU", "torch.nn.modules.rnn.RNN")),
    example=example,
    aliases={"hook_output": "hook_out", "hook_h_n": "hook_out[1]"},
    layout=EACH_POSITION,
)
