"""What behaviour alone says about the models of the mission: streams, writes, norms, names."""

import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import AbsentPointError
from tests import models

RESIDUAL = ("attn", "mlp")


def lens_on(name):
    model, example = models.MODELS[name]()
    return anylens.attach(model, example)


@pytest.mark.parametrize(
    ("name", "prefixes", "kind", "writes"),
    [
        ("gpt2", [""], "residual", RESIDUAL),
        ("llama", [""], "residual", RESIDUAL),
        ("gemma2", [""], "residual", RESIDUAL),
        ("gptj", [""], "parallel", RESIDUAL),
        ("bloom", [""], "residual", RESIDUAL),
        ("opt", [""], "residual", RESIDUAL),
        ("bert", [""], "post-norm", RESIDUAL),
        ("albert", [""], "post-norm", RESIDUAL),
        ("mixtral", [""], "residual", RESIDUAL),
        ("vit", [""], "residual", RESIDUAL),
        ("dinov2", [""], "residual", RESIDUAL),
        ("clip_vision", [""], "residual", RESIDUAL),
        ("beit", [""], "residual", RESIDUAL),
        ("swin", ["stages.0", "stages.1"], "residual", RESIDUAL),
        ("convnext", ["stages.0", "stages.1"], "residual", ("mlp",)),
        ("transformer_encoder", [""], "post-norm", RESIDUAL),
    ],
)
def test_streams(name, prefixes, kind, writes):
    streams = lens_on(name).anatomy.streams
    assert [stream.prefix for stream in streams] == prefixes
    assert {block.kind for stream in streams for block in stream.blocks} == {kind}
    assert {block.writes for stream in streams for block in stream.blocks} == {writes}


def test_encoder_and_decoder_have_a_stream_each():
    lens = lens_on("t5")
    encoder, decoder = lens.anatomy.streams
    assert (encoder.prefix, decoder.prefix) == ("encoder", "decoder")
    assert encoder.blocks[0].writes == ("attn", "mlp")
    assert decoder.blocks[0].writes == ("attn", "cross_attn", "mlp")
    pattern = lens.points["decoder.blocks.1.cross_attn.hook_pattern"]
    assert pattern.shape == (models.BATCH, models.HEADS, 5, models.POSITIONS)


def test_a_shortcut_with_a_convolution_is_a_transition():
    stages = lens_on("resnet").anatomy.streams
    assert [[block.kind for block in stage.blocks] for stage in stages] == [
        ["transition", "residual"],
        ["transition", "residual", "residual"],
    ]
    assert stages[1].axes == ("batch", "channel", "height", "width")
    with pytest.raises(anylens.AnylensError, match="its shortcut is itself a linear map"):
        lens_on("resnet").points["stages.0.blocks.0.hook_conv_out"]


def test_one_layer_called_twice_is_two_blocks():
    lens = lens_on("albert")
    blocks = lens.anatomy.streams[0].blocks
    assert len({block.path for block in blocks}) == 1
    assert [block.turn for block in blocks] == [0, 1]


@pytest.mark.parametrize(
    ("name", "embed", "positions"),
    [
        ("gpt2", "transformer.wte out", "transformer.wpe out"),
        ("opt", "model.decoder.embed_tokens out", "model.decoder.embed_positions out"),
        ("bert", "bert.embeddings.word_embeddings out", "bert.embeddings.position_embeddings out"),
        ("vit", "vit.embeddings cat out", "vit.embeddings add in[1]"),
    ],
)
def test_positions_are_told_from_the_input(name, embed, positions):
    points = lens_on(name).points
    assert points["hook_embed"].tap.where() == embed
    assert points["hook_pos_embed"].tap.where() == positions


def test_rotary_positions_add_nothing_to_the_stream():
    with pytest.raises(anylens.AnylensError, match="no positions are added"):
        lens_on("llama").points["hook_pos_embed"]


def test_no_embedding_is_claimed_for_a_stage_behind_a_stage():
    points = lens_on("swin").points
    assert "stages.0.hook_embed" in points
    assert "stages.1.hook_embed" not in points


@pytest.mark.parametrize(
    ("name", "norm", "unembed"),
    [
        ("gpt2", "transformer.ln_f", "lm_head"),
        ("gemma2", "model.norm", "lm_head"),
        ("vit", "vit.layernorm", "classifier"),
    ],
)
def test_the_end_of_the_stream(name, norm, unembed):
    stream = lens_on(name).anatomy.streams[0]
    assert (stream.norm, stream.unembed) == (norm, unembed)


def test_gate_and_up_projection():
    points = lens_on("llama").points
    assert points["blocks.0.mlp.hook_pre"].tap.path == "model.layers.0.mlp.gate_proj"
    assert points["blocks.0.mlp.hook_pre_linear"].tap.path == "model.layers.0.mlp.up_proj"
    assert points["blocks.0.mlp.hook_post"].tap.path == "model.layers.0.mlp.down_proj"


def test_key_heads_of_grouped_queries_are_counted_once():
    for attention in ("sdpa", "eager"):
        model, example = models.llama(attention)
        points = anylens.attach(model, example).points
        assert points["blocks.0.attn.hook_q"].shape == (2, 7, 4, 6)
        assert points["blocks.0.attn.hook_k"].shape == (2, 7, 2, 6)


