"""scikit-learn, in the format of skops: nothing runs but the constructors of types that are known, named or trusted.

Three lists decide of a type: the refused one goes first, whatever anybody says (`trust/refused.txt`). The reviewed one is
open to everybody. Any other type is made when the caller names it, or trusts the package that does.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import MethodType
from typing import Any
from zipfile import BadZipFile, ZipFile

from modelmgmt.errors import CorruptDataError, ModelmgmtError, UntrustedModelError
from modelmgmt.models.formats import CannotHoldError, Files, Saved, libraries_of, plain_predict, require, saving
from modelmgmt.models.formats.skops_schema import check_spelled_out
from modelmgmt.models.packaging.archive import of_model
from modelmgmt.models.packaging.members import InMemory, Members
from modelmgmt.models.packaging.plain_zip import PlainZip
from modelmgmt.models.trust import refused, soundness
from modelmgmt.models.trust.allowed import reviewed_names
from modelmgmt.models.trust.makers import ShapeError
from modelmgmt.packaged import Code, original

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
_MODULE = re.compile(r'("__module__": ?)"([^"\\]+)"')
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
    modules = frozenset(module for _, module in names)
    full_names = sorted(f"{module}.{name}" for name, module in names)
    try:
        refused.check_names(map(original, full_names))
        refused.check_resolved(full_names)
    except UntrustedModelError as error:
        raise CannotHoldError(f"it does not hold what can run code or reach files ({error})") from error
    return Saved(modules, {CHECKSUMS: AS_WRITTEN})


def _check_can_be_found(module: str, name: str) -> None:
    """skops keeps classes and functions by name: whoever loads the model must find them under it."""
    if module == "__main__":
        raise CannotHoldError(f"{name} in it is defined in __main__, which other processes cannot import")
    if module in sys.modules and not hasattr(sys.modules[module], name):
        raise CannotHoldError(f"{name} in it cannot be imported from {module}")


def _dump(model: Any, path: Path) -> str:
    """Write what `skops.io.dump` writes, straight to the file, and return the schema.

    skops makes the whole archive in memory, and indents the schema of a large forest in Python: 4 times as slow. Its
    own function serves where a later skops has other insides.
    """
    try:
        from skops import __version__ as version
        from skops.io._persist import SaveContext, get_state
    except ImportError:
        from skops.io import dumps

        members = memoryview(dumps(model))
        with of_model(Members, members) as archive:
            schema = archive.whole("schema.json").decode()
        path.write_bytes(_with_schema(members, _renamed(schema, original)))
        return schema
    with PlainZip(path, "w") as archive:
        context = SaveContext(zip_file=archive)
        state = get_state(model, context)
        schema = json.dumps({**state, "protocol": context.protocol, "_skops_version": version}, separators=_COMPACT)
        context.clear_memo()
        archive.writestr("schema.json", _renamed(schema, original))
    return schema


def _renamed(schema: str, name: Callable[[str], str]) -> str:
    """The schema with the modules that it names called otherwise. Texts in it have their quotes escaped: none is changed."""
    return _MODULE.sub(lambda found: f'{found[1]}"{name(found[2])}"', schema)


def _with_schema(view: memoryview, schema: str) -> bytes:
    """The archive with another schema."""
    written = io.BytesIO()
    with ZipFile(io.BufferedReader(InMemory(view))) as source, ZipFile(written, "w") as target:
        for member in source.infolist():
            target.writestr(member, schema if member.filename == "schema.json" else source.read(member))
    return written.getvalue()


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    require("skops.io", "'modelmgmt[models]'")
    from skops.io.exceptions import UntrustedTypesFoundException

    view = files.view(FILE)
    are_compared = _are_compared(files, options, view)
    try:
        try:
            model = _read(view, reviewed(), are_compared=are_compared)
        except UntrustedTypesFoundException:
            allowed = _allowed(files, _untrusted(view) - reviewed(), trusted)
            model = _read(view, reviewed(), allowed, are_compared=are_compared, code=files.code)
    except _BROKEN as error:
        if isinstance(error, ModelmgmtError):
            raise
        raise CorruptDataError(
            f"The file {FILE} of the model is not a skops file, or has an unknown version ({error})."
        ) from error
    _check_sound(model)
    return model


def unreviewed(files: Files) -> set[str]:
    """The names in the file beyond the reviewed list. Makes nothing. Raises CorruptDataError for what is no such file."""
    require("skops.io", "'modelmgmt[models]'")
    try:
        return _untrusted(files.view(FILE)) - reviewed()
    except _BROKEN as error:
        if isinstance(error, ModelmgmtError):
            raise
        raise CorruptDataError(f"The file {FILE} of the model is not a skops file ({error}).") from error


def _allowed(files: Files, names: Collection[str], trusted: Collection[str] | None) -> frozenset[str]:
    """The names, all of which are beyond the reviewed list, as they are called here, when they may be made.

    Raises UntrustedModelError.

    Nothing is imported before the caller's trust is known, and nothing is made before it is known what the names stand for.
    """
    refused.check_names(names)
    missing = sorted(set(names) - set(trusted or ()))
    reason = None if trusted is not None else files.distrust()
    if missing and (trusted is not None or reason is not None):
        because = "" if reason is None else f" The package is not trusted: {reason}"
        raise UntrustedModelError(
            f"The model contains types that are not in the reviewed list: {', '.join(missing)}. Look at them, and when "
            f"they are yours, load it with trust={sorted(names)!r}.{because}"
        )
    named = frozenset(names if files.code is None else map(files.code.private, names))
    refused.check_resolved(named)
    return named


def _are_compared(files: Files, options: Mapping[str, Any], view: memoryview) -> bool:
    """Whether the checksums are known to be right: these are the bytes that a trusted writer has made them of."""
    return options.get(CHECKSUMS) == AS_WRITTEN and len(view) >= _MUCH and files.are_trusted()


def _read(
    view: memoryview,
    known: Collection[str],
    named: Collection[str] = frozenset(),
    *,
    are_compared: bool,
    code: Code | None = None,
) -> Any:
    """What `skops.io.load` reads. Raises CorruptDataError for an archive that no model is kept in, and what skops raises."""
    rename = None if code is None else partial(_renamed, name=code.private)
    with of_model(partial(Members, are_compared=are_compared), view) as members:
        nodes = _nodes()
        if nodes is not None:
            with suppress(nodes.OtherProtocolError):
                return nodes.read(members, {*known, *named}, rename)
        schema = members.whole("schema.json")
    check_spelled_out(json.loads(schema))
    from skops.io import load as plain

    # skops goes through the whole list at each of many thousand nodes: it gets the names that the file has.
    text = schema.decode("utf-8", "replace")
    used = {f"{module}.{name}" for name, module in _names(text)}
    file = InMemory(view) if rename is None else io.BytesIO(_with_schema(view, rename(text)))
    return plain(file, trusted=sorted({*used.intersection(known), *named}))


def _untrusted(view: memoryview) -> set[str]:
    """The types in the file that skops does not trust by itself."""
    nodes = _nodes()
    if nodes is not None:
        with of_model(Members, view) as members, suppress(nodes.OtherProtocolError):
            found: set[str] = nodes.untrusted(members)
            return found
    with of_model(Members, view) as members:
        check_spelled_out(json.loads(members.whole("schema.json")))
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
    """The exact names that everybody's file may use."""
    return reviewed_names()


def _check_sound(model: Any) -> None:
    """Trees that would lead compiled code astray are refused, as the restricted reader does. Raises CorruptDataError."""
    try:
        for part in _parts(model):
            if hasattr(part, "__getstate__") and type(part).__module__.startswith(_COMPILED):
                soundness.check_state(part, part.__getstate__())
            soundness.check(part)
    except ShapeError as error:
        raise CorruptDataError(f"The model file is malformed: it has {error}.") from error


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
        elif isinstance(part, partial):
            todo += [part.func, *part.args, *part.keywords.values()]
        elif isinstance(part, MethodType):
            todo.append(part.__self__)
        else:
            yield part
            todo += getattr(part, "__dict__", {}).values()


def predict(model: Any, data: Any, method: str) -> Any:
    return plain_predict(model, data, method)
