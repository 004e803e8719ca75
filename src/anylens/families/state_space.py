"""State spaces of transformers: the scan with its states shown, whole sequences and single steps alike.

Shapes: B batch, L positions, D inner features, N states, H heads, P features of a head, G groups of heads.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from anylens.anatomy.functions import StandIn, Visit
from anylens.core.optional import require
from anylens.families import text
from anylens.families.family import Family, Matches
from anylens.families.layouts import Tokens
from anylens.families.mixture_of_experts import stand_ins as experts_of
from anylens.families.recurrence import Recurrence

MODEL_TYPES = tuple(
    "bamba falcon_h1 falcon_mamba granitemoehybrid jamba mamba mamba2 nemotron_h zamba zamba2".split()
)

_INNER, _HEAD = "batch pos d_inner", "batch pos head d_head"
_STATES = {"B": "batch pos state", "C": "batch pos state"}
SELECTIVE_SITES = {
    **{"x": _INNER, "dt": _INNER, **_STATES, "state": f"{_INNER} state"},
    **{"y": _INNER, "gate": _INNER},
}
HEADED_SITES = {
    **{"x": _HEAD, "dt": "batch pos head", "state": f"{_HEAD} state", "y": _HEAD},
    **dict.fromkeys("BC", "batch pos group state"),
}
COMPUTED = ("dt", "state", "y")  # what only the explicit scan has; the rest is among the function's arguments


def _step(dt: torch.Tensor, bias: torch.Tensor | None, softplus: bool) -> torch.Tensor:
    """Return the size of the step from what the model projects for it."""
    dt = dt if bias is None else dt + bias.to(dt.dtype)
    return functional.softplus(dt) if softplus else dt


def _selective(visit: Visit, first_BDN: torch.Tensor, x_BLD: torch.Tensor, given: Any) -> Any:
    """Scan with a step for each feature; return the output before the gate, and the last state."""
    dt_BLD, A_DN, B_BLN, C_BLN, D_D = given
    dt_BLD = visit("dt", dt_BLD)
    decay_BLDN = torch.exp(A_DN * dt_BLD[..., None])
    drive_BLDN = dt_BLD[..., None] * B_BLN[:, :, None].float() * x_BLD[..., None].float()
    scan = Recurrence(first_BDN, lambda s, at: decay_BLDN[:, at] * s + drive_BLDN[:, at], x_BLD.shape[1])
    states_BLDN = visit("state", scan.states, scan)
    y_BLD = (states_BLDN.to(x_BLD.dtype) @ C_BLN[..., None].to(x_BLD.dtype))[..., 0]
    if D_D is not None:
        y_BLD = y_BLD + x_BLD * D_D
    return visit("y", y_BLD), states_BLDN[:, -1]


def selective_scan(  # noqa: PLR0913, PLR0917 - the signature of the function it stands in for
    visit: Visit,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **options: Any,
) -> Any:
    """Scan a sequence with a step for each feature. Source: Gu and Dao 2023, https://arxiv.org/abs/2312.00752"""
    x = visit("x", hidden_states.transpose(1, 2))
    B, C = visit("B", B.transpose(1, 2)), visit("C", C.transpose(1, 2))
    gate = visit("gate", z.transpose(1, 2)) if z is not None else None
    if not visit.wants(*COMPUTED):
        turned = (one.transpose(1, 2) for one in (x, B, C))
        x, B, C = turned
        options |= {"delta_bias": delta_bias, "delta_softplus": delta_softplus}
        options |= {"D": D, "z": gate.transpose(1, 2) if gate is not None else None}
        return visit.own(x, dt, A, B, C, return_last_state=return_last_state, **options)
    first = torch.zeros(x.shape[0], x.shape[2], A.shape[-1], dtype=x.dtype, device=x.device)
    step = _step(dt.transpose(1, 2), delta_bias, delta_softplus)
    y, last = _selective(visit, first, x, (step, A, B, C, D))
    y = (y if gate is None else y * functional.silu(gate)).transpose(1, 2)
    return (y, last) if return_last_state else y


