"""What a library's Python object knows beside its own file: parameters and fitted attributes, as JSON in one file.

    {"attributes": {"n_estimators": 100, "missing": {"$float": "nan"}, "evals_result_": {...}, ...}}

Beside `attributes`, which are those of the object itself, a format has fields of its own. Plain values are themselves.
An object with one member whose name begins with `$` is a value that JSON has no word for:

    $float    nan, inf or -inf               $tuple   [items]
    $mapping  [[key, value], ...]            $scalar  [dtype, value], a number or text of numpy
    $array    [dtype, shape, [values]]       dtypes as numpy writes them (<f8); moments as integers, all texts as U

Ordered and default dictionaries are read as dictionaries: they are equal. Reading makes these kinds and no other.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.formats import CannotHoldError, Files

FILE = "wrapper.json"

_Kind = TypeVar("_Kind")
_NUMBERS, _MOMENTS = "biuf", "Mm"


@dataclass(frozen=True, slots=True)
class State:
    """What the file says."""

    attributes: Mapping[str, Any]
    fields: Mapping[str, Any]

    def of(self, field: str, kind: type[_Kind]) -> _Kind:
        """A field of the format's own. Raises CorruptDataError when it is not there or not of this kind."""
        found = self.fields.get(field)
        if not isinstance(found, kind):
            raise CorruptDataError(f"The file {FILE} of the model is damaged: {field!r} is not a {kind.__name__}.")
        return found


def write(folder: Path, attributes: Mapping[str, Any], **fields: Any) -> None:
    """Write the attributes to `folder`. Raises CannotHoldError for a value that is not plain: it names the value."""
    content = {name: _encode(value, name) for name, value in fields.items()}
    content["attributes"] = {name: _encode(value, name) for name, value in attributes.items()}
    (folder / FILE).write_text(json.dumps(content, allow_nan=False), "utf-8")


def read(files: Files) -> State:
    """What `write` was given. Raises CorruptDataError."""
    try:
        content = {name: _decode(value) for name, value in json.loads(files.read(FILE)).items()}
        return State(dict(content.pop("attributes")), content)
    except CorruptDataError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise CorruptDataError(f"The file {FILE} of the model is damaged ({type(error).__name__}: {error}).") from error


def _encode(value: Any, name: str) -> Any:
    """`name` says where the value is, for the error."""
    import numpy as np

    kind = type(value)
    if value is None or kind in {bool, int, str}:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind in {list, tuple}:
        items = [_encode(item, f"{name}[{place}]") for place, item in enumerate(value)]
        return items if kind is list else {"$tuple": items}
    if kind in {dict, OrderedDict, defaultdict}:
        pairs = [[_encode(key, f"a key of {name}"), _encode(item, f"{name}[{key!r}]")] for key, item in value.items()]
        is_plain = all(type(key) is str and not key.startswith("$") for key, _ in pairs)
        return dict(pairs) if is_plain else {"$mapping": pairs}
    if isinstance(value, np.generic):
        dtype, items = _items(np.array([value]), name)
        return {"$scalar": [dtype, items[0]]}
    if kind is np.ndarray:
        dtype, items = _items(value, name)
        return {"$array": [dtype, list(value.shape), items]}
    raise CannotHoldError(f"its {name} is a {kind.__name__}, which is not a plain value")


def _items(array: Any, name: str) -> tuple[str, list[Any]]:
    """The dtype by its name, and what is in the array, in order."""
    dtype = array.dtype
    if dtype.kind in "UO":
        return dtype.kind, [_encode(item, name) for item in array.ravel().tolist()]
    if dtype.kind in _MOMENTS:
        return dtype.str, array.ravel().view("i8").tolist()
    if dtype.kind in _NUMBERS and dtype.itemsize <= 8:  # bytes; Python's numbers hold no more
        return dtype.str, [_encode(item, name) for item in array.ravel().tolist()]
    raise CannotHoldError(f"its {name} has the dtype {dtype}, which is not one of plain values")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("$"):
        return {name: _decode(item) for name, item in value.items()}
    [content] = value.values()
    match tag:
        case "$float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
        case "$tuple":
            return tuple(map(_decode, content))
        case "$mapping":
            return {_decode(key): _decode(item) for key, item in content}
        case "$scalar":
            dtype, item = content
            return _array(dtype, [1], [item])[0]
        case "$array":
            return _array(*content)
    raise CorruptDataError(
        f"The file {FILE} of the model has a value of the kind {tag!r}, which this version cannot read."
    )


def _array(name: str, shape: list[int], items: list[Any]) -> Any:
    import numpy as np

    values = [_decode(item) for item in items]
    dtype = np.dtype(name)
    if name == "U":
        found = np.array(values, str)
    elif name == "O":
        found = np.empty(len(values), object)
        for place, value in enumerate(values):  # at once, numpy would take lists for rows
            found[place] = value
    elif dtype.kind in _MOMENTS:
        found = np.array(values, "i8").view(dtype)
    elif dtype.kind in _NUMBERS and dtype.fields is None and dtype.subdtype is None:
        found = np.array(values, dtype)
    else:
        raise CorruptDataError(f"The file {FILE} of the model has an array of the dtype {name!r}.")
    return found.reshape(shape)
