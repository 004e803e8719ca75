"""Models that people write themselves: what is found in them, and that no name says more than is there."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import anylens
from anylens.conformance import Sampling, check

FEW = Sampling(native=4, ops=4, alone=4, blocks=1)
NAMED = (
    "names",
    "prefixes",
    "axes",
    "rows-apart",
    "attention",
    "attention-reach",
    "stream-sums",
    "edits-arrive-once",
)


def lens_on(model, *example):
    torch.manual_seed(0)
    lens = anylens.attach(model.eval(), example)
    check(lens, example, checks=NAMED, sampling=FEW).require()
    return lens


class Heads(nn.Module):
    """Adds to the stream what `mix` makes of queries, keys and values."""

    def __init__(self, mix):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.mix = mix

    def forward(self, x):
        q, k, v = (part(x).view(*x.shape[:2], 2, 4).transpose(1, 2) for part in (self.q, self.k, self.v))
        return x + self.o(self.mix(q, k, v).transpose(1, 2).flatten(2))


def by_logsumexp(q, k, v):
    scores = q @ k.mT / 2
    return torch.exp(scores - scores.logsumexp(-1, keepdim=True)) @ v


def by_log_softmax(q, k, v):
    return (q @ k.mT / 2).log_softmax(-1).exp() @ v


def linear(q, k, v):
    q, k = functional.elu(q) + 1, functional.elu(k) + 1
    return torch.einsum("bhnd,bhde->bhne", q, torch.einsum("bhnd,bhne->bhde", k, v))


@pytest.mark.parametrize("mix", [by_logsumexp, by_log_softmax])
def test_a_softmax_written_with_logarithms_is_attention(mix):
    x = torch.randn(2, 5, 8)
    lens = lens_on(nn.Sequential(Heads(mix), Heads(mix)), x)
    assert lens.anatomy.streams[0].blocks[0].writes == ("attn",)
    _, cache = lens.run_with_cache(x, points="blocks.1.attn.*")
    scores = cache["blocks.1.attn.hook_attn_scores"]
    assert torch.allclose(cache["blocks.1.attn.hook_pattern"], scores.softmax(-1), atol=1e-6)
    hooks = {"blocks.1.attn.hook_attn_scores": lambda value, at: value + torch.eye(5) * 9}
    with lens.hooks(hooks):
        _, edited = lens.run_with_cache(x, points="blocks.1.attn.hook_pattern")
    assert torch.allclose(edited["blocks.1.attn.hook_pattern"].sum(-1), torch.ones(2, 2, 5))


class OneContext(nn.Module):
    """Sums up all positions to one context, by a weight for each, and gates every position by it."""

    def __init__(self):
        super().__init__()
        self.weigh, self.key, self.value, self.o = nn.Linear(8, 1), *(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        context = (self.weigh(x).softmax(1) * self.key(x)).sum(1, keepdim=True)
        return x + self.o(torch.relu(self.value(x)) * context)


@pytest.mark.parametrize("make", [lambda: Heads(linear), OneContext])
def test_positions_mixed_without_attention_are_no_mlp(make):
    lens = lens_on(nn.Sequential(make(), make()), torch.randn(2, 5, 8))
    assert [block.writes for block in lens.anatomy.streams[0].blocks] == [("mixer",), ("mixer",)]


class Graph(nn.Module):
    """Layers over a graph: each node adds up what its neighbours send."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.send, self.take = nn.Linear(8, 8), nn.Linear(16, 8)

        def forward(self, x, source, target):
            sent = torch.zeros_like(x).index_add(0, target, self.send(x)[source])
            return x + torch.relu(self.take(torch.cat([x, sent], -1)))

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([self.Layer(), self.Layer()])

    def forward(self, x, source, target):
        for layer in self.layers:
            x = layer(x, source, target)
        return x


def test_nodes_of_a_graph_are_positions_and_no_batch():
    edges = torch.tensor([0, 1, 2, 3, 4]), torch.tensor([1, 2, 3, 4, 5])
    lens = lens_on(Graph(), torch.randn(6, 8), *edges)
    assert lens.anatomy.streams[0].axes == ("pos", "d_model")
    assert lens.anatomy.streams[0].blocks[0].writes == ("mixer",)


