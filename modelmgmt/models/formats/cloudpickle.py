"""Any Python object or function, as a pickle: loading it runs what its writer wanted, so trust is asked for first."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from modelmgmt.models.formats import CannotHoldError, Saved, plain_predict
from modelmgmt.models.packaging.files import Files

NAME = "cloudpickle"
EXECUTES = True
NEEDS = ("cloudpickle",)
FILE = "model.pkl"


def accepts(model: Any) -> bool:
    del model
    return True


def save(model: Any, folder: Path) -> Saved:
    """Written straight to the file. The modules that it refers to are noted on the way: they cost no second reading."""
    import cloudpickle

    seen: set[str] = set()

    class Noting(cloudpickle.CloudPickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            seen.add(_module_of(obj))
            return super().reducer_override(obj)

    try:
        with (folder / FILE).open("wb") as file:
            Noting(file, protocol=5).dump(model)
    except OSError:
        raise
    except Exception as error:  # whatever the model's own methods raise
        raise CannotHoldError(
            f"it can not be pickled ({type(error).__name__}: {error}): take out open files, locks, connections and "
            "generators, or keep what they hold"
        ) from error
    return Saved(frozenset(seen) - {"", "__main__"}, {})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    """Runs what the pickle says, for those whom the caller trusts; with names, makes objects of these types alone."""
    del options
    if trusted is not None:
        from modelmgmt.models.trust.pickle_reader import load_restricted

        return load_restricted(files.read(FILE), trusted)
    import pickle

    with files.open(FILE) as file:
        return pickle.load(file)  # noqa: S301 - trust was decided before


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)


def _module_of(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return getattr(value, "__module__", None) or ""
    name = type(value).__module__
    return name if name in sys.modules else ""
