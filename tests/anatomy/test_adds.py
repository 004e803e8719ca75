"""Streams however their adds are written, writes by what they hold, and a softmax written out."""

import pytest
import torch
from torch import nn

import anylens
from anylens.conformance import Sampling, check
from anylens.core.errors import AbsentPointError

FEW = Sampling(native=4, ops=4)


def mlp():
    return nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))


class Block(nn.Module):
    """A block that adds an MLP to its input in a way of its own."""

    def __init__(self, add):
        super().__init__()
        self.part = mlp()
        self.gate = nn.Parameter(torch.randn(8))
        self.add = add

    def forward(self, x):
        return self.add(x, self.part(x), self.gate)


ADDS = {
    "stack_sum": lambda x, y, g: torch.stack([x, y]).sum(0),
    "stack_sum_last": lambda x, y, g: torch.stack((y, x), dim=-1).sum(dim=-1),
}
SCALED = {
    "sub": (lambda x, y, g: torch.sub(x, y), "subtracted"),
    "lerp": (lambda x, y, g: torch.lerp(x, y, 0.3), "lerp"),
    "lerp_by_tensor": (lambda x, y, g: torch.lerp(x, y, g.sigmoid()), "lerp"),
    "addcmul": (lambda x, y, g: torch.addcmul(x, g, y), "product"),
}


def lens_on(block, *sizes):
    torch.manual_seed(0)
    example = torch.randn(sizes or (2, 5, 8))
    return anylens.attach(nn.Sequential(block(), block(), block()).eval(), example), example


@pytest.mark.parametrize("name", ADDS)
def test_a_sum_over_a_stack_is_an_add(name):
    lens, example = lens_on(lambda: Block(ADDS[name]))
    assert [block.writes for block in lens.anatomy.streams[0].blocks] == [("mlp",)] * 3
    _, cache = lens.run_with_cache(example, points="blocks.1.hook_*")
    written = cache["blocks.1.hook_resid_pre"] + cache["blocks.1.hook_mlp_out"]
    assert torch.allclose(cache["blocks.1.hook_resid_post"], written, atol=1e-6)
    check(lens, example, sampling=FEW).require()


@pytest.mark.parametrize("name", SCALED)
def test_a_write_that_no_tensor_holds_is_absent_and_its_stream_is_there(name):
    add, why = SCALED[name]
    lens, example = lens_on(lambda: Block(add))
    assert [block.writes for block in lens.anatomy.streams[0].blocks] == [("mlp",)] * 3
    assert {"blocks.1.hook_resid_post", "blocks.1.mlp.hook_post"} <= {*lens.points}
    with pytest.raises(AbsentPointError, match=why):
        lens.points["blocks.1.hook_mlp_out"]
    check(lens, example, sampling=FEW).require()


def test_what_takes_the_stream_off_is_no_stream():
    lens, _ = lens_on(lambda: Block(lambda x, y, g: torch.sub(y, x)))
    assert not lens.anatomy.streams


class Convolution(nn.Module):
    """A gated depthwise convolution over positions between two maps, as in speech encoders."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.enter, self.leave = nn.Conv1d(8, 16, 1), nn.Conv1d(8, 8, 1)
        self.depthwise = nn.Conv1d(8, 8, 3, padding=1, groups=8)

    def forward(self, x):
        y = nn.functional.glu(self.enter(self.norm(x).transpose(1, 2)), dim=1)
        return self.leave(nn.functional.silu(self.depthwise(y))).transpose(1, 2)


class Sandwich(nn.Module):
    """An MLP, a convolution and another MLP, each added to the stream."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = mlp(), Convolution(), mlp()

    def forward(self, x):
        x = x + 0.5 * self.first(x)
        x = x + self.middle(x)
        return x + 0.5 * self.last(x)


def test_a_write_with_a_convolution_over_positions_inside_is_one():
    lens, example = lens_on(Sandwich)
    assert lens.anatomy.streams[0].blocks[0].writes == ("mlp", "conv", "mlp")
    assert lens.points["blocks.1.hook_conv_out"].axes == ("batch", "pos", "d_model")
    check(lens, example, sampling=FEW).require()


class ByHand(nn.Module):
    """Attention whose softmax is exponentials over their sum."""

    def __init__(self, *, shift):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.shift = shift

    def forward(self, x):
        q, k, v = (part(x).view(*x.shape[:2], 2, 4).transpose(1, 2) for part in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / 2
        grown = torch.exp(scores - scores.amax(-1, keepdim=True) if self.shift else scores)
        pattern = grown / grown.sum(-1, keepdim=True)
        return x + self.o((pattern @ v).transpose(1, 2).reshape(x.shape))


@pytest.mark.parametrize("shift", [True, False])
def test_a_softmax_written_out_is_attention(shift):
    lens, example = lens_on(lambda: ByHand(shift=shift))
    assert lens.anatomy.streams[0].blocks[1].writes == ("attn",)
    _, cache = lens.run_with_cache(example, points="blocks.1.attn.*")
    pattern = cache["blocks.1.attn.hook_pattern"]
    assert cache.axes("blocks.1.attn.hook_pattern") == ("batch", "head", "query_pos", "key_pos")
    assert torch.allclose(pattern, cache["blocks.1.attn.hook_attn_scores"].softmax(-1), atol=1e-6)
    q, k = (cache[f"blocks.1.attn.hook_{name}"].transpose(1, 2) for name in "qk")
    assert torch.allclose(cache["blocks.1.attn.hook_attn_scores"], q @ k.transpose(-1, -2) / 2, atol=1e-6)
    check(lens, example, sampling=FEW).require()


def test_a_mean_over_numbers_is_no_attention():
    class Mean(nn.Module):
        def forward(self, x):
            return x + torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)

    lens = anylens.attach(nn.Sequential(Mean(), Mean()), torch.randn(2, 5, 8))
    assert not [name for name in lens.points.canonical if "pattern" in name]


def test_weights_divided_again_after_the_softmax_are_no_pattern():
    class Assigns(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(6, 6) for _ in range(3))

        def forward(self, x):
            weights = (self.q(x) @ self.k(x).transpose(1, 2)).softmax(1)
            return (weights / (weights.sum(-1, keepdim=True) + 1)) @ self.v(x)

    x = torch.randn(2, 5, 6)
    lens = anylens.attach(Assigns().eval(), x)
    assert not [name for name in lens.points.canonical if name.endswith("hook_pattern")]
