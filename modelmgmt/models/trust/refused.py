"""Names that a model file may not use, whoever signed it and whatever the caller says: the list in `refused.txt`.

A signature says who wrote a file, not that the writer looked at what went into it. No honest model holds `os.system` or
`eval`, so such a name is refused before anybody is asked for trust. The standard library is refused as a whole, but for
the names that are known only to keep or compute. Imports modules only in `check_resolved`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from modelmgmt.errors import UntrustedModelError
from modelmgmt.models.trust.allowed import own_name

_FILE = Path(__file__).with_name("refused.txt")
_WRITTEN_IN_C = {"_operator": "operator", "_functools": "functools", "_collections": "collections", "_decimal": "decimal",
              "_datetime": "datetime", "_statistics": "statistics", "_random": "random"}  # fmt: skip
"""Under which some functions of the standard library say that they live."""


def is_refused(name: str) -> bool:
    """Whether a model file may not use `module.name`, whatever anybody says of the file.

    >>> [is_refused(name) for name in ("os.system", "builtins.eval", "math.log1p", "shop.features.Encoder")]
    [True, True, False, False]
    """
    keep, refuse = _lists()
    top, _, rest = name.partition(".")
    top = _WRITTEN_IN_C.get(top, top)
    if any(part.startswith("__") and part.endswith("__") for part in rest.split(".")):
        return True  # a way from an object to its class, its module and all that is imported there
    if _matches(f"{top}.{rest}", keep):
        return False
    return top in sys.stdlib_module_names or _matches(f"{top}.{rest}", refuse)


def check_names(names: Iterable[str]) -> None:
    """Raises UntrustedModelError when one of the names is refused. Imports nothing."""
    refused = sorted(filter(is_refused, names))
    if refused:
        raise UntrustedModelError(
            f"The model uses {', '.join(refused)}, which can run code or reach files: a model that is read without "
            "running code may not use it, whatever trust= says. If you wrote the model, log it again with "
            "format='cloudpickle', or with a function of your own in its place."
        )


def check_resolved(names: Iterable[str]) -> None:
    """Raises UntrustedModelError for a name that is another thing's, which is refused: `features.system` of `os`.

    Imports the modules of the names, as reading the model does: call it for names that were allowed. What is not there
    is passed over, and reading the model says so.
    """
    for name in names:
        for thing in _chain(name):
            real = _refused_name(thing)
            if real is not None:
                raise UntrustedModelError(
                    f"The model uses {name}, which is {real} under another name: it can run code or reach files, and a "
                    "model that is read without running code may not use it, whatever trust= says."
                )


def _refused_name(thing: Any) -> str | None:
    """What a thing really is, when that is refused."""
    while isinstance(thing, partial):
        thing = thing.func
    if isinstance(thing, ModuleType):
        return f"the module {thing.__name__}"
    owner = getattr(thing, "__self__", None)
    if isinstance(owner, ModuleType):
        real: str | None = f"{owner.__name__}.{thing.__name__}"
    else:
        kind = getattr(thing, "__objclass__", type(thing)) if owner is None else owner
        real = own_name(thing) or own_name(kind if isinstance(kind, type) else type(kind))
    if real is not None and is_refused(real):
        return real
    # What a class does with its state, it does for its subclasses. Of the standard library many are harmless bases.
    bases = map(own_name, thing.__mro__[1:]) if isinstance(thing, type) else ()
    named = (base for base in bases if base and base.partition(".")[0] not in sys.stdlib_module_names)
    return next((f"a {base}" for base in named if is_refused(base)), None)


def _chain(name: str) -> list[Any]:
    """The things below a module that a name leads through; empty when they are not there."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        things = []
        for part in parts[count:]:
            if not hasattr(found, part):
                break
            found = getattr(found, part)
            things.append(found)
        return things
    return []


def _matches(name: str, listed: frozenset[str]) -> bool:
    if name in listed:
        return True
    parts = name.split(".")
    return any(f"{'.'.join(parts[:count])}.*" in listed for count in range(1, len(parts)))


@cache
def _lists() -> tuple[frozenset[str], frozenset[str]]:
    """The names to keep and those to refuse."""
    found: dict[str, set[str]] = {"keep": set(), "refuse": set()}
    for line in _FILE.read_text("utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words:
            verb, name = words
            found[verb].add(name)
    return frozenset(found["keep"]), frozenset(found["refuse"])
