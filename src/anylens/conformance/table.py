"""The checks: one table. A new check is one function and one row here."""

from collections.abc import Callable
from dataclasses import dataclass

from anylens.conformance import (
    attention,
    axes,
    edits,
    experts,
    firing,
    gradients,
    hygiene,
    names,
    order,
    reading,
    repeated,
    standins,
    states,
    streams,
    values,
)
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject
from anylens.conformance.sweep import Sweep

Judge = Callable[[Subject, Tally, Sweep], None]


@dataclass(frozen=True)
class Check:
    """One check: its name, what holds if it passes, and the function that finds out."""

    name: str
    meaning: str
    judge: Judge


def _alone(function: Callable[[Subject, Tally], None]) -> Judge:
    """Take a check that edits nothing at all points, and so needs no sweep."""
    return lambda subject, tally, _: function(subject, tally)


CHECKS: tuple[Check, ...] = (
    Check("names", "every block has each canonical point or a reason", _alone(names.are_complete)),
    Check("prefixes", "points lie in the block and the part that they name", _alone(names.prefixes_hold)),
    Check("read-only", "the output with taps on is the model's own, bit for bit", _alone(reading.read_only)),
    Check("fast-path", "so it is, within tolerance, with fused encoder layers", _alone(reading.fast_path)),
    Check(
        "stand-ins",
        "the output with stand-ins is the model's own, within tolerance",
        _alone(standins.near_enough),
    ),
    Check("stand-in-only-there", "a stand-in replaces one call and no other", _alone(standins.only_there)),
    Check("fires-once", "every point is reached exactly once in a forward", _alone(firing.fires_once)),
    Check("as-announced", "shapes, dtypes and axes are those announced", _alone(firing.as_announced)),
    Check("axes", "axes follow the dimension of the input that they name", _alone(axes.follow_the_input)),
    Check("rows-apart", "a row of the batch has no part in another", _alone(axes.rows_apart)),
    Check("values", "values are those that plain hooks see", _alone(values.as_witnessed)),
    Check("blocks", "the stream's points are what enters and leaves the blocks", _alone(values.at_blocks)),
    Check("own-memory", "captured values share no memory with anything", _alone(values.own_memory)),
    Check("edits", "an edit at every canonical point changes the output", edits.change_the_output),
    Check("edits-arrive-once", "the model computes with the edited value, changed once", edits.arrive_once),
    Check(
        "edits-of-nothing",
        "a value written back as it is changes nothing",
        _alone(edits.keep_when_nothing_changes),
    ),
    Check(
        "edits-native",
        "edits at native points and operations do what plain hooks do",
        _alone(edits.at_native_points),
    ),
    Check("stream-sums", "the stream after is the stream before and what is written", _alone(streams.add_up)),
    Check("stream-removal", "without what is written the stream stays", _alone(streams.removed_writes)),
    Check("stream-hand-over", "what leaves a block enters the next", _alone(streams.hand_over)),
    Check("attention", "patterns are softmaxed scores, sum to one, and mix v to z", _alone(attention.agree)),
    Check("attention-reach", "queries move rows, keys columns, each its own heads", _alone(attention.reach)),
    Check("attention-uniform", "a uniform pattern changes the output", _alone(attention.uniform)),
    Check("states", "what is read out is C times the state", _alone(states.read_out)),
    Check("states-flow", "an edited state flows into later positions only", _alone(states.flow)),
    Check("experts", "the mixture is what the chosen experts give, weighted", _alone(experts.mixed)),
    Check("experts-apart", "an edit of one expert at one position stays there", _alone(experts.alone)),
    Check("order", "an edit leaves earlier blocks alone and reaches the next", order.earlier_blocks),
    Check("order-within", "within a block edits show downstream only", order.within_blocks),
    Check("gradients", "gradients reach every differentiable point", gradients.reach_every_point),
    Check("stop-early", "ending early gives the same values", _alone(repeated.early)),
    Check("own-values", "each run gives its own values", _alone(repeated.own_values)),
    Check("hygiene", "nothing is left on the model, its config or torch", _alone(hygiene.leaves_nothing)),
)
