"""Order: an edit shows downstream of its point and nowhere else."""

from collections.abc import Iterator

from anylens.anatomy.points import Point
from anylens.conformance.deadends import why_dead
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject
from anylens.conformance.sweep import Sweep
from anylens.core.names import split_block

# (upstream, downstream) within one block: an edit of the first shows in the second, never the other way round.
FLOW: tuple[tuple[str, str], ...] = (
    *(
        (f"{part}.{first}", f"{part}.{second}")
        for part in ("attn", "cross_attn")
        for first, second in (
            ("hook_q", "hook_attn_scores"),
            ("hook_k", "hook_attn_scores"),
            ("hook_attn_scores", "hook_pattern"),
            ("hook_pattern", "hook_z"),
            ("hook_v", "hook_z"),
            ("hook_z", "hook_result"),
        )
    ),
    *((f"{part}.hook_z", f"hook_{part}_out") for part in ("attn", "cross_attn")),
    *((f"{part}.hook_result", f"hook_{part}_out") for part in ("attn", "cross_attn")),
    ("mlp.hook_pre", "mlp.hook_post"),
    ("mlp.hook_pre_linear", "mlp.hook_post"),
    ("mlp.hook_post", "hook_mlp_out"),
    *((f"ssm.hook_{one}", "ssm.hook_state") for one in ("x", "dt", "B")),
    *((f"ssm.hook_{one}", "ssm.hook_y") for one in ("x", "dt", "B", "C", "state")),
    ("ssm.hook_conv", "ssm.hook_x"),
    ("ssm.hook_y", "hook_mixer_out"),
    ("ssm.hook_gate", "hook_mixer_out"),
    ("mlp.hook_router_logits", "mlp.hook_expert_weights"),
    ("mlp.hook_expert_indices", "mlp.hook_expert_in"),
    ("mlp.hook_expert_in", "mlp.hook_expert_out"),
    *((f"mlp.hook_{one}", "hook_mlp_out") for one in ("router_logits", "expert_weights", "expert_out")),
    ("hook_attn_out", "hook_resid_mid"),
    *(
        (one, "hook_resid_post")
        for one in (
            "hook_resid_pre",
            "hook_resid_mid",
            "hook_resid_mid_cross",
            "hook_attn_out",
            "hook_cross_attn_out",
            "hook_mlp_out",
            "hook_conv_out",
            "hook_mixer_out",
        )
    ),
    ("hook_resid_pre", "hook_resid_mid"),
    ("hook_resid_post", "hook_normalized_resid_post"),
)


def earlier_blocks(subject: Subject, tally: Tally, sweep: Sweep) -> None:
    """An edit in a block leaves the stream of every earlier block as it was, and changes what leaves its own."""
    for point in subject.edited:
        done, place = sweep.at(point), split_block(point.name)
        if done.error or place is None:
            continue
        stem, layer, _ = place
        for name in done.touched | done.kept:
            other = split_block(name)
            same = (
                subject.by_name[name].tap == point.tap
            )  # one place, as what leaves a block and enters the next
            if other is None or other[1] >= layer or same:
                continue
            tally.expect(
                name in done.kept, name, f"changed with an edit at {point.name}, which comes after it"
            )
        following = f"{stem}blocks.{layer + 1}.hook_resid_pre"
        if following in done.touched | done.kept and not _carries_nothing(subject, sweep, point):
            tally.expect(following in done.touched, following, f"did not change with an edit at {point.name}")


def _carries_nothing(subject: Subject, sweep: Sweep, point: Point) -> bool:
    """Whether a point is a dead end."""
    return not sweep.at(point).live and bool(why_dead(subject, sweep, point))


def within_blocks(subject: Subject, tally: Tally, sweep: Sweep) -> None:
    """Within a block an edit shows where the table FLOW says, and not against it."""
    for names, first_writes in _blocks(subject):
        for first, second in FLOW:
            if first not in names or second not in names:
                continue
            if (first, second) == ("hook_attn_out", "hook_resid_mid") and "attn" not in first_writes:
                continue  # it writes after the stream that is named so
            up, down = names[first], names[second]
            done, back = sweep.at(up), sweep.at(down)
            if not done.error and not _carries_nothing(subject, sweep, up):
                tally.expect(
                    down.name in done.touched, down.name, f"did not change with an edit at {up.name}"
                )
            if not back.error:
                tally.expect(
                    up.name in back.kept, up.name, f"changed with an edit at {down.name}, which follows it"
                )


def _blocks(subject: Subject) -> Iterator[tuple[dict[str, Point], tuple[str, ...]]]:
    """Yield the points of the chosen blocks by their names within each, and the kinds of what its first add writes.

    One of several writes keeps its number, and so is in no row of the table.
    """
    records = dict(subject.blocks())
    for base in (base for part in subject.parts for base in part.bases):
        block = records[base]
        names = {point.name.removeprefix(f"{base}."): point for point in subject.of_block(base)}
        yield names, block.writes[: block.sums[0] if block.sums else 1]
