"""Optional libraries: imported when used, and if absent the error names the pip extra that brings them."""

from importlib import import_module
from types import ModuleType

from anylens.core.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, or raise MissingExtraError with the pip command for `extra`.

    Only the absence of the library itself counts: an ImportError from inside an installed library is passed on
    as it is, since installing the extra again would not cure it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError.of(module, extra=extra) from error