def selective_update(  # noqa: PLR0913, PLR0917 - the signature of the function it stands in for
    visit: Visit,
    state: torch.Tensor,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    dt_bias: torch.Tensor | None = None,
    dt_softplus: bool = False,
    z: torch.Tensor | None = None,
    **_: Any,
) -> torch.Tensor:
    """One position, from the state that a cache holds and to it."""
    x, B, C = (visit(name, one[:, None]) for name, one in (("x", hidden_states), ("B", B), ("C", C)))
    gate = visit("gate", z[:, None]) if z is not None else None
    step = _step(dt, dt_bias, dt_softplus)[:, None]
    y, last = _selective(visit, state.float(), x, (step, A.float(), B, C, D))
    state.copy_(last.to(state.dtype))
    gated: torch.Tensor = y if gate is None else y * functional.silu(gate)
    return gated[:, 0].to(hidden_states.dtype)


def _headed(visit: Visit, first_BHPN: torch.Tensor, x_BLHP: torch.Tensor, given: Any) -> Any:
    """Scan with a step for each head; return the output and the last state."""
    dt_BLH, A_H, B_BLGN, C_BLGN, D_H = given
    dt_BLH = visit("dt", dt_BLH)
    per_group = x_BLHP.shape[2] // B_BLGN.shape[2]
    B_BLHN, C_BLHN = (one.float().repeat_interleave(per_group, 2) for one in (B_BLGN, C_BLGN))
    decay_BLH11 = torch.exp(A_H.float() * dt_BLH.float())[..., None, None]
    drive_BLHPN = (x_BLHP.float() * dt_BLH.float()[..., None])[..., None] * B_BLHN[..., None, :]
    scan = Recurrence(first_BHPN, lambda s, at: decay_BLH11[:, at] * s + drive_BLHPN[:, at], x_BLHP.shape[1])
    states_BLHPN = visit("state", scan.states, scan)
    y_BLHP = (states_BLHPN @ C_BLHN[..., None])[..., 0]
    if D_H is not None:
        y_BLHP = y_BLHP + x_BLHP.float() * D_H[..., None]
    return visit("y", y_BLHP), states_BLHPN[:, -1]


def headed_scan(  # noqa: PLR0913, PLR0917 - the signature of the function it stands in for
    visit: Visit,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    chunk_size: int,
    D: torch.Tensor | None = None,
    dt_bias: torch.Tensor | None = None,
    initial_states: torch.Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    **options: Any,
) -> Any:
    """Scan a sequence with a step for each head. Source: Dao and Gu 2024, https://arxiv.org/abs/2405.21060"""
    x, B, C = (visit(name, one) for name, one in (("x", hidden_states), ("B", B), ("C", C)))
    if not visit.wants(*COMPUTED):
        options |= {"D": D, "dt_bias": dt_bias, "initial_states": initial_states, "dt_softplus": dt_softplus}
        options |= {"dt_limit": dt_limit, "return_final_states": return_final_states}
        return visit.own(x, dt, A, B, C, chunk_size=chunk_size, **options)
    batch, _, heads, features = x.shape
    first = initial_states
    if first is None:
        first = torch.zeros(batch, heads, features, B.shape[-1], device=x.device)
    step = _step(dt, dt_bias, dt_softplus).clamp(*dt_limit)
    y, last = _headed(visit, first.float(), x, (step, A, B, C, D))
    return (y, last) if return_final_states else y


def headed_update(  # noqa: PLR0913, PLR0917 - the signature of the function it stands in for
    visit: Visit,
    state: torch.Tensor,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    dt_bias: torch.Tensor | None = None,
    dt_softplus: bool = False,
    **_: Any,
) -> torch.Tensor:
    """One position, from the state that a cache holds and to it. What a head has one of comes repeated."""
    x, B, C = (visit(name, one[:, None]) for name, one in (("x", hidden_states), ("B", B), ("C", C)))
    step = _step(dt, dt_bias, dt_softplus)[:, None, :, 0]
    given = (step, A[:, 0, 0], B, C, D[:, 0] if D is not None else None)
    y, last = _headed(visit, state.float(), x, given)
    state.copy_(last.to(state.dtype))
    out: torch.Tensor = y[:, 0].to(hidden_states.dtype)
    return out


