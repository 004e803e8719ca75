"""From a running model to rows on disk, with where each row came from."""

from anylens.harvest.harvest import harvest
from anylens.store.batches import Batches
from anylens.store.reader import InMemory, Store

__all__ = ["Batches", "InMemory", "Store", "harvest"]
