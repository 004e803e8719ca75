"""Bugs planted in stand-ins for functions of Python: the kit catches each, by the check named, and passes without."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

import anylens
from anylens.conformance import Sampling, check
from anylens.core import replaced
from anylens.families.recurrence import Recurrence
from anylens.running import functions
from tests.models import ROWS

pytestmark = pytest.mark.filterwarnings("ignore")
FEW = Sampling(native=4, ops=4)
STATES, EXPERTS = ROWS["state_space"], ROWS["mixture_of_experts"]
shown, standing, edited = functions.Showing.__call__, functions.Standing.__call__, Recurrence.edited


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def the_edit_is_forgotten(patch):
    patch.setattr(Recurrence, "edited", lambda self, new: self.states)


def the_edit_lands_one_position_later(patch):
    patch.setattr(Recurrence, "edited", lambda self, new: edited(self, new.roll(1, 1)))


def the_edit_stays_where_it_is(patch):
    def alone(self, new):
        self.states = new
        return new

    patch.setattr(Recurrence, "edited", alone)


def the_edit_flows_back(patch):
    def whole(self, new):
        states = edited(self, new)
        moved = (new - self.first[:, None]).sum(1, keepdim=True)
        self.states = states + 1e-2 * moved
        return self.states

    patch.setattr(Recurrence, "edited", whole)


def the_states_shown_are_those_before(patch):
    """What is shown is the state before each position; the model goes on with the right ones."""

    def late(self, site, value, flow=None):
        if site != "state":
            return shown(self, site, value, flow)
        shown(self, site, torch.cat([torch.zeros_like(value[:, :1]), value[:, :-1]], 1))
        return value

    patch.setattr(functions.Showing, "__call__", late)


def the_scan_has_no_bypass(patch):
    """What is read out of the states leaves without what bypasses them."""

    def halved(self, site, value, flow=None):
        return shown(self, site, value * 0.5 if site == "y" else value, flow)

    patch.setattr(functions.Showing, "__call__", halved)


def a_function_left_replaced(patch):
    patch.setattr(replaced.Replaced, "put_back", lambda self: None)


def the_stand_in_runs_in_every_scope(patch):
    """Asking for the states of one block puts the stand-in in the place of every scan."""

    def everywhere(self, own, args, kwargs):
        result = standing(self, own, args, kwargs)
        if result is not NotImplemented or not self.run.mine() or self.run.scopes.busy:
            return result
        showing = functions.Showing([], own, ())
        showing.wants = lambda *_: True
        return self.stand_in.by(showing, *args, **kwargs)

    patch.setattr(functions.Standing, "__call__", everywhere)


def experts_shown_weighted(patch):
    """What the experts give is shown as if it were weighted already."""

    def halved(self, site, value, flow=None):
        if site != "expert_out":
            return shown(self, site, value, flow)
        return 2 * shown(self, site, value / 2, flow)

    patch.setattr(functions.Showing, "__call__", halved)


def experts_shown_in_another_order(patch):
    def flipped(self, site, value, flow=None):
        return shown(self, site, value.flip(1), flow).flip(1)

    patch.setattr(functions.Showing, "__call__", flipped)


@dataclass(frozen=True)
class Bug:
    """One planted bug: the model, what plants it, and the check that must catch it."""

    make: Callable
    patch: Callable[[pytest.MonkeyPatch], None]
    caught_by: str


BUGS = {
    "an edit forgotten": Bug(STATES["mamba"], the_edit_is_forgotten, "states-flow"),
    "an edit one position later": Bug(STATES["mamba"], the_edit_lands_one_position_later, "states-flow"),
    "an edit that stays": Bug(STATES["mamba2"], the_edit_stays_where_it_is, "states-flow"),
    "an edit that flows back": Bug(STATES["mamba2"], the_edit_flows_back, "states-flow"),
    "states off by one position": Bug(STATES["mamba"], the_states_shown_are_those_before, "states"),
    "a scan that forgets half": Bug(STATES["mamba"], the_scan_has_no_bypass, "stand-ins"),
    "a function left replaced": Bug(STATES["mamba"], a_function_left_replaced, "hygiene"),
    "a stand-in in every block": Bug(
        STATES["mamba2"], the_stand_in_runs_in_every_scope, "stand-in-only-there"
    ),
    "experts shown weighted": Bug(EXPERTS["mixtral"], experts_shown_weighted, "experts"),
    "experts in another order": Bug(EXPERTS["qwen3_moe"], experts_shown_in_another_order, "experts"),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_is_caught(name, monkeypatch):
    bug = BUGS[name]
    model, example = bug.make()
    lens = anylens.attach(model, example)
    with monkeypatch.context() as patch:
        bug.patch(patch)
        report = check(lens, example, checks=(bug.caught_by,), sampling=FEW)
    for path, held in list(replaced._REPLACED.items()):  # what a bug has left behind
        setattr(held.place.holder, held.place.name, held.own)
        del replaced._REPLACED[path]
    assert report.failed == (bug.caught_by,), report.table()
