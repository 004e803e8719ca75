import copy
import inspect
import re

import pytest

from anylens.core import errors
from anylens.core.errors import AbsentPointError, AnylensError, MissingExtraError, UnknownPointError

CLASSES = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, AnylensError)
]


def drawn_tree() -> dict[str, str | None]:
    """Each class in the module docstring's drawing with the one it hangs from."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := re.match(r"([│├└─ ]*)(\w+Error)(?:  |$)", line):
            depth = len(match[1]) // 4
            parents[match[2]] = above[depth - 1] if depth else None
            above[depth:] = [match[2]]
    return parents


def test_the_drawing_is_the_tree():
    def parent(cls):
        return cls.__bases__[0].__name__ if cls is not AnylensError else None

    assert drawn_tree() == {cls.__name__: parent(cls) for cls in CLASSES}


@pytest.mark.parametrize("cls", CLASSES)
def test_messages_are_shown_as_written_and_survive_a_copy(cls):
    error = cls('it\'s "this"\nand that')
    assert str(error) == str(copy.copy(error)) == 'it\'s "this"\nand that'


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("UnknownPointError", KeyError),
        ("AbsentPointError", KeyError),
        ("AttachError", ValueError),
        ("ShapeError", ValueError),
        ("DtypeError", TypeError),
        ("AxisError", ValueError),
        ("RunError", RuntimeError),
        ("RunMismatchError", RuntimeError),
        ("MissingExtraError", ImportError),
        ("ConformanceError", AssertionError),
    ],
)
def test_errors_are_also_of_pythons_kinds(name, kind):
    assert issubclass(getattr(errors, name), kind)


def test_unknown_point_offers_the_nearest():
    error = UnknownPointError.among("blocks.0.hook_resid_past", ["blocks.0.hook_resid_post", "hook_embed"])
    assert error.nearest == ("blocks.0.hook_resid_post",)
    assert "'blocks.0.hook_resid_past'" in str(error)
    assert "blocks.0.hook_resid_post" in str(error)
    assert copy.copy(error).nearest == error.nearest


def test_unknown_point_without_neighbours_says_so():
    assert "No name comes near it" in str(UnknownPointError.among("zzz", ["hook_embed"]))


def test_absent_point_says_why():
    error = AbsentPointError.because("blocks.0.hook_resid_mid", "its blocks are parallel")
    assert str(error) == "This model has no blocks.0.hook_resid_mid: its blocks are parallel."
    assert error.why == "its blocks are parallel"


def test_missing_extra_keeps_module_and_extra():
    error = copy.copy(MissingExtraError.of("jinja2.ext", extra="report"))
    assert (error.module, error.extra) == ("jinja2.ext", "report")
