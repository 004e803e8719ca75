"""What a step of training asks of the other ranks. Variants call these, and know nothing else of them.

Either each rank has some rows of a batch and all latents, or all rows and some of the latents.

Shapes: B rows, K candidates of a row, N candidates of the batch, all of this rank.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from anylens.sae.sparse import Pairs


class Across(ABC):
    """What is the same for every rank once all have said theirs.

    Attributes:
        first: the number of the first latent here.
    """

    first: int = 0

    @abstractmethod
    def largest_of_rows(self, values_BK: Tensor, latents_BK: Tensor, k: int) -> Pairs:
        """Return which candidates are among the k largest of their row, whichever ranks the others are on.

        Args:
            values_BK: the k largest of each row here, or all there are.
            latents_BK: the latents that they are of.
            k: how many of a row are kept.
        """

    @abstractmethod
    def largest_of_batch(self, values_N: Tensor, wanted: int) -> int:
        """Return how many candidates are among the largest of the whole batch.

        Args:
            values_N: the largest here, in falling order: `wanted` of them, or all there are.
            wanted: how many are kept on all ranks together.
        """

    @abstractmethod
    def rows(self, here: int) -> int:
        """Return how many rows the batch has, given those that are here."""

    @abstractmethod
    def total(self, here: Tensor) -> Tensor:
        """Return the sum over the ranks of what is made from latents."""

    @abstractmethod
    def least(self, here: Tensor) -> Tensor:
        """Return the smallest of the ranks' numbers."""

    @abstractmethod
    def once(self, here: Tensor) -> Tensor:
        """Return what every rank has alike such that it counts once in a total."""


class Here(Across):
    """There are no other ranks."""

    def largest_of_rows(self, values_BK: Tensor, latents_BK: Tensor, k: int) -> Pairs:
        return Pairs(values_BK.relu(), latents_BK)

    def largest_of_batch(self, values_N: Tensor, wanted: int) -> int:
        return len(values_N)

    def rows(self, here: int) -> int:
        return here

    def total(self, here: Tensor) -> Tensor:
        return here

    def least(self, here: Tensor) -> Tensor:
        return here

    def once(self, here: Tensor) -> Tensor:
        return here


HERE = Here()
