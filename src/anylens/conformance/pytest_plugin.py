"""The contract as a pytest fixture, for whoever writes a family or a model.

pytest finds it by the entry point that anylens registers::

    def test_my_model(anylens_conformance):
        anylens_conformance(MyModel(), torch.randn(2, 7, 16))

The test fails with the table of checks if the lens does not keep the contract.
"""

from collections.abc import Callable
from typing import Any

import pytest

from anylens.conformance.report import Report

Conformance = Callable[..., Report]


def conformance(model: Any, example: Any = None, **options: Any) -> Report:
    """Attach to a model, or take a lens, and require that it keeps the contract.

    Args:
        model: a module or a lens.
        example: an input, as `attach` takes it; without one the family that claims the model gives it.
        **options: what `anylens.conformance.check` takes besides.

    Raises:
        ConformanceError: with the table of checks.
    """
    from anylens.attaching import attach
    from anylens.conformance.checking import check
    from anylens.lens import Lens

    lens = model if isinstance(model, Lens) else attach(model, example)
    return check(lens, example, **options).require()


@pytest.fixture
def anylens_conformance() -> Conformance:
    """Give the function that checks a model or a lens, and fails the test if the contract is not kept."""
    return conformance
