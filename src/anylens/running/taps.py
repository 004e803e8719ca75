"""Put the taps of a run on a model while some code calls it.

Hooks go on when the run begins and come off when it ends, however it ends. A hook does nothing unless its run is
the one under way in the thread or task that calls the model.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from anylens.running.active import activated, active
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
        if run.plan.sites:
            wiring.install()
        with activated(id(run.root), run):
            yield run
    except Enough:
        if not run.stop_early:
            raise
    finally:
        run.scopes.sleep()
        wiring.remove()
