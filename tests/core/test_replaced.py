"""Functions are replaced while someone has a claim on them, ask nobody else, and come back."""

import sys
import threading

import pytest

from anylens.core.replaced import find_function, replace_function

HERE = __name__


def double(value):
    return 2 * value


class Adder:
    def add(self, one, other=1):
        return one + other

    @classmethod
    def of_class(cls):
        return cls


class Heir(Adder):
    pass


@pytest.fixture(autouse=True)
def _loaded(monkeypatch):
    """This module under its own name, whatever pytest has imported it as."""
    monkeypatch.setitem(sys.modules, HERE, sys.modules[double.__module__])


def test_a_claim_answers_or_lets_the_call_pass():
    own = double
    handle = replace_function(
        f"{HERE}.double", lambda own, args, kwargs: -1 if args == (7,) else NotImplemented
    )
    assert double is not own
    assert double.__name__ == "double"
    assert (double(7), double(3)) == (-1, 6)
    handle.remove()
    assert double is own
    handle.remove()
    assert double is own


def test_methods_are_replaced_in_their_class():
    own = Adder.add
    handle = replace_function(f"{HERE}.Adder.add", lambda own, args, kwargs: own(*args, **kwargs) + 100)
    assert (Adder().add(1, other=2), Heir().add(1)) == (103, 102)
    handle.remove()
    assert Adder.add is own
    assert "add" not in vars(Heir)


def test_two_claims_stay_until_both_are_given_up():
    own = double
    first = replace_function(f"{HERE}.double", lambda *_: NotImplemented)
    second = replace_function(f"{HERE}.double", lambda *_: "second")
    first.remove()
    assert double(1) == "second"
    second.remove()
    assert double is own


def test_what_another_has_put_there_meanwhile_stays(monkeypatch):
    handle = replace_function(f"{HERE}.double", lambda *_: "claimed")

    def other(value):
        return value

    monkeypatch.setattr(sys.modules[HERE], "double", other)
    handle.remove()
    assert sys.modules[HERE].double is other
    monkeypatch.undo()
    sys.modules[double.__module__].double = double.__wrapped__ if hasattr(double, "__wrapped__") else double


@pytest.mark.parametrize(
    "path",
    [
        "no.such.function",
        "double",
        f"{HERE}.HERE",
        f"{HERE}.Heir.add",
        f"{HERE}.Adder.of_class",
        f"{HERE}.x.y",
    ],
)
def test_what_is_no_function_of_its_own_is_not_found(path):
    assert find_function(path) is None
    assert replace_function(path, lambda *_: None) is None


def test_many_threads_leave_the_function_where_it_was():
    own = double
    wrong = []

    def work(number):
        for _ in range(200):
            mine = threading.get_ident()
            handle = replace_function(
                f"{HERE}.double",
                lambda own, args, kwargs, mine=mine: (
                    number if threading.get_ident() == mine else NotImplemented
                ),
            )
            if double(5) != number:
                wrong.append(number)
            handle.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert double is own
