"""Stand-ins for functions of Python: found while watching, in place for the runs and scopes that need them only."""

import sys
import threading

import pytest
import torch
from torch import nn

import anylens
from anylens.anatomy.functions import StandIn
from anylens.anatomy.known import key_of
from anylens.conformance import check
from anylens.core.errors import AbsentPointError, RunError, RunMismatchError
from anylens.families import Family, Matches
from anylens.families.recurrence import Recurrence
from anylens.lens import Lens

HERE = __name__
WIDTH, LENGTH = 4, 7


def leak(x, decay):
    """Sum with decay over positions: the function that has a stand-in."""
    state, states = torch.zeros_like(x[:, 0]), []
    for position in range(x.shape[1]):
        state = decay * state + x[:, position]
        states.append(state)
    return torch.stack(states, 1)


def leak_once(x, state, decay):
    """One position: what is called in the place of `leak` where a state is given."""
    return (decay * state + x[:, 0])[:, None]


def unused(x):
    return x


def leaking(visit, x, decay):
    x = visit("x", x)
    scan = Recurrence(torch.zeros_like(x[:, 0]), lambda s, at: decay * s + x[:, at], x.shape[1])
    return visit("state", scan.states, scan)


def leaking_once(visit, x, state, decay):
    return visit("state", visit.own(visit("x", x), state, decay))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.outer = nn.Linear(WIDTH, WIDTH)
        self.decay = nn.Parameter(torch.full((WIDTH,), 0.7))
        self.times = 1

    def forward(self, x, state=None):
        hidden = self.inner(x)
        for _ in range(self.times):
            hidden = leak(hidden, self.decay) if state is None else leak_once(hidden, state, self.decay)
        return x + self.outer(hidden.sin())


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])

    def forward(self, x, state=None):
        for layer in self.layers:
            x = layer(x, state)
        return x


SITES = {"x": "batch pos d_inner", "state": "batch pos d_inner"}
STAND_INS = (
    StandIn(function=f"{HERE}.leak", by=leaking, part="ssm", role="scan", sites=SITES),
    StandIn(function=f"{HERE}.leak_once", by=leaking_once, part="ssm", role="scan", sites=SITES),
)
FAMILY = Family(
    name="leaky", matches=Matches(classes=("Stack",)), example=lambda _: (torch.randn(2, LENGTH, WIDTH),),
    stand_ins=STAND_INS,
)  # fmt: skip
STATE = "blocks.0.ssm.hook_state"


@pytest.fixture(autouse=True)
def _loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, sys.modules[leak.__module__])


@pytest.fixture
def lens():
    return anylens.attach(Stack().eval(), torch.randn(2, LENGTH, WIDTH), family=FAMILY)


@pytest.fixture
def x():
    return torch.randn(3, LENGTH, WIDTH)


def test_the_points_are_in_their_blocks(lens):
    point = lens.points["blocks.1.ssm.hook_state"]
    assert (point.axes, point.shape, point.layer) == (("batch", "pos", "d_inner"), (2, LENGTH, WIDTH), 1)
    assert point.tap.where() == "layers.1 ssm.scan inside[state]"


def test_what_is_shown_is_what_the_function_has(lens, x):
    _, cache = lens.run_with_cache(x, points=["blocks.0.ssm.hook_*"])
    inner = lens.model.layers[0].inner(x).detach()
    assert torch.equal(cache["blocks.0.ssm.hook_x"], inner)
    assert torch.equal(cache[STATE], leak(inner, lens.model.layers[0].decay).detach())


def test_an_edit_at_a_position_shows_there_and_later(lens, x):
    own = lens.model(x)
    with lens.hooks({STATE: anylens.add(torch.ones(WIDTH)).on(pos=3)}):
        out, cache = lens.run_with_cache(x, points=STATE)
    plain = lens.run_with_cache(x, points=STATE)[1][STATE]
    decay = lens.model.layers[0].decay.detach()
    torch.testing.assert_close(cache[STATE][:, 3] - plain[:, 3], torch.ones(3, WIDTH))
    torch.testing.assert_close(cache[STATE][:, 5] - plain[:, 5], (decay**2).expand(3, WIDTH))
    moved = (out - own).abs().sum(-1) > 1e-6
    assert not moved[:, :3].any()
    assert moved[:, 3:].all()


