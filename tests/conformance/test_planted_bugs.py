"""Bugs planted one by one: the kit catches each, by the check named, and passes without it."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.points import Point, Tap
from anylens.conformance import Sampling, check
from anylens.core.axes import Layout
from anylens.running import actions, capture, run, scopes, sites, wiring
from tests.conformance.models import MODELS
from tests.conformance.planted import lens_on, moved, only, points

pytestmark = pytest.mark.filterwarnings("ignore")
FEW = Sampling(native=8, ops=8)


class Adapted(nn.Module):
    """A block whose output is changed in place after its module gave it out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 11), nn.Linear(11, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        hidden += 1
        return self.last(hidden)


MADE = {**MODELS, "in-place": lambda: (Adapted().eval(), torch.randn(3, 6))}


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.set_grad_enabled(True)
    while torch._C._len_torch_function_stack():
        torch._C._pop_torch_function_stack()


# -- bugs in what the anatomy says -------------------------------------------------------------------------------


class Flipped(Layout):
    """A layout that shows the heads in the wrong order."""

    def view(self, tensor):
        seen, back = super().view(tensor)
        axis = self.axes.index("head") if self.axes else 2
        return seen.flip(axis), lambda new: back(new.flip(axis))


def flipped_heads(point: Point) -> Point:
    assert point.layout is not None
    layout = point.layout
    return replace(point, layout=Flipped(layout.pattern, layout.sizes, layout.heads, point.axes))


def heads_transposed(point: Point) -> Point:
    """The model's own order, batch head pos d_head, under the names batch pos head d_head."""
    return replace(point, layout=None, shape=tuple(point.shape[n] for n in (0, 2, 1, 3)))


def keys_before_queries(point: Point) -> Point:
    return replace(
        point, layout=Layout("batch head query_pos key_pos -> batch head key_pos query_pos"), axes=point.axes
    )


def batch_and_positions_swapped(point: Point) -> Point:
    return replace(point, axes=("pos", "batch", *point.axes[2:]))


def before_the_scale(point: Point) -> Point:
    """The write as the attention module gives it out, before the layer scale."""
    path = f"layers.{point.layer}.attention"
    return replace(point, tap=Tap(path, "out", (0,)), reader=None)


def of_the_block_before(found: dict[str, Point]) -> list[Point]:
    """Every attention write of a block is that of the block before it."""
    result = []
    for point in found.values():
        earlier = found.get(point.name.replace("blocks.1.", "blocks.0."), point)
        late = point.name.endswith("hook_attn_out")
        result.append(replace(point, tap=earlier.tap, reader=earlier.reader) if late else point)
    return result


def the_pattern_of_another_call(found: dict[str, Point]) -> list[Point]:
    other = found["blocks.0.attn.hook_pattern"]
    return [
        replace(p, tap=other.tap) if p.name == "blocks.1.attn.hook_pattern" else p for p in found.values()
    ]


def another_turn(found: dict[str, Point]) -> list[Point]:
    """A module that is called for every block: the wrong one of its calls."""

    def turned(point: Point) -> Point:
        if point.name != "blocks.1.hook_mlp_out":
            return point
        return replace(
            point, tap=found["blocks.0.hook_mlp_out"].tap, reader=found["blocks.0.hook_mlp_out"].reader
        )

    return [turned(point) for point in found.values()]


def prefix_dropped(anatomy: Anatomy) -> Anatomy:
    canonical = {p.name.removeprefix("decoder."): p for p in anatomy.canonical}
    return replace(anatomy, canonical=tuple(replace(p, name=name) for name, p in canonical.items()))


def all_prefixes_dropped(anatomy: Anatomy) -> Anatomy:
    canonical = {re.sub(r"^(en|de)coder\.", "", p.name): p for p in anatomy.canonical}
    named = tuple(replace(point, name=name) for name, point in canonical.items())
    return replace(anatomy, canonical=named, streams=tuple(replace(s, prefix="") for s in anatomy.streams))


def _swap(text: str) -> str:
    other = {"encoder": "decoder", "decoder": "encoder"}
    return re.sub("^(encoder|decoder)", lambda found: other[found[0]], text)


def encoder_and_decoder_swapped(anatomy: Anatomy) -> Anatomy:
    canonical = tuple(replace(point, name=_swap(point.name)) for point in anatomy.canonical)
    streams = tuple(replace(stream, prefix=_swap(stream.prefix)) for stream in anatomy.streams)
    absent = tuple((_swap(name), why) for name, why in anatomy.absent)
    return replace(anatomy, canonical=canonical, streams=streams, absent=absent)


def one_reader_only(point: Point) -> Point:
    """The stream tapped where the first norm takes it: the residual goes past that."""
    if not point.name.endswith("blocks.0.hook_resid_pre"):
        return point
    return replace(point, tap=Tap("transformer.h.0.ln_1", "in", ("input",)), reader=None)


def write_forgotten(anatomy: Anatomy) -> Anatomy:
    kept = tuple(point for point in anatomy.canonical if not point.name.endswith("hook_mlp_out"))
    return replace(anatomy, canonical=kept)


# -- bugs in what runs -------------------------------------------------------------------------------------------

visit, act_capture, act_edit = sites.Site.visit, capture.Capture.__call__, actions.Edit.__call__
install, remove = wiring.Wiring.install, wiring.Wiring.remove


def hook_never_fires(patch):
    def silent(self, tensor):
        return None if self.point.name.endswith("hook_mlp_out") else visit(self, tensor)

    patch.setattr(sites.Site, "visit", silent)


def hook_fires_twice(patch):
    def twice(self, tensor):
        visit(self, tensor)
        return visit(self, tensor)

    patch.setattr(sites.Site, "visit", twice)


def edit_dropped(patch):
    patch.setattr(run.Run, "visit", lambda self, site, tensor: (visit(site, tensor), self.reached(site))[1])


def edit_of_operations_dropped(patch):
    def only_modules(self, tensor):
        new = visit(self, tensor)
        return new if self.tap.rule is None else None

    patch.setattr(sites.Site, "visit", only_modules)


def edit_applied_twice(patch):
    def twice(self, value, at):
        new = act_edit(self, value, at)
        return None if new is None else new + (new - value)

    patch.setattr(actions.Edit, "__call__", twice)


def hook_called_again_on_its_own_result(patch):
    def again(self, value, at):
        new = act_edit(self, value, at)
        return None if new is None else act_edit(self, new, at)

    patch.setattr(actions.Edit, "__call__", again)


def hook_gets_the_tensor_itself(patch):
    def uncopied(self, value, at):
        return self.hook(value, at)

    patch.setattr(actions.Edit, "__call__", uncopied)


def capture_is_an_alias(patch):
    patch.setattr(
        capture.Capture, "__call__", lambda self, value, _: self.cache.put(self.point, value.detach())
    )


def value_of_an_earlier_run(patch):
    earlier: dict[str, torch.Tensor] = {}

    def stale(self, value, _):
        self.cache.put(self.point, earlier.setdefault(self.point.name, value.detach().clone()).clone())

    patch.setattr(capture.Capture, "__call__", stale)


def captured_in_another_dtype(patch):
    patch.setattr(
        capture.Capture,
        "__call__",
        lambda self, value, _: self.cache.put(self.point, value.detach().double()),
    )


def reading_rounds_the_value(patch):
    def rounded(self, tensor):
        new = visit(self, tensor)
        return tensor.half().to(tensor.dtype) if new is None and tensor.is_floating_point() else new

    patch.setattr(sites.Site, "visit", rounded)


def reading_draws_random_numbers(patch):
    def drawing(self, value, at):
        torch.rand(1)
        return act_capture(self, value, at)

    patch.setattr(capture.Capture, "__call__", drawing)


def gradient_cut(patch):
    def cut(self, value, _):
        kept = value.detach().requires_grad_() if value.is_floating_point() else value
        self.cache.put(self.point, kept)
        return value.clone()

    patch.setattr(capture.CaptureGraph, "__call__", cut)


def edit_writes_into_the_parameter(patch):
    def in_place(self, tensor):
        new = visit(self, tensor)
        return None if new is None else tensor.data.copy_(new)

    patch.setattr(sites.Site, "visit", in_place)


def hook_left_behind(patch):
    def forgetting(self):
        self.handles.pop()
        remove(self)

    patch.setattr(wiring.Wiring, "remove", forgetting)


def hook_left_behind_by_an_error(patch):
    def only_in_good_times(self):
        if sys.exc_info()[0] is None:
            remove(self)

    patch.setattr(wiring.Wiring, "remove", only_in_good_times)


def config_changed(patch):
    def switching(self):
        self.run.root.config._attn_implementation = "eager"
        return install(self)

    patch.setattr(wiring.Wiring, "install", switching)


def attribute_left_on_a_module(patch):
    def marking(self):
        next(self.run.root.children())._lens = "was here"
        return install(self)

    patch.setattr(wiring.Wiring, "install", marking)


def training_flag_changed(patch):
    def switching(self):
        next(self.run.root.children()).training = True
        return install(self)

    patch.setattr(wiring.Wiring, "install", switching)


def mode_left_on(patch):
    patch.setattr(scopes.Scopes, "sleep", lambda self: self.frames.clear())


def error_of_a_hook_swallowed(patch):
    def swallowing(self, value, at):
        try:
            return act_edit(self, value, at)
        except Exception:
            return None

    patch.setattr(actions.Edit, "__call__", swallowing)


def stand_in_everywhere(patch):
    """Asking for the scores of one layer puts the stand-in in the place of every attention in the run."""
    from anylens.running import standins

    own = functional.scaled_dot_product_attention

    def everywhere(*args, **kwargs):
        return standins.scaled_dot_product_attention(*args, **kwargs, visit=lambda _, value: value)

    def installed(self):
        inside = any(site.tap.side == "inside" for site in self.run.plan.sites)
        patch.setattr(functional, "scaled_dot_product_attention", everywhere if inside else own)
        return install(self)

    patch.setattr(wiring.Wiring, "install", installed)


def stand_in_forgets_the_mask(patch):
    from anylens.running import standins

    own = standins.STAND_INS["scaled_dot_product_attention"]

    def unmasked(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **options):
        return own(query, key, value, None, dropout_p, False, **options)

    patch.setitem(standins.STAND_INS, "scaled_dot_product_attention", unmasked)


def stops_too_early(patch):
    """A run inside another counts the other's points as its own, and stops when some are still to come."""
    patch.setattr(run.Run, "join", lambda self, around: setattr(self, "plan", around.plan.joined(self.plan)))


@dataclass(frozen=True)
class Bug:
    """One planted bug: the model, where it is planted, and the checks of which at least one must catch it."""

    model: str
    caught_by: tuple[str, ...]
    change: Callable[[Anatomy], Anatomy] | None = None
    patch: Callable[[pytest.MonkeyPatch], None] | None = None


BUGS = {
    # in what the anatomy says
    "q and k swapped": Bug("gpt2", ("attention-reach",), moved(hook_q="hook_k", hook_k="hook_q")),
    "k heads permuted": Bug("llama", ("attention-reach",), only("hook_k", flipped_heads)),
    "v heads permuted": Bug("llama", ("attention",), only("hook_v", flipped_heads)),
    "heads transposed": Bug("gpt2", ("axes",), only("hook_z", heads_transposed)),
    "keys before queries": Bug("gpt2", ("attention",), only("hook_pattern", keys_before_queries)),
    "batch and positions swapped": Bug(
        "gpt2", ("axes",), only("hook_resid_mid", batch_and_positions_swapped)
    ),
    "an addend that holds the residual": Bug(
        "bloom", ("stream-sums",), moved(hook_attn_out="hook_resid_mid")
    ),
    "a write read before its scale": Bug("beit", ("stream-sums",), only("hook_attn_out", before_the_scale)),
    "an off-by-one layer": Bug("llama", ("stream-sums",), points(of_the_block_before)),
    "the wrong call of a shared layer": Bug("albert", ("stream-sums",), points(another_turn)),
    "a pattern of another call": Bug("gpt2", ("attention",), points(the_pattern_of_another_call)),
    "scores in the place of the pattern": Bug(
        "llama-eager", ("attention",), moved(hook_pattern="hook_attn_scores")
    ),
    "resid_mid is the block's input": Bug("gpt2", ("stream-sums",), moved(hook_resid_mid="hook_resid_pre")),
    "resid_post before the last write": Bug("gpt2", ("blocks",), moved(hook_resid_post="hook_resid_mid")),
    "mlp pre and post swapped": Bug(
        "gpt2", ("order-within",), moved(hook_pre="hook_post", hook_post="hook_pre")
    ),
    "a prefix dropped": Bug("t5", ("names",), prefix_dropped),
    "all prefixes dropped": Bug("t5", ("prefixes",), all_prefixes_dropped),
    "encoder and decoder swapped": Bug("t5", ("prefixes",), encoder_and_decoder_swapped),
    "a tap that only one reader sees": Bug(
        "gpt2", ("edits-arrive-once",), only("hook_resid_pre", one_reader_only)
    ),
    "a write forgotten": Bug("gpt2", ("names",), write_forgotten),
    # in what runs
    "a hook that never fires": Bug("gpt2", ("fires-once",), patch=hook_never_fires),
    "a hook that fires twice": Bug("gpt2", ("fires-once",), patch=hook_fires_twice),
    "an edit dropped": Bug("gpt2", ("edits",), patch=edit_dropped),
    "an edit of an operation dropped": Bug("gpt2", ("edits",), patch=edit_of_operations_dropped),
    "an edit applied twice": Bug("gpt2", ("edits-arrive-once",), patch=edit_applied_twice),
    "a hook called again on its result": Bug(
        "gpt2", ("edits-arrive-once",), patch=hook_called_again_on_its_own_result
    ),
    "a hook that gets the model's tensor": Bug("gpt2", ("hygiene",), patch=hook_gets_the_tensor_itself),
    "a capture that is an alias": Bug("gpt2", ("own-memory",), patch=capture_is_an_alias),
    "a capture changed later in place": Bug("in-place", ("values",), patch=capture_is_an_alias),
    "a value of an earlier run": Bug("gpt2", ("own-values",), patch=value_of_an_earlier_run),
    "another dtype": Bug("gpt2", ("as-announced",), patch=captured_in_another_dtype),
    "reading that rounds": Bug("gpt2", ("read-only",), patch=reading_rounds_the_value),
    "reading that draws random numbers": Bug("gpt2", ("read-only",), patch=reading_draws_random_numbers),
    "a gradient cut": Bug("gpt2", ("gradients",), patch=gradient_cut),
    "an edit of the parameter itself": Bug("vit", ("hygiene",), patch=edit_writes_into_the_parameter),
    "a hook left behind": Bug("gpt2", ("hygiene",), patch=hook_left_behind),
    "a hook left behind by an error": Bug("gpt2", ("hygiene",), patch=hook_left_behind_by_an_error),
    "the config changed": Bug("gpt2", ("hygiene",), patch=config_changed),
    "an attribute left on a module": Bug("gpt2", ("hygiene",), patch=attribute_left_on_a_module),
    "a training flag changed": Bug("gpt2", ("hygiene",), patch=training_flag_changed),
    "a function mode left on": Bug("gpt2", ("hygiene",), patch=mode_left_on),
    "an error of a hook swallowed": Bug("gpt2", ("hygiene",), patch=error_of_a_hook_swallowed),
    "a stand-in in every layer": Bug("gpt2", ("stand-in-only-there",), patch=stand_in_everywhere),
    "a stand-in without the mask": Bug("gpt2", ("stand-ins",), patch=stand_in_forgets_the_mask),
    "an early stop before its time": Bug("gpt2", ("stop-early",), patch=stops_too_early),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_is_caught(name, monkeypatch):
    bug = BUGS[name]
    lens, example = lens_on(MADE[bug.model](), bug.change)
    with monkeypatch.context() as patch:
        if bug.patch is not None:
            bug.patch(patch)
        report = check(lens, example, checks=bug.caught_by, sampling=FEW)
    assert report.failed == bug.caught_by, report.table()


@pytest.mark.parametrize("model", sorted({bug.model for bug in BUGS.values()}))
def test_without_a_bug_the_same_checks_hold(model):
    checks = {name for bug in BUGS.values() if bug.model == model for name in bug.caught_by}
    lens, example = lens_on(MADE[model](), lambda anatomy: anatomy)
    check(lens, example, checks=checks, sampling=FEW).require()
