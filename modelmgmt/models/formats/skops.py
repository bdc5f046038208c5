"""scikit-learn, in the format of skops: nothing runs but the constructors of types that are known or named."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from modelmgmt.errors import CorruptDataError, ModelmgmtError, UntrustedModelError
from modelmgmt.models.formats import CannotHoldError, Saved, libraries_of, plain_predict, require, saving
from modelmgmt.models.formats.skops_schema import check_spelled_out
from modelmgmt.models.packaging.archive import of_model
from modelmgmt.models.packaging.files import Files
from modelmgmt.models.packaging.members import InMemory, Members
from modelmgmt.models.packaging.plain_zip import PlainZip
from modelmgmt.models.trust import soundness
from modelmgmt.models.trust.allowed import rules_for
from modelmgmt.models.trust.makers import ShapeError

NAME = "skops"
EXECUTES = False
NEEDS = ("skops",)
FILE = "model.skops"

CHECKSUMS, AS_WRITTEN = "checksums", "as written"
"""The option by which the writer says that each checksum in the file was made of the bytes that follow it."""
_MUCH = 1 << 20  # bytes; to compare the checksums of less takes no longer than to ask whether the writer is trusted

_BROKEN = (
    BadZipFile, zlib.error, EOFError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError, RuntimeError,
)  # fmt: skip
"""What skops, and the constructors of types that are trusted, raise for a file that nobody wrote like that."""

_COMPILED = ("sklearn.tree._tree", "sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree")
_COMPACT = (",", ":")
_names = re.compile(r'"__class__": ?"([^"]+)", *\n? *"__module__": ?"([^"]+)"').findall


def accepts(model: Any) -> bool:
    return "sklearn" in libraries_of(model) and not isinstance(model, type)


def save(model: Any, folder: Path) -> Saved:
    require("skops.io", "'modelmgmt[models]'")
    with saving("skops"):
        schema = _dump(model, folder / FILE)
    names = set(_names(schema))
    for name, module in names:
        _check_can_be_found(module, name)
    return Saved(frozenset(module for _, module in names), {CHECKSUMS: AS_WRITTEN})


def _check_can_be_found(module: str, name: str) -> None:
    """skops keeps classes and functions by name: whoever loads the model must find them under it."""
    if module == "__main__":
        raise CannotHoldError(f"{name} in it is defined in __main__, which no other process has")
    if module in sys.modules and not hasattr(sys.modules[module], name):
        raise CannotHoldError(f"{name} in it can not be found by its name in {module}")


def _dump(model: Any, path: Path) -> str:
    """Write what `skops.io.dump` writes, straight to the file, and return the schema.

    skops makes the whole archive in memory, and indents the schema of a large forest in Python: 4 times as slow. Its
    own function serves where a later skops has other insides.
    """
    try:
        from skops import __version__ as version
        from skops.io._persist import SaveContext, get_state
    except ImportError:
        from skops.io import dump

        dump(model, path)
        with ZipFile(path) as archive:
            return archive.read("schema.json").decode()
    with PlainZip(path, "w") as archive:
        context = SaveContext(zip_file=archive)
        state = get_state(model, context)
        schema = json.dumps({**state, "protocol": context.protocol, "_skops_version": version}, separators=_COMPACT)
        context.clear_memo()
        archive.writestr("schema.json", schema)
    return schema


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    require("skops.io", "'modelmgmt[models]'")
    from skops.io.exceptions import UntrustedTypesFoundException

    allowed = reviewed() | set(trusted or ())
    view = files.view(FILE)
    try:
        model = _read(view, allowed, are_compared=_are_compared(files, options, view))
    except UntrustedTypesFoundException as error:
        names = sorted(_untrusted(view) - allowed)
        raise UntrustedModelError(
            f"The model is built of types that nobody has vouched for: {', '.join(names)}. Look at them, and when they "
            f"are yours, load it with trust={names!r}."
        ) from error
    except _BROKEN as error:
        if isinstance(error, ModelmgmtError):
            raise
        raise CorruptDataError(
            f"The file {FILE} of the model is no skops file, or none of these versions ({error})."
        ) from error
    _check_sound(model)
    return model


def _are_compared(files: Files, options: Mapping[str, Any], view: memoryview) -> bool:
    """Whether the checksums are known to be right: these are the bytes that a trusted writer has made them of."""
    return options.get(CHECKSUMS) == AS_WRITTEN and len(view) >= _MUCH and files.are_trusted()


def _read(view: memoryview, allowed: Collection[str], *, are_compared: bool) -> Any:
    """What `skops.io.load` reads. Raises CorruptDataError for an archive that no model is kept in, and what skops raises."""
    with of_model(partial(Members, are_compared=are_compared), view) as members:
        nodes = _nodes()
        if nodes is not None:
            with suppress(nodes.OtherProtocolError):
                return nodes.read(members, allowed)
        schema = members.whole("schema.json")
    check_spelled_out(json.loads(schema))
    from skops.io import load as plain

    # skops goes through the whole list at each of many thousand nodes: it gets the names that the file has.
    named = {f"{module}.{name}" for name, module in _names(schema.decode("utf-8", "replace"))}
    return plain(InMemory(view), trusted=sorted(named & set(allowed)))


def _untrusted(view: memoryview) -> set[str]:
    """The types in the file that skops does not trust by itself. It was read before, up to them."""
    nodes = _nodes()
    if nodes is not None:
        with of_model(Members, view) as members, suppress(nodes.OtherProtocolError):
            found: set[str] = nodes.untrusted(members)
            return found
    from skops.io import get_untrusted_types

    return set(get_untrusted_types(data=bytes(view)))


def _nodes() -> Any:
    """The faster reader of skops files, or None where it does not know the insides of the skops that is here."""
    try:
        return import_module("modelmgmt.models.formats.skops_nodes")
    except (ImportError, AttributeError):
        return None


@cache
def reviewed() -> frozenset[str]:
    """Types of scikit-learn that skops does not know by itself: the exact names that the restricted reader makes, too."""
    rules = rules_for()
    return frozenset(name for name in rules.types | rules.values if name.startswith("sklearn."))


def _check_sound(model: Any) -> None:
    """Trees that would lead compiled code astray are refused, as the restricted reader does. Raises CorruptDataError."""
    try:
        for part in _parts(model):
            if hasattr(part, "__getstate__") and type(part).__module__.startswith(_COMPILED):
                soundness.check_state(part, part.__getstate__())
            soundness.check(part)
    except ShapeError as error:
        raise CorruptDataError(f"The model is not as honest ones are: it has {error}.") from error


def _parts(model: Any) -> Iterator[Any]:
    """What a model of scikit-learn is made of: what has attributes, items or elements is gone into."""
    todo, seen = [model], set[int]()
    while todo:
        part = todo.pop()
        if isinstance(part, (str, bytes, int, float, type(None))) or id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, (list, tuple, set)):
            todo += part
        elif hasattr(part, "dtype") and hasattr(part, "flat"):
            todo += part.flat if part.dtype == object else ()
        else:
            yield part
            todo += getattr(part, "__dict__", {}).values()


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