def test_nothing_is_replaced_where_no_point_needs_it(lens, x):
    seen = []
    own = leak
    with lens.hooks({"blocks.0.hook_resid_pre": lambda value, at: seen.append(leak)}):
        lens.model(x)
    with lens.hooks({STATE: lambda value, at: seen.append(leak)}):
        lens.model(x)
    assert seen[0] is own
    assert seen[1] is not own
    assert leak is own


def test_the_stand_in_runs_in_its_scope_alone(lens, x):
    calls = []

    def counted(visit, *args):
        calls.append(1)
        return leaking(visit, *args)

    family = Family(
        name="counted", matches=FAMILY.matches, example=FAMILY.example,
        stand_ins=(StandIn(function=f"{HERE}.leak", by=counted, part="ssm", role="scan", sites=SITES),),
    )  # fmt: skip
    other = anylens.attach(lens.model, x, family=family)
    calls.clear()
    other.run_with_cache(x, points="blocks.1.ssm.hook_state")
    assert len(calls) == 1
    other.run_with_cache(x, points="blocks.*.ssm.hook_state")
    assert len(calls) == 3


@pytest.mark.parametrize("end", ["hook", "stop", "model"])
def test_the_function_is_back_however_a_run_ends(lens, x, end):
    own = leak

    def broken(*_):
        raise KeyError("broken")

    if end == "hook":
        with pytest.raises(KeyError):
            lens.run_with_hooks(x, hooks={STATE: broken})
    elif end == "stop":
        assert lens.run_with_cache(x, points=STATE, stop_early=True)[0] is None
    else:
        with pytest.raises(RuntimeError):
            lens.run_with_cache(x[..., :2], points=STATE)
    assert leak is own


def test_another_thread_and_another_model_keep_the_function(lens, x):
    twin = Stack().eval()
    own, other, found = lens.model(x), twin(x), {}

    def elsewhere():
        found["same model"] = lens.model(x)

    def hook(value, at):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        found["other model"] = twin(x)
        found["itself"] = lens.model(x)
        return value * 0

    edited = lens.run_with_hooks(x, hooks={STATE: hook})
    assert torch.equal(found["same model"], own)
    assert torch.equal(found["itself"], own)
    assert torch.equal(found["other model"], other)
    assert not torch.equal(edited, own)