def convolution(
    visit: Visit, hidden_states: torch.Tensor, *args: Any, activation: str | None = None, **kwargs: Any
) -> torch.Tensor:
    """The convolution over positions, shown before its activation; what it has of the past is not shown."""
    plain = visit.own(hidden_states, *args, activation=None, **kwargs)
    past = max(plain.shape[-1] - visit.lead[1], 0) if len(visit.lead) > 1 else 0
    shown = visit("conv", plain[..., past:].transpose(1, 2)).transpose(1, 2)
    whole = torch.cat([plain[..., :past], shown], -1) if past else shown
    if activation is None:
        return whole
    active: torch.Tensor = require("transformers.activations", extra="transformers").ACT2FN[activation](whole)
    return active.to(hidden_states.dtype)


def gated_norm(visit: Visit, norm: nn.Module, hidden_states: torch.Tensor, gate: torch.Tensor) -> Any:
    """The norm that gates the output of the heads."""
    return visit.own(norm, hidden_states, visit("gate", gate))


Row = tuple[
    str, Callable[..., Any], str, dict[str, str]
]  # function, what stands in for it, its role, its sites

_CONVOLUTIONS = ("causal_conv1d_fn", "causal_conv1d_update")
SELECTIVE_ROWS: tuple[Row, ...] = (
    ("mamba_selective_scan", selective_scan, "scan", SELECTIVE_SITES),
    ("mamba_selective_state_update", selective_update, "scan", SELECTIVE_SITES),
    *((name, convolution, "convolution", {"conv": _INNER}) for name in _CONVOLUTIONS),
)
HEADED_ROWS: tuple[Row, ...] = (
    ("mamba2_chunk_scan", headed_scan, "scan", HEADED_SITES),
    ("mamba2_selective_state_update", headed_update, "scan", HEADED_SITES),
    *((name, convolution, "convolution", {"conv": "batch pos channel"}) for name in _CONVOLUTIONS),
)


def stand_ins(model: nn.Module) -> tuple[StandIn, ...]:
    """Return the stand-ins for the scans of the modules of transformers that a model's classes come from."""
    kinds = {type(module) for module in model.modules()}
    found: list[StandIn] = []
    for path in sorted(
        {kind.__module__ for kind in kinds if kind.__module__.startswith("transformers.models.")}
    ):
        held = vars(sys.modules[path])
        rows = [row for known in (SELECTIVE_ROWS, HEADED_ROWS) if known[0][0] in held for row in known]
        if HEADED_ROWS[0][0] in held:
            norms = sorted(kind.__qualname__ for kind in kinds if kind.__module__ == path)
            rows += [
                (f"{name}.forward", gated_norm, "gate", {"gate": _INNER})
                for name in norms
                if name.endswith("NormGated")
            ]
        found += [
            StandIn(function=f"{path}.{name}", by=by, part="ssm", role=role, sites=sites)
            for name, by, role, sites in rows
        ]
    return (*found, *experts_of(model))


family = Family(
    name="state space",
    matches=Matches(model_types=MODEL_TYPES, takes=("input_ids",)),
    example=text.example,
    # the names of MambaLens, https://github.com/Phylliida/MambaLens
    aliases={
        "blocks.{i}.hook_conv": "blocks.{i}.ssm.hook_conv",
        "blocks.{i}.hook_ssm_input": "blocks.{i}.ssm.hook_x",
        "blocks.{i}.hook_delta": "blocks.{i}.ssm.hook_dt",
        "blocks.{i}.hook_h": "blocks.{i}.ssm.hook_state",
        "blocks.{i}.hook_skip": "blocks.{i}.ssm.hook_gate",
    },
    stand_ins=stand_ins,
    layout=Tokens(),
    preprocess="AutoTokenizer",
)