class Neighbours(nn.Module):
    """A layer over a graph that is given as a square of weights."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, given):
        x, near = given
        return x + self.down(torch.relu(near @ self.up(x))), near


def test_a_product_with_who_is_whose_neighbour_makes_rows_positions():
    class Model(nn.Sequential):
        def forward(self, x, near):
            return super().forward((x, near))[0]

    lens = lens_on(Model(Neighbours(), Neighbours()), torch.randn(6, 8), torch.rand(6, 6))
    assert lens.anatomy.streams[0].axes == ("pos", "d_model")


class Block(nn.Module):
    def __init__(self, mix):
        super().__init__()
        self.mix = mix

    def forward(self, x):
        return x + self.mix(x)


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))


def test_blocks_that_run_once_for_each_input_are_named_by_their_calls():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(5, 8), Block(mlp()), Block(mlp()))

        def forward(self, x, y):
            return self.encoder(x) @ self.encoder(y).T

    one, other = torch.randn(3, 5), torch.randn(4, 5)
    lens = lens_on(Siamese(), one, other)
    assert [stream.prefix for stream in lens.anatomy.streams] == ["calls.0", "calls.1"]
    _, cache = lens.run_with_cache(one, other, points="*blocks.0.hook_resid_pre")
    assert [tuple(cache[name].shape) for name in sorted(cache)] == [(3, 8), (4, 8)]


def test_an_embedding_that_is_turned_before_the_blocks_is_shown_as_they_are():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(9, 8)
            self.attention = nn.ModuleList(nn.MultiheadAttention(8, 2) for _ in range(2))
            self.blocks = nn.ModuleList(
                Block(lambda x, part=part: part(x, x, x)[0]) for part in self.attention
            )

        def forward(self, ids):
            x = self.tokens(ids).transpose(0, 1)
            for block in self.blocks:
                x = block(x)
            return x.transpose(0, 1)

    ids = torch.randint(0, 9, (2, 5))
    model = Turned()
    lens = lens_on(model, ids)
    assert (
        lens.points["hook_embed"].axes
        == lens.points["blocks.0.hook_resid_pre"].axes
        == ("pos", "batch", "d_model")
    )
    _, cache = lens.run_with_cache(ids, points="hook_embed")
    assert torch.equal(cache["hook_embed"], model.tokens(ids).transpose(0, 1))


class Reads(nn.Module):
    """Attention in the forward of the model itself; its keys are its values."""

    def __init__(self):
        super().__init__()
        self.encode, self.write = nn.GRU(6, 8, batch_first=True), nn.GRU(6, 8, batch_first=True)

    def forward(self, source, target):
        memory, state = self.encode(source)
        queries, _ = self.write(target, state)
        return torch.softmax(queries @ memory.mT, -1) @ memory


def test_values_that_are_the_keys_as_well_are_edited_as_values_alone():
    example = torch.randn(2, 5, 6), torch.randn(2, 3, 6)
    lens = lens_on(Reads(), *example)
    with lens.hooks({"hook_v": anylens.scale(0)}):
        output, cache = lens.run_with_cache(*example, points=["hook_pattern", "hook_z"])
    _, before = lens.run_with_cache(*example, points="hook_pattern")
    assert torch.equal(cache["hook_pattern"], before["hook_pattern"])
    assert not output.any()
    assert not cache["hook_z"].any()


class Takes(nn.Module):
    """A model whose one argument is a dict."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(Block(mlp()), Block(mlp()))

    def forward(self, batch):
        return {"logits": self.layers(batch["x"]) * batch["weight"]}


