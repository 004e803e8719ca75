"""Blocks that no module holds: parts in lists, or lists side by side, whose forward adds to one stream by itself."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import anylens
from anylens.conformance import Sampling, check

WIDTH, HEADS = 16, 2


class Attention(nn.Module):
    """Self-attention whose heads are folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        apart = self.qkv(x).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        q, k, v = apart.reshape(3, rows * HEADS, length, -1)
        pattern = (torch.einsum("bid,bjd->bij", q, k) * q.shape[-1] ** -0.5).softmax(-1)
        mixed = torch.einsum("bij,bjd->bid", pattern, v)
        return self.out(mixed.view(rows, HEADS, length, -1).transpose(1, 2).reshape(rows, length, WIDTH))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH))


def lists(*makers: Callable[[], nn.Module], depth: int = 3) -> list[nn.ModuleList]:
    return [nn.ModuleList(make() for _ in range(depth)) for make in makers]


class Base(nn.Module):
    """Tokens in, logits out; what is between is a subclass's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, WIDTH), nn.Linear(WIDTH, 20)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.body(self.embed(ids))))

    def body(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Pairs(Base):
    """A list of lists of parts."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(WIDTH), Attention(), nn.LayerNorm(WIDTH), mlp()])
            for _ in range(depth)
        )

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for norm, attention, other, feed in self.layers:
            x = attention(norm(x)) + x
            x = feed(other(x)) + x
        return x


class Parallel(Base):
    """Lists side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions, self.feeds = lists(Attention, mlp)
        self.norms, self.others = lists(*[lambda: nn.LayerNorm(WIDTH)] * 2)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for n in range(3):
            x = x + self.attentions[n](self.norms[n](x))
            x = x + self.feeds[n](self.others[n](x))
        return x


class PostNorm(Parallel):
    """The same, with the norms on the stream."""

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for n in range(3):
            x = self.norms[n](x + self.attentions[n](x))
            x = self.others[n](x + self.feeds[n](x))
        return x


class AtOnce(Parallel):
    """The same, with attention and MLP added at once."""

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for n in range(3):
            normed = self.norms[n](x)
            x = x + self.attentions[n](normed) + self.feeds[n](normed)
        return x


class Tied(Base):
    """One block's parts, used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.feed, self.before = Attention(), mlp(), nn.LayerNorm(WIDTH)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = x + self.attention(self.before(x))
            x = x + self.feed(self.before(x))
        return x


class Residual(nn.Module):
    """A part with the add around it."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.norm = part, nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(self.norm(x)) + x


class Wrapped(Base):
    """A list of lists of parts that add by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([Residual(Attention()), Residual(mlp())]) for _ in range(3))

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for attention, feed in self.layers:
            x = feed(attention(x))
        return x


class Inner(Pairs):
    """The layers of one stage, as a module of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Staged(Base):
    """Two stages with a map between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Inner(2), nn.Linear(WIDTH, WIDTH), Inner(2)])

    def body(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


def lens_of(kind: Callable[[], nn.Module]) -> tuple[anylens.Lens, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    inputs = {"ids": torch.randint(0, 20, (2, 5))}
    return anylens.attach(kind().eval(), inputs), inputs


@pytest.mark.parametrize("kind", [Pairs, Parallel, PostNorm, AtOnce, Tied, Wrapped])
def test_each_round_of_parts_is_a_block(kind: Callable[[], nn.Module]) -> None:
    lens, _ = lens_of(kind)
    (stream,) = lens.anatomy.streams
    assert [block.writes for block in stream.blocks] == [("attn", "mlp")] * 3
    assert lens.points["blocks.2.attn.hook_pattern"].axes == ("batch", "head", "query_pos", "key_pos")
    assert lens.points["blocks.2.attn.hook_pattern"].shape == (2, HEADS, 5, 5)


@pytest.mark.parametrize("kind", [PostNorm, Tied])
def test_every_check_holds(kind: Callable[[], nn.Module]) -> None:
    lens, inputs = lens_of(kind)
    report = check(lens, inputs, sampling=Sampling(native=4, ops=4, alone=4, blocks=2))
    assert not [failure for outcome in report.outcomes for failure in outcome.failures]


def test_a_lone_round_is_a_block_if_its_parts_stand_in_a_list() -> None:
    lens, _ = lens_of(lambda: Pairs(1))
    assert [block.path for block in lens.anatomy.streams[0].blocks] == ["layers.0"]


def test_layers_of_a_stage_are_its_blocks() -> None:
    lens, _ = lens_of(Staged)
    found = {stream.prefix: [block.path for block in stream.blocks] for stream in lens.anatomy.streams}
    assert found == {
        "stages.0": ["stages.0.layers.0", "stages.0.layers.1"],
        "stages.2": ["stages.2.layers.0", "stages.2.layers.1"],
    }


def test_the_stream_is_what_plain_code_computes() -> None:
    lens, inputs = lens_of(Pairs)
    model, seen = lens.model, []
    assert isinstance(model, Pairs)
    with torch.no_grad():
        x = model.embed(inputs["ids"])
        for norm, attention, other, feed in model.layers:
            seen.append(x)
            x = attention(norm(x)) + x
            x = feed(other(x)) + x
    _, cache = lens.run_with_cache(**inputs, points="blocks.*.hook_resid_*")
    for number, value in enumerate([*seen[1:], x]):
        assert torch.equal(cache[f"blocks.{number}.hook_resid_post"], value)
        assert torch.equal(cache[f"blocks.{number}.hook_resid_pre"], seen[number])


def test_parameters_of_a_block_are_those_of_its_parts() -> None:
    from anylens.analysis.maps.parameters import boundary_points

    lens, _ = lens_of(Parallel)
    paths = {point.tap.path for point in boundary_points(lens, lens.anatomy.streams[0].blocks[1])}
    assert {"attentions.1", "attentions.1.qkv", "feeds.1.0", "norms.1"} <= paths
    assert not any(path.split(".")[1] == "0" for path in paths)
