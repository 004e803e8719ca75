"""The families at hand: found by entry point, checked when they register, and asked which models they claim.

Nothing is imported before the first model asks. A plugin that fails is left out with a warning and kept in
`problems()`; everything else goes on working.
"""

import warnings
from functools import cache
from importlib.metadata import EntryPoint

from torch import nn

from anylens.core.errors import FamilyConflictError, FamilyError
from anylens.core.plugins import Plugin, find_plugins, load_plugins
from anylens.core.suggest import nearest
from anylens.families.check import problems_of
from anylens.families.family import Family

GROUP = "anylens.families"


class Registry:
    """The families that some entry points give, each with the plugin it came from."""

    def __init__(self, found: list[EntryPoint]) -> None:
        self._plugins: dict[str, Plugin] = {}
        self._problems: list[FamilyError] = []
        for plugin in load_plugins(found):
            self._register(plugin)

    def families(self) -> tuple[Family, ...]:
        """Return the families that could be registered."""
        return tuple(plugin.value for plugin in self._plugins.values())

    def problems(self) -> tuple[FamilyError, ...]:
        """Return what went wrong, each as an error that names its plugin."""
        return tuple(self._problems)

    def named(self, name: str) -> Family:
        """Return a family by name; raises FamilyError with the nearest names, and with what went wrong."""
        if name in self._plugins:
            family: Family = self._plugins[name].value
            return family
        close = nearest(name, self._plugins) or sorted(self._plugins)
        failed = "".join(f" {problem}" for problem in self._problems)
        raise FamilyError(f"No family is named {name!r}. There is {', '.join(close)}.{failed}")

    def family_for(self, model: nn.Module) -> Family | None:
        """Return the family that claims a model, or None.

        Raises FamilyConflictError if several do.
        """
        claims = [plugin for plugin in self._plugins.values() if self._claims(plugin, model)]
        if len(claims) > 1:
            named = " and ".join(f"{plugin.value.name!r} ({plugin})" for plugin in claims)
            raise FamilyConflictError(
                f"{len(claims)} families claim {type(model).__name__}: {named}. "
                "Pass family=NAME to say which, or narrow what one of them matches."
            )
        return claims[0].value if claims else None

    def _register(self, plugin: Plugin) -> None:
        if plugin.error is not None:
            self._refuse(plugin, f"it raised {type(plugin.error).__name__}: {plugin.error}", plugin.error)
            return
        wrong = "; ".join(problems_of(plugin.value))
        if wrong:
            self._refuse(plugin, wrong)
        elif plugin.value.name in self._plugins:
            other = self._plugins[plugin.value.name]
            self._refuse(plugin, f"field name: {plugin.value.name!r} is taken by the family plugin {other}")
        else:
            self._plugins[plugin.value.name] = plugin

    def _claims(self, plugin: Plugin, model: nn.Module) -> bool:
        """Ask whether a family claims a model; one that cannot answer does not, and is not asked again."""
        try:
            return bool(plugin.value.matches.claims(model))
        except Exception as error:  # whatever a plugin's own function raises
            self._plugins = {name: one for name, one in self._plugins.items() if one is not plugin}
            self._refuse(plugin, f"field matches: it raised {type(error).__name__}: {error}", error)
            return False

    def _refuse(self, plugin: Plugin, why: str, cause: Exception | None = None) -> None:
        problem = FamilyError(f"The family plugin {plugin} was refused: {why}.")
        problem.__cause__ = cause
        self._problems.append(problem)
        warnings.warn(f"{problem} Other families are not affected.", stacklevel=2)


@cache
def installed() -> Registry:
    """Return the registry of what is installed, read once."""
    return Registry(find_plugins(GROUP))


def families() -> tuple[Family, ...]:
    """Return the families that are installed and sound."""
    return installed().families()


def problems() -> tuple[FamilyError, ...]:
    """Return what is wrong with installed plugins, each as an error that names the plugin."""
    return installed().problems()


def family_named(name: str) -> Family:
    """Return an installed family by name."""
    return installed().named(name)


def family_for(model: nn.Module) -> Family | None:
    """Return the installed family that claims a model, or None; FamilyConflictError if several do."""
    return installed().family_for(model)
