"""What the restricted reader makes: the list in `allowed.txt`, exact names only, and what a caller adds to it.

A name is resolved to the real thing, which must say itself that it has this name: a module that merely imported
something under a name of the list does not count.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from modelmgmt.errors import RefusedPickleError

_FILLED_HERE = frozenset(
    {"numpy.dtype", "numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct"}
    | {"numpy.ma.core._mareconstruct", "joblib.numpy_pickle.NumpyArrayWrapper"}
    | {"copyreg._reconstructor", "copyreg.__newobj__"}
)
_FILE = Path(__file__).with_name("allowed.txt")
_VERBS = ("value", "type", "call", "fill", "made")


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be done with which name.

    `values` may be named. `types` are classes of which an empty instance may be made and given its state. `calls` are
    called with arguments of one of the given shapes; what those in `filled` give takes a state. `made` are never looked
    up: the reader has its own maker for each.
    `extra` are the caller's: classes are called as the pickle says, functions may only stand as values.
    """

    values: frozenset[str]
    types: frozenset[str]
    calls: Mapping[str, tuple[tuple[str, ...], ...]]
    filled: frozenset[str]
    made: frozenset[str]
    extra: frozenset[str]

    def knows(self, name: str) -> bool:
        """Whether a pickle may name it at all."""
        return (
            name in self.values or name in self.types or name in self.calls or name in self.made or name in self.extra
        )

    def may_fill(self, name: str) -> bool:
        """Whether what a call of it gives may be given a state: never for what others may hold, too."""
        return name in self.types or name in self.filled or name in self.extra or name in _FILLED_HERE

    def resolve(self, name: str) -> Any:
        """The class or function of a name. Raises RefusedPickleError when it is not there, or is another thing."""
        module, _, last = name.rpartition(".")
        try:
            found = getattr(_module(module), last)
        except (ImportError, AttributeError) as error:
            package = module.partition(".")[0]
            message = (
                f"The pickle needs {name}, which is not here ({error}): install the {package} that it was made with."
            )
            raise RefusedPickleError(message) from error
        if not isinstance(found, type) and not callable(found):
            raise RefusedPickleError(f"{name} is no class and no function: others share it. {_WAY_OUT}")
        real = own_name(found)
        if real != name and not (real and self.knows(real)):
            raise RefusedPickleError(f"{name} is {real or 'a thing without a name'} under another name. {_WAY_OUT}")
        return found


_WAY_OUT = "If you know who wrote these bytes, trust=True reads them as they are."


def rules_for(allowed: Collection[str] = ()) -> Rules:
    """The rules of the library's list and the caller's names. Raises RefusedPickleError for one of the standard library."""
    listed = _listed()
    extra = frozenset(name for name in allowed if not listed.knows(name))
    for name in sorted(extra):
        if name.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
            message = f"{name} is in the standard library and not in the list of harmless types. {_WAY_OUT}"
            raise RefusedPickleError(message)
    return replace(listed, extra=extra)


def listed_names() -> frozenset[str]:
    """Every name in the library's list."""
    listed = _listed()
    return listed.values | listed.types | listed.made | frozenset(listed.calls)


def own_name(thing: Any) -> str | None:
    """`module.name` as a thing says it of itself, or None."""
    if type(thing).__name__ == "ufunc" and type(thing).__module__ == "numpy":
        return f"numpy.{thing.__name__}"
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None


@cache
def _listed() -> Rules:
    found: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {verb: {} for verb in _VERBS}
    for line in _FILE.read_text("utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words:
            verb, name, *shapes = words
            found[verb][name] = tuple(tuple(shape.split(",")) if shape != "-" else () for shape in shapes)
    return Rules(
        values=frozenset(found["value"]),
        types=frozenset(found["type"]),
        calls={**found["call"], **found["fill"]},
        filled=frozenset(found["fill"]),
        made=frozenset(found["made"]),
        extra=frozenset(),
    )


def _module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of an old name of a module that is in the list
        return import_module(name)
