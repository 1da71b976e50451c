"""Libraries that come with an extra: imported when used, with the way to get them."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from onsa.errors import InputError


def missing_extra(package: str, extra: str) -> InputError:
    """What to say when `package`, which comes with the extra `extra`, is not installed."""
    return InputError(f"needs {package}", way_out=f"pip install 'onsa[{extra}]'")


def import_extra(module: str, package: str, extra: str) -> ModuleType:
    """`import module`.

    Raises:
        InputError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # What a library's own code makes Python say is nothing a user of onsa can mend.
            warnings.simplefilter("ignore", SyntaxWarning)
            return importlib.import_module(module)
    except ModuleNotFoundError:
        raise missing_extra(package, extra) from None
