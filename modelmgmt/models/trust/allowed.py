"""What a stranger's model may be made of: the lists in `allowed.txt` and `reviewed.txt`, exact names only.

`allowed.txt` is written by hand for the reader of restricted pickles, which calls some of its names. `reviewed.txt` is made
by a script and has what harms nobody whatever it is given: that reader and the skops format take its names. A caller adds
names of their own.

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
from pickle import whichmodule  # type: ignore[attr-defined]  # typeshed leaves it out
from typing import Any

from modelmgmt.errors import RefusedPickleError
from modelmgmt.packaged import Code, original

_FILLED_HERE = frozenset(
    {"numpy.dtype", "numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct"}
    | {"numpy.ma.core._mareconstruct", "joblib.numpy_pickle.NumpyArrayWrapper"}
    | {"copyreg._reconstructor", "copyreg.__newobj__"}
)
_FILE, _REVIEWED = Path(__file__).with_name("allowed.txt"), Path(__file__).with_name("reviewed.txt")
_VERBS = ("value", "type", "call", "fill", "made", "skops")


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be done with which name.

    `values` may be named. `types` are classes of which an empty instance may be made and given its state. `calls` are
    called with arguments of one of the given shapes; what those in `filled` give takes a state. `made` are never looked
    up: the reader has its own maker for each. `skops` are for skops files only.
    `extra` are the caller's: classes are called as the pickle says, functions may only stand as values.
    """

    values: frozenset[str]
    types: frozenset[str]
    calls: Mapping[str, tuple[tuple[str, ...], ...]]
    filled: frozenset[str]
    made: frozenset[str]
    extra: frozenset[str]
    skops: frozenset[str]
    code: Code | None = None
    """The package's own modules: of the caller's names, those that it has are looked up there."""

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
        is_own = self.code is not None and name in self.extra
        try:
            found = getattr(_module(self.code.private(module) if self.code and is_own else module), last)
        except (ImportError, AttributeError) as error:
            package = module.partition(".")[0]
            message = (
                f"The pickle needs {name}, which cannot be imported ({error}): install the {package} that made it."
            )
            raise RefusedPickleError(message) from error
        if not isinstance(found, type) and not callable(found):
            raise RefusedPickleError(f"{name} is neither a class nor a function. {_WAY_OUT}")
        real = original(own_name(found) or "") if is_own else own_name(found)
        if real != name and not (real and self.knows(real)):
            raise RefusedPickleError(f"{name} is {real or 'a thing without a name'} under another name. {_WAY_OUT}")
        return found


_WAY_OUT = "If you know who wrote these bytes, trust=True loads them."


def rules_for(allowed: Collection[str] = (), code: Code | None = None) -> Rules:
    """The rules of the library's list and the caller's names. Raises RefusedPickleError for one of the standard library."""
    listed = _listed()
    extra = frozenset(name for name in allowed if not listed.knows(name))
    for name in sorted(extra):
        if name.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
            message = f"{name} is in the standard library and not known to be harmless. {_WAY_OUT}"
            raise RefusedPickleError(message)
    return replace(listed, extra=extra, code=code)


def listed_names() -> frozenset[str]:
    """Every name in the library's list."""
    listed = _listed()
    return listed.values | listed.types | listed.made | frozenset(listed.calls)


def reviewed_names() -> frozenset[str]:
    """Every name that a stranger's skops file may use, beside those that skops trusts by itself.

    skops may call each with any arguments that are built of the others: a function that only stands as a value in a pickle
    is no reviewed name by that.
    """
    listed, by_script = (
        _listed(),
        frozenset(
            words[1] for line in _REVIEWED.read_text("utf-8").splitlines() if (words := line.partition("#")[0].split())
        ),
    )
    return by_script | {name for name in listed.types | listed.values if name.startswith("sklearn.")}


def own_name(thing: Any) -> str | None:
    """`module.name` as a thing says it of itself, or None."""
    if type(thing).__name__ == "ufunc" and type(thing).__module__ == "numpy":
        return f"{whichmodule(thing, thing.__name__)}.{thing.__name__}"  # they do not say it themselves
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None


@cache
def _listed() -> Rules:
    found: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {verb: {} for verb in _VERBS}
    for line in (_FILE.read_text("utf-8") + _REVIEWED.read_text("utf-8")).splitlines():
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
        skops=frozenset(found["skops"]),
    )


def _module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of an old name of a module that is in the list
        return import_module(name)