@pytest.mark.parametrize("wrap", [lambda batch: batch, lambda batch: (batch,)])
def test_a_dict_that_the_forward_takes_as_a_whole_stays_one(wrap):
    batch = {"x": torch.randn(3, 8), "weight": torch.tensor(2.0)}
    model = Takes().eval()
    lens = anylens.attach(model, wrap(batch))
    check(lens, wrap(batch), checks=("read-only", "edits"), sampling=FEW).require()
    output, cache = lens.run_with_cache(batch, points="blocks.0.hook_resid_pre")
    assert torch.equal(cache["blocks.0.hook_resid_pre"], batch["x"])
    assert torch.equal(output["logits"], model(batch)["logits"])
    halved = lens.run_with_hooks(batch, hooks={"blocks.1.hook_mlp_out": anylens.scale(0)})["logits"]
    assert not torch.equal(halved, output["logits"])
    _, steps = lens.record(batch, points="blocks.0.hook_resid_pre")
    assert torch.equal(steps[0]["blocks.0.hook_resid_pre"], batch["x"])


def test_a_value_of_zeros_tells_nothing_of_where_an_edit_went():
    class FromNothing(nn.Sequential):
        def forward(self, x):
            return super().forward(torch.zeros_like(x)) + x

    silent = Block(nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 8, bias=False)))
    lens_on(FromNothing(silent, Block(mlp())), torch.randn(3, 8))


def test_an_activation_on_a_stream_that_is_positive_is_known_to_the_sums():
    class After(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.ReLU())

        def forward(self, x):
            return torch.relu(x + self.mix(x))

    lens = lens_on(nn.Sequential(After(), After()), torch.rand(2, 4, 7))
    assert lens.anatomy.streams[0].blocks[1].kind == "residual"


class Grid(nn.Module):
    """Attention over the cells of a picture, whose last map takes them as rows and columns."""

    def __init__(self):
        super().__init__()
        self.qkv, self.o = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        batch, height, width, _ = x.shape
        q, k, v = self.qkv(x).view(batch, height * width, 3, 2, 4).permute(2, 0, 3, 1, 4)
        z = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return x + self.o(z.reshape(batch, height, width, 8))


def test_what_heads_write_to_rows_and_columns_has_both_as_axes():
    x = torch.randn(2, 3, 4, 8)
    lens = lens_on(nn.Sequential(Grid(), Grid()), x)
    name = "blocks.1.attn.hook_result"
    _, cache = lens.run_with_cache(x, points=[name, "blocks.1.hook_attn_out"])
    assert cache.axes(name) == ("batch", "height", "width", "head", "d_model")
    assert tuple(cache[name].shape) == lens.points[name].shape == (2, 3, 4, 2, 8)
    whole = cache[name].sum(-2) + lens.model[1].o.bias
    assert torch.allclose(whole, cache["blocks.1.hook_attn_out"], atol=1e-5)


def over_features(q, k, v):
    q, k, v = (functional.normalize(one.mT, dim=-1) for one in (q, k, v))
    return ((q @ k.mT).softmax(-1) @ v).mT


def test_attention_of_features_to_features_names_no_positions():
    lens = lens_on(nn.Sequential(Heads(over_features), Heads(over_features)), torch.randn(2, 5, 8))
    assert lens.points["blocks.0.attn.hook_pattern"].axes == ("axis0", "axis1", "axis2", "axis3")
    assert lens.points["blocks.0.attn.hook_q"].axes == ("axis0", "axis1", "axis2", "axis3")


class Windows(nn.Module):
    """Attention in windows of four cells that a block cuts a picture of four by four into: four windows a picture."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        batch, height, width, features = x.shape
        cut = x.view(batch, height // 2, 2, width // 2, 2, features).transpose(2, 3).reshape(-1, 4, features)
        z = functional.scaled_dot_product_attention(self.q(cut), self.k(cut), self.v(cut))
        whole = self.o(z).view(batch, height // 2, width // 2, 2, 2, features).transpose(2, 3)
        return x + whole.reshape(x.shape)


def test_rows_and_columns_are_no_windows_though_a_window_has_as_many_cells():
    lens = lens_on(nn.Sequential(Windows(), Windows()), torch.randn(2, 4, 4, 8))
    assert lens.anatomy.streams[0].axes == ("batch", "height", "width", "d_model")


class Gated(nn.Module):
    """Weighs its stream, and what it adds, by numbers that it computes from a parameter."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.randn(8))
        self.mix = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        beta = torch.sigmoid(self.gate)
        return torch.sqrt(1 - beta**2) * x + beta * self.mix(x)


