"""Points that a family names: found, shown with their axes, edited, and refused where they do not fit."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import anylens
from anylens.conformance import check
from anylens.core.errors import AbsentPointError, FamilyError
from anylens.families import Family, Matches, Named


class TwoAnswers(nn.Module):
    """Answers twice from one hidden value, and stacks the answers into the rows of the batch."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(head=SimpleNamespace(answers=2))
        self.hidden = nn.Linear(3, 7)
        self.answers = nn.ModuleList([nn.Linear(7, 4), nn.Linear(7, 4)])
        self.last = nn.Identity()

    def forward(self, input):
        hidden = self.hidden(input).relu()
        both = torch.stack([answer(hidden) for answer in self.answers], dim=1)
        return self.last(both.flatten(0, 1))


def lens_with(**points: Named) -> anylens.Lens:
    family = Family(
        name="two answers", matches=Matches(classes=("TwoAnswers",)), example=print, points=points
    )
    torch.manual_seed(0)
    return anylens.attach(TwoAnswers().eval(), torch.randn(5, 3), family=family)


BOTH = Named("last.hook_out", "(batch answer) label -> batch answer label", {"answer": "head.answers"})


def test_a_number_goes_from_the_place_into_the_name():
    lens = lens_with(**{"answer.{n}.logits": Named("answers.{n}.hook_out", "batch label")})
    assert [point.name for point in lens.points.find("answer.*")] == ["answer.0.logits", "answer.1.logits"]
    input = torch.randn(5, 3)
    _, cache = lens.run_with_cache(input, points="answer.1.logits")
    assert cache.axes("answer.1.logits") == ("batch", "label")
    assert torch.equal(
        cache["answer.1.logits"], lens.model.answers[1](lens.model.hidden(input).relu()).detach()
    )


def test_an_operation_can_be_named():
    lens = lens_with(both=Named("op.stack.0.hook_out", "batch answer label"))
    assert lens.points["both"].shape == (5, 2, 4)


def test_what_a_pattern_shows_is_written_back_through_it():
    lens = lens_with(both=BOTH)
    input = torch.randn(5, 3)
    assert lens.points["both"].shape == (5, 2, 4)
    edited = lens.run_with_hooks(input, hooks={"both": anylens.set_to(9.0).on(answer=1)})
    before = lens.model(input)
    assert torch.equal(edited[::2], before[::2])
    assert (edited[1::2] == 9).all()


def test_named_points_are_under_the_contract():
    report = check(lens_with(both=BOTH), torch.randn(5, 3))
    assert report.ok, report.table()
    assert report["values"].count


def test_what_the_forward_did_not_come_by_says_so():
    lens = lens_with(third=Named("answers.2.hook_out", "batch label"))
    with pytest.raises(AbsentPointError, match=r"did not come by answers\.2\.hook_out"):
        lens.points["third"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (Named("last.hook_out", "batch answer label"), r"'both' has 2 axes, \[10, 4\]"),
        (Named("last.hook_out", "(batch answer) x -> batch answer x", {"answer": "answers"}), "'answers'"),
        (Named("last.hook_out", "(a b) x y -> a b x y", {"b": "head.answers"}), "does not fit"),
    ],
)
def test_axes_that_do_not_fit_are_refused(named, said):
    with pytest.raises(FamilyError, match=said):
        lens_with(both=named)
