"""The canonical points: one table, read by the resolver, the conformance kit, the errors and the docs.

Names are those of TransformerLens (https://github.com/TransformerLensOrg/TransformerLens, 2022) wherever the
concept is the same. `{i}` is the number of a block. A model with several streams puts a component's prefix before
the name.
"""

import re
from dataclasses import dataclass

from anylens.core.axes import Axes
from anylens.core.names import split_block

LENS = "TransformerLens"
OWN = "anylens"

HEADS = ("batch", "pos", "head", "d_head")
SQUARE = ("batch", "head", "query_pos", "key_pos")
STREAM = ("batch", "pos", "d_model")

NO_EXPERTS = "its blocks have no router that chooses among experts"
NO_INSIDE = "its blocks have no experts, or its family has no stand-in that shows what each takes and gives"
NO_STATES = "its blocks have no state space, or its family has no stand-in that shows it"


@dataclass(frozen=True)
class CanonicalPoint:
    """One row of the table: the name, the axes it usually has, its meaning, and why a model may lack it."""

    name: str
    axes: Axes
    meaning: str
    source: str
    lacking: str


TABLE: tuple[CanonicalPoint, ...] = (
    CanonicalPoint(
        "hook_embed",
        STREAM,
        "the embedded input, before positions are added",
        LENS,
        "nothing that embeds the input was found before its first block",
    ),
    CanonicalPoint(
        "hook_pos_embed",
        STREAM,
        "what is added to the embedded input for its positions",
        LENS,
        "no positions are added before its first block (they may be rotary or relative, inside attention)",
    ),
    CanonicalPoint(
        "hook_token_type_embed",
        STREAM,
        "what is added to the embedded input for its segments",
        LENS,
        "no segments are added before its first block",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_resid_pre",
        STREAM,
        "the residual stream as it enters the block",
        LENS,
        "no residual stream was found",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_attn_out",
        STREAM,
        "exactly what attention adds to the stream",
        LENS,
        "its blocks add no attention to the stream",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_resid_mid",
        STREAM,
        "the stream between the block's first and second write",
        LENS,
        "its blocks write to the stream once",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_cross_attn_out",
        STREAM,
        "exactly what cross-attention adds to the stream",
        LENS,
        "its blocks add no cross-attention to the stream",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_resid_mid_cross",
        STREAM,
        "the stream after cross-attention was added",
        LENS,
        "its blocks have no cross-attention",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_resid_carried",
        STREAM,
        "the stream as the block scales it, or blends its copies, before it adds to it",
        OWN,
        "its blocks do not scale the stream itself",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_mlp_out",
        STREAM,
        "exactly what the MLP adds to the stream",
        LENS,
        "its blocks add no MLP to the stream",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_conv_out",
        ("batch", "channel", "height", "width"),
        "exactly what the convolutions add to the stream",
        OWN,
        "its blocks add no convolution to the stream",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_mixer_out",
        STREAM,
        "exactly what a part that is neither attention, MLP nor convolution adds to the stream",
        OWN,
        "its blocks add nothing but attention, MLPs or convolutions to the stream",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_resid_post",
        STREAM,
        "the stream after the block's last write (in a post-norm block, before the norm)",
        LENS,
        "no residual stream was found",
    ),
    CanonicalPoint(
        "blocks.{i}.hook_normalized_resid_post",
        STREAM,
        "what leaves a post-norm block",
        LENS,
        "its blocks do not normalise the stream itself",
    ),
    *(
        CanonicalPoint(
            f"blocks.{{i}}.{part}.{name}", axes, f"{meaning}{of}", LENS, f"its blocks have no {kind}"
        )
        for part, kind, of in (
            ("attn", "attention", ""),
            ("cross_attn", "cross-attention", " (cross-attention)"),
        )
        for name, axes, meaning in (
            ("hook_q", HEADS, "the queries, as the product with the keys takes them"),
            ("hook_k", HEADS, "the keys, as the product with the queries takes them"),
            ("hook_v", HEADS, "the values, as the product with the pattern takes them"),
            ("hook_attn_scores", SQUARE, "what enters the softmax: scaled, biased and masked"),
            ("hook_pattern", SQUARE, "what leaves the softmax: rows that sum to one"),
            ("hook_z", HEADS, "the values mixed by the pattern, for each head"),
            ("hook_result", (*HEADS[:3], "d_model"), "what each head writes, before the heads are summed"),
        )
    ),
    CanonicalPoint(
        "blocks.{i}.mlp.hook_pre",
        ("batch", "pos", "d_mlp"),
        "what enters the activation of the MLP",
        LENS,
        "its blocks have no MLP",
    ),
    CanonicalPoint(
        "blocks.{i}.mlp.hook_pre_linear",
        ("batch", "pos", "d_mlp"),
        "what the gate of the MLP multiplies",
        LENS,
        "its MLPs have no gate",
    ),
    CanonicalPoint(
        "blocks.{i}.mlp.hook_post",
        ("batch", "pos", "d_mlp"),
        "what enters the last map of the MLP",
        LENS,
        "its blocks have no MLP",
    ),
    *(
        CanonicalPoint(f"blocks.{{i}}.mlp.{name}", ("batch", "pos", *axes), meaning, OWN, lacking)
        for name, axes, meaning, lacking in (
            (
                "hook_router_logits",
                ("expert",),
                "what the choice of experts is made by: one number for each expert",
                NO_EXPERTS,
            ),
            ("hook_expert_indices", ("choice",), "the experts that each position is sent to", NO_EXPERTS),
            (
                "hook_expert_weights",
                ("choice",),
                "what each chosen expert's output is multiplied by",
                NO_EXPERTS,
            ),
            (
                "hook_expert_in",
                ("expert", "d_model"),
                "what each expert takes; zero where a position is not sent to it",
                NO_INSIDE,
            ),
            (
                "hook_expert_out",
                ("expert", "d_model"),
                "what each expert gives, before it is weighted; zero where a position is not sent to it",
                NO_INSIDE,
            ),
        )
    ),
    *(
        CanonicalPoint(f"blocks.{{i}}.ssm.{name}", ("batch", "pos", *axes), meaning, OWN, NO_STATES)
        for name, axes, meaning in (
            (
                "hook_gate",
                ("d_inner",),
                "what the output of the state space is gated by, before its activation",
            ),
            ("hook_conv", ("d_inner",), "what leaves the convolution over positions, before its activation"),
            ("hook_x", ("d_inner",), "what drives the states"),
            ("hook_dt", ("d_inner",), "the size of the step, positive: large ones forget and take in"),
            ("hook_B", ("state",), "how the input is written into the states"),
            ("hook_C", ("state",), "how the states are read out"),
            (
                "hook_state",
                ("d_inner", "state"),
                "the state behind each position; an edit of one flows into all later ones",
            ),
            (
                "hook_y",
                ("d_inner",),
                "what is read out of the states, with what bypasses them, before the gate",
            ),
        )
    ),
    *(
        CanonicalPoint(
            f"blocks.{{i}}.ln{n}.hook_normalized",
            STREAM,
            f"the normalised stream, at the block's norm {n}",
            LENS,
            f"its blocks have no norm {n} on or beside the stream",
        )
        for n in (1, 2, 3)
    ),
    *(
        CanonicalPoint(
            f"blocks.{{i}}.ln{n}_post.hook_normalized",
            STREAM,
            f"write {n} of the block, normalised before it is added",
            LENS,
            "its blocks do not normalise what they write",
        )
        for n in (1, 2, 3)
    ),
    CanonicalPoint(
        "ln_final.hook_normalized",
        STREAM,
        "the stream after the last norm",
        LENS,
        "no norm follows its last block",
    ),
)

RANK = {row.name: number for number, row in enumerate(TABLE)}


def rank(name: str) -> int:
    """Return where a point's name stands in the table; what is not in it comes last."""
    bare = re.sub(r"\[\d+\]", "", name)
    if found := split_block(bare):
        bare = f"blocks.{{i}}.{found[2]}"
    return RANK.get(
        bare, RANK.get(".".join(bare.split(".")[-2:]), RANK.get(bare.rpartition(".")[2], len(TABLE)))
    )