def test_positions_first():
    model, example = models.transformer_encoder(batch_first=False)
    lens = anylens.attach(model, example)
    assert lens.points["blocks.0.hook_resid_post"].axes == ("pos", "batch", "d_model")
    assert lens.points["blocks.0.attn.hook_pattern"].shape == (2, 3, 7, 7)


class Halves(nn.Module):
    """A gated MLP whose gate and up projection are one function."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 12)
        self.down = nn.Linear(6, 8)

    def forward(self, x):
        return x + self.down(nn.functional.glu(self.up(self.norm(x))))


class Loose(nn.Module):
    """Attention written with einsum, heads before positions, in a model without blocks."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (3, 2)) for part in (self.q, self.k, self.v))
        pattern = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
        return torch.einsum("bhqk,bkhd->bqhd", pattern, v).flatten(-2)


def test_a_fused_gate_has_no_separable_branch():
    model = nn.Sequential(Halves(), Halves()).eval()
    lens = anylens.attach(model, torch.randn(2, 5, 8))
    assert lens.anatomy.streams[0].blocks[0].writes == ("mlp",)
    with pytest.raises(anylens.AnylensError, match="no separable branch"):
        lens.points["blocks.0.mlp.hook_pre_linear"]


def test_attention_without_blocks_is_named_by_its_module():
    x = torch.randn(2, 5, 6)
    lens = anylens.attach(Loose().eval(), x)
    _, cache = lens.run_with_cache(x, points=["hook_q", "hook_v", "hook_pattern", "hook_z"])
    assert cache["hook_q"].shape == (2, 5, 3, 2)
    assert cache["hook_pattern"].shape == (2, 3, 5, 5)
    mixed = torch.einsum("bhqk,bkhd->bqhd", cache["hook_pattern"], cache["hook_v"])
    assert torch.allclose(mixed, cache["hook_z"], atol=1e-6)


def test_a_plain_chain_has_native_points_only():
    lens = lens_on("perceptron")
    assert not lens.points.canonical
    assert "1.hook_out" in lens.points
    with pytest.raises(anylens.AnylensError, match="no residual stream"):
        lens.points["blocks.0.hook_resid_post"]


class Writes(nn.Module):
    """A block whose add scales what it adds."""

    def __init__(self, alpha):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.alpha = alpha

    def forward(self, x):
        return torch.add(x, self.down(nn.functional.gelu(self.up(self.norm(x)))), alpha=self.alpha)


def test_a_write_is_exactly_what_is_added_or_is_not_there():
    example = torch.randn(2, 5, 8)
    whole = anylens.attach(nn.Sequential(Writes(1), Writes(1)), example)
    assert "blocks.1.hook_mlp_out" in whole.points
    scaled = anylens.attach(nn.Sequential(Writes(0.5), Writes(0.5)), example)
    assert {"blocks.1.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.1.mlp.hook_post"} <= {
        *scaled.points
    }
    with pytest.raises(AbsentPointError, match=r"scales what it adds \(alpha=0\.5\)"):
        scaled.points["blocks.1.hook_mlp_out"]


class Relative(nn.Module):
    """Attention whose scores have a second term from the same queries."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.table = nn.Parameter(torch.randn(5, 5, 4))

    def forward(self, x):
        q, k, v = (part(x).view(*x.shape[:2], 2, 4).transpose(1, 2) for part in (self.q, self.k, self.v))
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) + torch.einsum("bhqd,qkd->bhqk", q, self.table)
        z = torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)
        return x + self.o(z.transpose(1, 2).reshape(x.shape))


def test_an_edit_of_queries_reaches_every_term_of_the_scores():
    model, example = nn.Sequential(Relative(), Relative()), torch.randn(2, 5, 8)
    lens = anylens.attach(model, example)
    edited = lens.run_with_hooks(example, hooks={"blocks.1.attn.hook_q": anylens.scale(0).on(head=1)})
    with torch.no_grad():
        model[1].q.weight[4:] = 0
        model[1].q.bias[4:] = 0
    assert torch.allclose(edited, model(example), atol=1e-6)


class Windows(nn.Module):
    """Attention within windows, whose chunks stand where others keep their heads."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        batch = x.shape[0]
        q, k, v = (
            part(x).view(batch, 6, 2, 4).transpose(1, 2).reshape(batch * 2, 3, 2, 4)
            for part in (self.q, self.k, self.v)
        )
        scores = (q @ k.transpose(-1, -2)).view(batch, 2, 6, 2).transpose(1, 2)
        pattern = scores.softmax(-1).transpose(1, 2).reshape(batch * 2, 3, 2, 2)
        return x + self.o((pattern @ v).view(batch, 2, 6, 4).transpose(1, 2).reshape(x.shape))


def test_axes_that_do_not_agree_are_numbered_not_named():
    lens = anylens.attach(nn.Sequential(Windows(), Windows()), torch.randn(2, 6, 8))
    for name in ("hook_q", "hook_z", "hook_pattern"):
        assert lens.points[f"blocks.1.attn.{name}"].axes == ("axis0", "axis1", "axis2", "axis3")
