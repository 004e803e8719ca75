"""Reading changes nothing: with every read tap on, the model gives what it gives without a lens."""

import torch

from anylens.anatomy.points import Point
from anylens.conformance.compare import MANY, differences, tensors
from anylens.conformance.report import Tally
from anylens.conformance.subject import Subject, said


def read_only(subject: Subject, tally: Tally) -> None:
    """Compare the output with taps on, one kind of point at a time and all together, bit for bit."""
    again = differences(subject.output, subject.own())
    if again:
        tally.fail("the model itself", f"gives two outputs for one input and one seed: {again[0]}")
        return
    kinds = {"canonical": subject.plain, "native": subject.native, "op": subject.ops}
    for kind, points in [*kinds.items(), ("all", [point for group in kinds.values() for point in group])]:
        for group in subject.batches(points):
            _compare(subject, tally, f"{kind} points", group)
    _random_numbers(subject, tally)


def _compare(subject: Subject, tally: Tally, what: str, group: list[Point]) -> None:
    try:
        output, _ = subject.read(group)
    except Exception as error:
        tally.fail(what, said(error))
        return
    found = differences(subject.output, output)
    tally.count += len(tensors(output)) - 1 if tensors(output) else 0
    tally.expect(not found, f"output with {len(group)} {what} read", found[0] if found else "")


def _random_numbers(subject: Subject, tally: Tally) -> None:
    """A run with taps draws as many random numbers as the model alone."""
    state = torch.random.get_rng_state()
    try:
        args, kwargs = subject.fresh()
        with torch.no_grad():
            torch.manual_seed(1)
            subject.model(*args, **kwargs)
            own = torch.random.get_rng_state()
            torch.manual_seed(1)
            subject.lens.run_with_cache(*args, points=[p.name for p in subject.plain[:8]] or "*", **kwargs)
            tally.expect(
                torch.equal(own, torch.random.get_rng_state()),
                "the random state",
                "is another after a run with taps than after the model alone",
            )
    except Exception as error:
        tally.fail("the random state", said(error))
    finally:
        torch.random.set_rng_state(state)


def fast_path(subject: Subject, tally: Tally) -> None:
    """Compare with torch's fused encoder path, which no hook or mode can see into: within tolerance."""
    kinds = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer)
    if not any(isinstance(module, kinds) for module in subject.model.modules()):
        return
    torch.backends.mha.set_fastpath_enabled(True)
    try:
        own = subject.own()
        output, _ = subject.read(subject.plain)
    finally:
        torch.backends.mha.set_fastpath_enabled(False)
    found = differences(own, output, MANY)
    tally.expect(not found, "output with the fused encoder path on", found[0] if found else "")
    tally.note(
        "all other checks are made with torch's fused encoder path off: a tap inside it switches it off"
    )
