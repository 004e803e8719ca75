"""One tree of errors, so that `except AnylensError` catches what this library refuses and nothing else.

AnylensError
├── AttachError            the model or its example was refused, or nothing in it could be watched
├── AnatomyError           the structure of a model could not be read, saved or loaded
│   └── RunMismatchError   a run shows something that the anatomy does not allow for
├── PointError             a name, or what a name stands for
│   ├── UnknownPointError  no such point in this lens; carries the nearest names
│   └── AbsentPointError   a canonical point that this model does not have; carries the reason
├── EditError              what a hook or an intervention asked for cannot be done
│   ├── ShapeError         the value has another shape than the point
│   ├── DtypeError         the value is not a tensor, or has another dtype than the point
│   └── AxisError          the point does not have this axis
├── RunError               a run that cannot give what was asked (several calls of a point: use `record`)
├── FamilyError            a plugin was refused
│   └── FamilyConflictError  two families claim the same model
├── StoreError             rows on disk
│   └── DamagedShardError  a file of a store is missing or does not match its checksum
├── SaeError               an autoencoder cannot be trained as asked
│   └── RankError          a process of a training that has several failed, or does not answer
├── LoadError              a model, an SAE or a file could not be loaded
│   └── MissingExtraError  an optional library is absent; names the pip extra
├── ZooError               no such world or weights in the zoo, or they are unusable
└── ConformanceError       a lens does not keep the contract

Where an error is also one of Python's own kinds (KeyError, ValueError, TypeError, RuntimeError, ImportError,
AssertionError), it is that too. Every message says what was wrong, what was given, and what to do.
"""

from collections.abc import Iterable
from typing import Self

from anylens.core.suggest import nearest


class AnylensError(Exception):
    """The root of everything that anylens raises on purpose."""

    def __str__(self) -> str:
        """Return the message as written; KeyError alone would quote it."""
        return Exception.__str__(self)


class AttachError(AnylensError, ValueError):
    """The model or its example was refused, or nothing in it could be watched."""


class AnatomyError(AnylensError):
    """The structure of a model could not be read, saved or loaded."""


class RunMismatchError(AnatomyError, RuntimeError):
    """A run shows something that the anatomy does not allow for."""


class PointError(AnylensError):
    """A name of a point, or what the name stands for, is wrong."""


class UnknownPointError(PointError, KeyError):
    """No point of this lens has that name; `name` is what was asked for, `nearest` what comes close."""

    def __init__(self, message: str, *, name: str = "", nearest: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.nearest = tuple(nearest)

    @classmethod
    def among(cls, name: str, candidates: Iterable[str]) -> Self:
        """Build the error for a name or glob that none of the candidates answers to."""
        close = nearest(name, candidates)
        hint = f"The nearest names are {', '.join(close)}." if close else "No name comes near it."
        return cls(f"No point is named {name!r} or matches it. {hint}", name=name, nearest=close)


class AbsentPointError(PointError, KeyError):
    """A canonical point that this model does not have; `name` is what was asked for, `why` the reason."""

    def __init__(self, message: str, *, name: str = "", why: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.why = why

    @classmethod
    def because(cls, name: str, why: str) -> Self:
        """Build the error from the reason, a clause such as `its blocks are parallel`."""
        return cls(f"This model has no {name}: {why.rstrip('.')}.", name=name, why=why)


class EditError(AnylensError):
    """What a hook or an intervention asked for cannot be done."""


class ShapeError(EditError, ValueError):
    """The value has another shape than the point."""


class DtypeError(EditError, TypeError):
    """The value is not a tensor, or has another dtype than the point."""


class AxisError(EditError, ValueError):
    """The point does not have this axis, or not this index on it."""


class RunError(AnylensError, RuntimeError):
    """A run cannot give what was asked of it."""


class FamilyError(AnylensError, ValueError):
    """A family plugin was refused; the message names the plugin, the field, what was expected and found."""


class FamilyConflictError(FamilyError):
    """Two families claim the same model; the message names both."""


class StoreError(AnylensError, ValueError):
    """Rows on disk cannot be written, read or resumed as asked."""


class DamagedShardError(StoreError):
    """A file of a store is missing or does not match its checksum; the message names it."""


class SaeError(AnylensError, RuntimeError):
    """An autoencoder cannot be trained as asked."""


class RankError(SaeError):
    """A process of a training that has several failed, or does not answer."""


class LoadError(AnylensError):
    """A model, an SAE or a file could not be loaded."""


class MissingExtraError(LoadError, ImportError):
    """An optional library is absent; `extra` is the pip extra that brings it."""

    def __init__(self, message: str, *, module: str = "", extra: str = "") -> None:
        super().__init__(message)
        self.module = module
        self.extra = extra

    @classmethod
    def of(cls, module: str, *, extra: str) -> Self:
        """Build the error for a module that a pip extra would have brought."""
        library = module.partition(".")[0]
        message = f'This needs {library}, which is not installed. Run: pip install "anylens[{extra}]"'
        return cls(message, module=module, extra=extra)


class ZooError(AnylensError, ValueError):
    """There is no such world or model in the zoo, or its weights are unusable."""


class ConformanceError(AnylensError, AssertionError):
    """A lens does not keep the contract; the message names the check and the point."""
