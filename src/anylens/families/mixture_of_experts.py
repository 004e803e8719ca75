"""Decoders of transformers whose MLPs are experts, of which a router chooses a few for each token.

Shapes: T tokens of all rows, K chosen experts, E experts, M width of the stream.
"""

from typing import Any

import torch
from torch import nn

from anylens.anatomy.functions import StandIn, Visit
from anylens.families import text
from anylens.families.family import Family, Matches
from anylens.families.layouts import Tokens

MODEL_TYPES = tuple(
    """afmoe cohere2_moe deepseek_v3 dots1 ernie4_5_moe flex_olmo glm4_moe glm4_moe_lite gpt_oss granitemoe minimax
    minimax_m2 mixtral olmoe phimoe qwen2_moe qwen3_moe""".split()
)

SITES = dict.fromkeys(("expert_in", "expert_out"), "batch pos expert d_model")


def experts(
    visit: Visit, module: nn.Module, hidden_TM: torch.Tensor, *routing: torch.Tensor, **named: torch.Tensor
) -> torch.Tensor:
    """Each expert by itself: what it takes, and what it gives before it is weighted.

    The module's own forward is called once, for a row of its own for each choice, with a weight of one.
    """
    indices_TK, weights_TK = (*routing, *named.values())
    count, choices = int(module.num_experts), indices_TK.shape[1]  # type: ignore[arg-type]
    empty_TEM = hidden_TM.new_zeros(hidden_TM.shape[0], count, hidden_TM.shape[1])
    where_TKM = indices_TK[..., None].expand(-1, -1, hidden_TM.shape[1])
    taken_TEM = empty_TEM.scatter(1, where_TKM, hidden_TM[:, None].expand(-1, choices, -1))
    taken_TKM = visit("expert_in", taken_TEM).gather(1, where_TKM)
    rows = (taken_TKM.flatten(0, 1), indices_TK.reshape(-1, 1), torch.ones_like(weights_TK).reshape(-1, 1))
    given_TKM = visit.own(module, *rows).view_as(taken_TKM)
    given_TEM = visit("expert_out", empty_TEM.scatter(1, where_TKM, given_TKM))
    weighted_TKM = given_TEM.gather(1, where_TKM) * weights_TK[..., None]
    return weighted_TKM.sum(1).to(hidden_TM.dtype)


def stand_ins(model: nn.Module) -> tuple[StandIn, ...]:
    """Return a stand-in for each class of experts in a model: all take tokens, the choice, and the weights."""
    kinds: dict[str, Any] = {type(module).__qualname__: type(module) for module in model.modules()}
    return tuple(
        StandIn(
            function=f"{kind.__module__}.{name}.forward", by=experts, part="mlp", role="experts", sites=SITES
        )
        for name, kind in kinds.items()
        if name.endswith("Experts")
    )


family = Family(
    name="mixture of experts",
    matches=Matches(model_types=MODEL_TYPES, takes=("input_ids",)),
    example=text.example,
    stand_ins=stand_ins,
    layout=Tokens(),
    preprocess="AutoTokenizer",
)
