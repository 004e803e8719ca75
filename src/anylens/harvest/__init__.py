"""From a running model to rows, on disk or in memory, with where each row came from."""

from anylens.harvest.collect import collect
from anylens.harvest.engines import Ray
from anylens.harvest.harvest import harvest
from anylens.harvest.job import Job
from anylens.harvest.live import Live
from anylens.store.batches import Batches
from anylens.store.reader import InMemory, Store

__all__ = ["Batches", "InMemory", "Job", "Live", "Ray", "Store", "collect", "harvest"]
