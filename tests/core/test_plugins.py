"""Entry points become values, or the exceptions that importing them raised."""

from importlib.metadata import EntryPoint

from anylens.core.plugins import find_plugins, load_plugins


def test_the_built_ins_are_found_without_an_import():
    found = {entry.name: entry.dist.name for entry in find_plugins("anylens.families") if entry.dist}
    assert found.items() >= {("text", "anylens"), ("convolutional", "anylens")}
    assert not find_plugins("anylens.no_such_group")


def test_one_that_raises_leaves_the_others():
    named = [("good", "math:pi"), ("absent", "no_such_module:x"), ("wrong", "math:no_such_name")]
    good, absent, wrong = load_plugins(EntryPoint(name, value, "group") for name, value in named)
    assert good.value > 3
    assert good.error is None
    assert isinstance(absent.error, ModuleNotFoundError)
    assert isinstance(wrong.error, AttributeError)
    assert "'wrong'" in str(wrong)
