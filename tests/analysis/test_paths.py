"""Path patching gives what plain hooks give, and finds the path that was planted."""

import pytest
import torch

import anylens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.paths import Paths, path_patching
from anylens.analysis.sweeping import Settings
from anylens.core.errors import EditError, UnknownPointError
from tests.analysis.planted import D_HEAD, planted


@pytest.fixture(scope="module")
def made():
    return planted()


@pytest.fixture(scope="module")
def circuit(made):
    return anylens.attach(made.model, example=made.clean)


@pytest.fixture(scope="module")
def metric(made):
    return logit_difference(made.answers, made.wrong)


def run(model, ids, hooks):
    """A forward with plain hooks, `module -> what becomes of its output` or, for `(module, "in")`, of its input."""
    handles = []
    for where, change in hooks.items():
        if isinstance(where, tuple):
            handles.append(where[0].register_forward_pre_hook(lambda m, args, f=change: (f(args[0]),)))
        else:
            handles.append(where.register_forward_hook(lambda m, args, out, f=change: f(out)))
    try:
        with torch.no_grad():
            return model(ids)
    finally:
        for handle in handles:
            handle.remove()


def kept(model, ids, places):
    """What went through some places."""
    found = {}

    def keep(place):
        return lambda value: found.__setitem__(place, value.clone()) or value

    run(model, ids, {place: keep(place) for place in places})
    return found


def reference(model, base, source, *, z, mlp, sender, receiver, width):
    """Path patching by hand: z of one head, to one head's part of what a linear map gives.

    z: by layer, where heads' mixed values go in. mlp: by layer, what the MLPs give. sender: layer and head. receiver: a
    module, its part, and a head.
    """
    places = [(module, "in") for module in z] + list(mlp)
    before, other = kept(model, base, places), kept(model, source, places)
    layer, head = sender
    part = slice(head * width, (head + 1) * width)

    def send(place):
        def change(value):
            value = before[place].clone()
            if place == (z[layer], "in"):
                value[..., part] = other[place][..., part]
            return value

        return change

    module, offset, head = receiver
    taken = {}
    capture = {module: lambda value: taken.setdefault("value", value.clone()) * 1}
    run(model, base, {**{place: send(place) for place in places}, **capture})
    part = slice(offset + head * width, offset + (head + 1) * width)

    def receive(value):
        value = value.clone()
        value[..., part] = taken["value"][..., part]
        return value

    return run(model, base, {module: receive})


@pytest.mark.parametrize("kind", ["q", "k", "v"])
@pytest.mark.parametrize("resume", [True, False])
def test_it_is_what_plain_hooks_give_on_the_planted_circuit(made, circuit, metric, kind, resume):
    paths = Paths("blocks.0.attn.hook_z", {f"blocks.1.attn.hook_{kind}": {"head": 2}}, over="head")
    grid = path_patching(
        circuit,
        made.clean,
        source=made.corrupted,
        paths=paths,
        metric=metric,
        settings=Settings(resume=resume),
    )
    blocks = made.model.blocks
    for head in range(3):
        output = reference(
            made.model, made.clean, made.corrupted, z=[block.attn.o for block in blocks],
            mlp=[block.mlp for block in blocks], sender=(0, head),
            receiver=(getattr(blocks[1].attn, kind), 0, 2), width=D_HEAD,
        )  # fmt: skip
        torch.testing.assert_close(grid.at(layer=0, head=head), metric(output), atol=1e-5, rtol=1e-5)


def test_it_finds_the_planted_path_and_no_other(made, circuit, metric):
    (_, before), (layer, induction) = made.facts.previous_head, made.facts.induction_head
    effects = {}
    for kind in "qkv":
        for head in range(3):
            ends = {f"blocks.{layer}.attn.hook_{kind}": {"head": head}}
            paths = Paths("blocks.0.attn.hook_z", ends, over="head")
            grid = path_patching(circuit, made.clean, source=made.corrupted, paths=paths, metric=metric)
            for sender in range(3):
                effects[sender, kind, head] = float(grid.effect.mean(0)[0, sender].abs())
    (planted_path, most), (_, next_one) = sorted(effects.items(), key=lambda item: -item[1])[:2]
    assert planted_path == (before, made.facts.composition, induction)
    assert most > 20 * next_one


def test_it_is_what_plain_hooks_give_on_a_trained_model():
    lens = anylens.load("zoo:grammar-gpt2")
    king, kings = (
        lens.processor(f"today the {w} near the queen", return_tensors="pt") for w in ("king", "kings")
    )
    metric = logit_difference(*lens.processor.convert_tokens_to_ids(["praises", "praise"]))
    layers = lens.model.transformer.h
    width, d_model = 16, 64
    for offset, kind in ((0, "q"), (2 * d_model, "v")):
        paths = Paths("blocks.0.attn.hook_z", {f"blocks.1.attn.hook_{kind}": {"head": 1}}, over="head")
        grid = path_patching(lens, kings, source=king, paths=paths, metric=metric)
        for head in range(4):
            output = reference(
                lambda ids: lens.model(**ids), kings, king, z=[layer.attn.c_proj for layer in layers],
                mlp=[layer.mlp for layer in layers], sender=(0, head),
                receiver=(layers[1].attn.c_attn, offset, 1), width=width,
            )  # fmt: skip
            torch.testing.assert_close(grid.at(layer=0, head=head), metric(output), atol=1e-4, rtol=1e-4)
    assert grid.effect.abs().max() > 1e-2


def test_a_set_of_senders_sends_together(made, circuit, metric):
    receivers = {"blocks.1.attn.hook_k": {"head": 2}}
    several = {"blocks.0.attn.hook_z": {"head": [0, 1]}, "blocks.0.hook_mlp_out": {}}
    grid = path_patching(
        circuit, made.clean, source=made.corrupted, paths=Paths(several, receivers), metric=metric
    )
    assert grid.axes == ("row", "senders")
    alone = Paths("blocks.0.attn.hook_z", receivers, over="head")
    alone = path_patching(circuit, made.clean, source=made.corrupted, paths=alone, metric=metric)
    torch.testing.assert_close(grid.values[:, 0], alone.at(layer=0, head=1), atol=0.3, rtol=0.05)
    assert not torch.equal(grid.values[:, 0], alone.at(layer=0, head=1))


def test_what_is_not_frozen_passes_it_on(made, circuit, metric):
    """To the stream's end: the direct way alone, or through the head that reads it."""
    ends = {"senders": "blocks.0.attn.hook_z", "receivers": "blocks.1.hook_resid_post", "over": {"head": [1]}}
    direct, through = (
        path_patching(
            circuit, made.clean, source=made.corrupted, paths=Paths(**ends, frozen=frozen), metric=metric
        )
        for frozen in (None, "blocks.*.hook_mlp_out")
    )
    assert direct.effect.abs().max() < 0.05
    assert through.effect.abs().max() > 1


def test_what_cannot_be_done_is_refused(made, circuit, metric):
    def patched(paths):
        return path_patching(circuit, made.clean, source=made.corrupted, paths=paths, metric=metric)

    with pytest.raises(EditError, match="comes after the senders"):
        patched(Paths("blocks.1.attn.hook_z", "blocks.0.attn.hook_k"))
    with pytest.raises(UnknownPointError):
        patched(Paths("blocks.1.attn.hook_zz", "blocks.0.attn.hook_k"))
