"""Put the taps of a run on a model while some code calls it.

Hooks go on when the run begins and come off when it ends, however it ends. A hook does nothing unless its run is
the one under way in the thread or task that calls the model.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from anylens.running.active import activated, active
from anylens.running.clock import Clock, ticking
from anylens.running.run import Enough, Run
from anylens.running.wiring import Wiring


@contextmanager
def taps(run: Run) -> Iterator[Run]:
    """Put the taps on, and take them off again, whatever happens in between.

    A run inside another on the same model does what the outer one does first, then its own.
    """
    around: Run | None = active(id(run.root))
    if around is not None:
        run.join(around)
    wiring = Wiring(run)
    try:
        if run.plan.by_name:
            wiring.install()
        if around is not None:
            for clock in run.plan.clocks():
                clock.listen()  # anew, so that it is left after the hooks just installed
        with activated(id(run.root), run):
            yield run
    except Enough:
        if not run.tally.stop_early:
            raise
    finally:
        run.scopes.sleep()
        wiring.remove()


@contextmanager
def under_way(runs: Sequence[Run], clock: Clock | None = None) -> Iterator[None]:
    """Have several runs under way, each on its own model, with one clock."""
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(taps(run))
        if clock is not None and (clock.heard or any(clock in run.plan.clocks() for run in runs)):
            stack.enter_context(ticking(clock))
        yield