def test_a_stream_scaled_by_what_is_computed_from_a_parameter_shows_what_is_carried_on():
    lens = lens_on(nn.Sequential(Gated(), Gated()), torch.randn(2, 5, 8))
    assert {f"blocks.{n}.hook_resid_carried" for n in range(2)} <= set(lens.points.canonical)


class Adapted(nn.Module):
    """A block that also gives out a map of its own output, as those of a control net do."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.shown = nn.Linear(8, 8)

    def forward(self, x):
        x = x + self.down(self.up(self.norm(x)).relu())
        return x, self.shown(x)


def test_an_edit_of_a_blocks_output_reaches_what_the_block_itself_makes_of_it():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Adapted() for _ in range(2))

        def forward(self, x):
            shown = []
            for block in self.blocks:
                x, one = block(x)
                shown.append(one)
            return torch.stack(shown)

    x = torch.randn(2, 5, 8)
    lens = lens_on(Model(), x)
    plain, edited = (
        lens.model(x),
        lens.run_with_hooks(x, hooks={"blocks.1.hook_resid_post": anylens.add(1.0)}),
    )
    moved = lens.model.blocks[1].shown.weight.sum(1)
    assert torch.equal(plain[0], edited[0])
    assert torch.allclose(edited[1], plain[1] + moved, atol=1e-5)


class Positioned(nn.Module):
    """A block that adds positions anew, which are made once outside."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x, places):
        x = x + places
        return x + self.down(self.up(self.norm(x)).relu())


def test_what_a_block_takes_from_outside_and_adds_is_edited_in_that_block_alone():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.places = nn.Linear(8, 8)
            self.blocks = nn.ModuleList(Positioned() for _ in range(2))

        def forward(self, x):
            places = self.places(torch.ones_like(x))
            for block in self.blocks:
                x = block(x, places)
            return x

    x = torch.randn(2, 5, 8)
    lens = lens_on(Model(), x)
    (name,) = [one for one in lens.points.canonical if one.startswith("blocks.1.hook_mixer_out")]
    with lens.hooks({name: anylens.add(1.0)}):
        _, cache = lens.run_with_cache(x, points=["blocks.0.hook_resid_post", "blocks.1.hook_resid_mid"])
    _, plain = lens.run_with_cache(x, points=["blocks.0.hook_resid_post", "blocks.1.hook_resid_mid"])
    assert torch.equal(cache["blocks.0.hook_resid_post"], plain["blocks.0.hook_resid_post"])
    assert torch.allclose(cache["blocks.1.hook_resid_mid"], plain["blocks.1.hook_resid_mid"] + 1)


class Unnormed(nn.Module):
    """A block whose second norm is left out, as an identity that gives back what it takes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(2)
        )
        self.norm = nn.Identity()

    def forward(self, x):
        x = x + self.first(x)
        return x + self.second(self.norm(x))


def test_what_an_identity_gives_back_is_edited_for_those_too_who_took_what_entered_it():
    model = nn.Sequential(Unnormed(), Unnormed())
    x = torch.randn(2, 5, 8)
    lens = lens_on(model, x)
    out = lens.run_with_hooks(x, hooks={"blocks.1.hook_resid_mid": anylens.scale(0.0)})
    zeros = torch.zeros_like(x)
    assert torch.allclose(out, zeros + model[1].second(zeros), atol=1e-6)


@pytest.mark.parametrize("positions", [5, 6])
def test_a_value_of_more_dimensions_is_not_called_a_map_because_its_sizes_happen_to_fit(positions):
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 16), nn.Linear(16, 6)

        def forward(self, x):
            batch, count, _ = x.shape
            hidden = self.up(self.norm(x)).view(batch, count, 2, 8).permute(0, 1, 3, 2)
            return x + self.down(torch.relu(hidden).permute(0, 1, 3, 2).reshape(batch, count, 16))

    lens = anylens.attach(nn.Sequential(Grouped(), Grouped()).eval(), torch.randn(2, positions, 6))
    axes = lens.points["blocks.1.mlp.hook_post"].axes
    assert "channel" not in axes
    assert axes[0] == "batch"