def test_runs_in_many_threads_do_not_mix(lens, x):
    wanted = {n: lens.run_with_hooks(x, hooks={STATE: anylens.scale(float(n))}) for n in range(4)}
    wrong = []

    def work(number):
        for _ in range(20):
            out = lens.run_with_hooks(x, hooks={STATE: anylens.scale(float(number))})
            if not torch.equal(out, wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_another_function_of_the_same_role_has_the_same_points(lens):
    x, state = torch.randn(2, 1, WIDTH), torch.randn(2, WIDTH)
    out, cache = lens.run_with_cache(x, state, points=STATE)
    assert torch.equal(out, lens.model(x, state))
    inner = lens.model.layers[0].inner(x)
    torch.testing.assert_close(cache[STATE], leak_once(inner, state, lens.model.layers[0].decay).detach())


def test_another_number_of_calls_is_an_error(lens, x):
    lens.model.layers[0].times = 2
    with pytest.raises(RunMismatchError, match="took another branch"):
        lens.run_with_cache(x, points=STATE)


def test_several_calls_are_told_apart(x):
    model = Stack().eval()
    model.layers[1].times = 2
    lens = anylens.attach(model, x, family=FAMILY)
    names = [name for name in lens.points.canonical if name.endswith("hook_state")]
    assert names == [STATE, "blocks.1.ssm[0].hook_state", "blocks.1.ssm[1].hook_state"]
    _, cache = lens.run_with_cache(x, points=names)
    decay = model.layers[1].decay
    torch.testing.assert_close(cache[names[2]], leak(cache[names[1]], decay).detach())


def test_an_operation_inside_the_function_is_refused_beside_a_stand_in(lens, x):
    inside = "layers.0.op.stack.0.hook_out"
    assert lens.run_with_cache(x, points=inside)[1][inside].shape == x.shape
    with pytest.raises(RunMismatchError, match="separate runs"):
        lens.run_with_cache(x, points=[inside, STATE])


def test_what_comes_behind_the_function_is_found_beside_a_stand_in(lens, x):
    names = ["layers.0.op.sin.0.hook_out", "blocks.0.hook_resid_post", STATE]
    out, cache = lens.run_with_cache(x, points=names)
    torch.testing.assert_close(cache[names[0]], cache[STATE].sin())
    torch.testing.assert_close(out, lens.model(x))


def test_gradients_at_a_state_count_all_that_follows(lens, x):
    _, cache = lens.run_with_cache(x, points=STATE, grad=True)
    out, cache = lens.run_with_cache(x, points=STATE, grad=True)
    gradient = torch.autograd.grad(out[:, -1].sum(), cache[STATE])[0]
    step = torch.zeros_like(x)
    step[:, 2] = 1e-3
    moved = lens.run_with_hooks(x, hooks={STATE: lambda value, at: value + step})
    own = (moved[:, -1].sum() - out[:, -1].sum()).detach()
    torch.testing.assert_close((gradient * step).sum(), own, rtol=0.02, atol=1e-5)


def test_without_the_family_the_point_says_what_it_needs(lens, x):
    bare = Lens(lens.model, anatomy=lens.anatomy)
    with pytest.raises(RunError, match="family"):
        bare.run_with_cache(x, points=STATE)


def test_a_function_that_was_never_called_is_the_reason(x):
    stand_in = StandIn(
        function=f"{HERE}.unused", by=leaking, part="ssm", role="scan", sites={"state": "batch pos d_inner"}
    )
    family = Family(name="other", matches=FAMILY.matches, example=FAMILY.example, stand_ins=(stand_in,))
    lens = anylens.attach(Stack().eval(), x, family=family)
    with pytest.raises(AbsentPointError, match="did not call .*unused"):
        lens.points[STATE]


def test_a_stand_in_that_fails_costs_its_points_alone(x):
    def broken(visit, *_):
        raise KeyError("another signature")

    stand_in = StandIn(function=f"{HERE}.leak", by=broken, part="ssm", role="scan", sites=SITES)
    family = Family(name="other", matches=FAMILY.matches, example=FAMILY.example, stand_ins=(stand_in,))
    with pytest.warns(UserWarning, match="another signature"):
        lens = anylens.attach(Stack().eval(), x, family=family)
    assert "blocks.1.hook_resid_post" in lens.points
    with pytest.raises(AbsentPointError, match="another signature"):
        lens.points[STATE]


def test_an_anatomy_with_functions_reads_itself_back(lens):
    assert anylens.Anatomy.from_json(lens.anatomy.to_json()) == lens.anatomy
    assert lens.anatomy.functions


def test_the_key_of_an_anatomy_holds_the_stand_ins(lens):
    def other(visit, x, decay):
        return visit("state", leak(visit("x", x), decay) * 1.0)

    changed = StandIn(function=f"{HERE}.leak", by=other, part="ssm", role="scan", sites=SITES)
    keys = {key_of(lens.model, stand_ins) for stand_ins in ((), STAND_INS, STAND_INS[:1], (changed,))}
    assert len(keys) == 4


def test_a_known_anatomy_needs_no_watching(tmp_path, monkeypatch, x):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    first = anylens.attach(Stack().eval(), x, family=FAMILY)
    again = anylens.attach(Stack().eval(), family=FAMILY)
    assert again.anatomy == first.anatomy
    assert again.run_with_cache(x, points=STATE)[1][STATE].shape == x.shape


def test_a_stack_of_ones_own_keeps_the_contract(lens, x):
    report = check(lens, x)
    assert report.ok, report.table()
    assert report["states"].notes  # no C to read the states out by: said, not passed over
