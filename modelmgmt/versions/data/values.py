"""What a value stands for, told by what it can do: no library is imported to look at its values. Pure.

numpy, pandas, torch, OmegaConf, pydantic, attrs, pint and their likes are known by protocols: `tolist`, `mask`, `keys`,
`model_dump`, `__attrs_attrs__`, `units`. One rule for params, tags, `log_dict` and the cells of tables.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import numbers
import os
import re
import types
from collections import UserString
from collections.abc import Callable, Iterator, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from modelmgmt.errors import InvalidTypeError, InvalidValueError

_PLAIN = frozenset({type(None), bool, int, float, str, list, dict})
_PRINTED = ("dtype", "device", "layout", "memory_format")
"""How the names of types end whose values are told by what they print: torch.float32, cuda:0, dtype('int8')."""

REPAIR = "pass text.encode('utf-8', 'replace').decode()"
"""What to do with text that is not valid Unicode, as the end of a sentence."""

_ADDRESS = re.compile("<.* at 0x[0-9a-f]+>")
_ATTO = 10**18  # attoseconds in a second, the finest unit that numpy counts in
_UNITS = {
    "W": 7 * 86400 * _ATTO, "D": 86400 * _ATTO, "h": 3600 * _ATTO, "m": 60 * _ATTO, "s": _ATTO, "ms": 10**15,
    "us": 10**12, "ns": 10**9, "ps": 10**6, "fs": 10**3, "as": 1,
}  # fmt: skip


def plain(value: Any, what: str = "value", name: str = "") -> Any:
    """What stands for a value: None, a bool, int, float or str, a list, or a mapping; the value itself where nothing does.

    One level: what a list or a mapping holds is as it was. What is missing is None, a time ISO text, a class or a function
    its qualified name. `what` and `name` are for the message of InvalidValueError, when a sequence lacks an element.

    >>> from pathlib import Path
    >>> plain(Path("a/b")), plain(range(3)), plain(timedelta(minutes=90)), plain(len), plain({3, 1})
    ('a/b', [0, 1, 2], 'PT1H30M', 'builtins.len', [1, 3])
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value, what, name)
    if hasattr(type(value), "as_py"):
        return plain(of_arrow(value), what, name)
    if (fields := as_mapping(value)) is not None:
        return fields
    if is_missing(value):
        return None
    for kind in (int, float, str):
        if isinstance(value, kind):  # as numpy.float64 is a float
            return str.__str__(value) if kind is str else kind(value)
    for told in (_name, time_text, _printed):
        if (found := told(value)) is not None:
            return found
    if unit_of(value):
        return value
    return _unpacked(without_unit(value), what, name)


def of_arrow(scalar: Any) -> Any:
    """The value of a scalar of pyarrow; of a map, which Arrow has as pairs, a dict. Raises InvalidValueError."""
    value = scalar.as_py()
    if type(scalar).__name__ != "MapScalar" or value is None or isinstance(value, Mapping):
        return value
    found = dict(value)
    if len(found) < len(value):
        raise InvalidValueError("A map of Arrow has a key twice: pass a list of its pairs.")
    return found


def is_missing(value: Any) -> bool:
    """Whether it is the place of a missing value: a masked scalar, pandas' NA or NaT, numpy's NaT. None and NaN are not.

    >>> import numpy as np
    >>> is_missing(np.ma.masked), is_missing(np.datetime64("NaT")), is_missing(float("nan"))
    (True, True, False)
    """
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    if not _is_scalar(value):
        return False
    mask = mask_of(value)
    return bool(mask) if mask is not None else _time_kind(value) != "" and str(value) == "NaT"


def is_masked(value: Any) -> bool:
    """Whether it is a masked scalar."""
    return _is_scalar(value) and mask_of(value) is not None and bool(value.mask)


def mask_of(value: Any) -> Any:
    """Where an array is masked, as booleans of its shape; None for what has no mask."""
    return value.mask if hasattr(type(value), "filled") and hasattr(type(value), "mask") else None


def objects_of(array: Any) -> Any:
    """A masked array as an array of objects, with None where it is masked."""
    found = array.astype(object).data.copy()
    found[mask_of(array)] = None
    return found


def array_of(value: Any, what: str = "data") -> Any:
    """A tensor, and whatever else is an array under another name, as an array of numpy, with its mask; all else as it is.

    Raises InvalidTypeError for a quantity with a unit: its number alone would say something else.
    """
    if unit := unit_of(value):
        raise InvalidTypeError(
            f"The {what} are of type {type(value).__name__} with the unit {unit}: pass the numbers alone, and put the unit "
            "into the name of the column."
        )
    value = without_unit(value)
    room = type(value).__module__.partition(".")[0]
    if room == "numpy" and getattr(getattr(value, "dtype", None), "kind", "") == "V":
        return _widened(value)
    if room in ("pandas", "polars", "pyarrow", "numpy", "scipy", "builtins") or not hasattr(value, "__array__"):
        return value
    import numpy as np

    if hasattr(value, "detach"):
        return _of_torch(value, what)
    if (mask := mask_of(value)) is not None:
        return np.ma.MaskedArray(np.asarray(value.unmasked if hasattr(value, "unmasked") else value), mask)
    return _widened(np.asarray(value))


def _of_torch(tensor: Any, what: str) -> Any:
    """A tensor of any layout, device and dtype as an array. Raises InvalidTypeError where it holds no numbers."""
    try:
        tensor = tensor.dequantize() if tensor.is_quantized else tensor.detach()
        tensor = tensor if str(tensor.layout) == "torch.strided" else tensor.to_dense()
        # numpy has none of the narrow floats
        is_known = tensor.is_complex() or not tensor.is_floating_point() or tensor.element_size() > 2
        is_known = is_known or str(tensor.dtype) == "torch.float16"
        return (tensor if is_known else tensor.float()).numpy(force=True)
    except (RuntimeError, TypeError) as error:  # NotImplementedError is a RuntimeError
        raise InvalidTypeError(
            f"The {what} are a tensor of {tensor.dtype} on {tensor.device} that has no array ({_first_line(error)}): pass "
            "tensor.float().cpu(), or numbers."
        ) from error


def _widened(array: Any) -> Any:
    """The narrow numbers of ml_dtypes, as jax has them (bfloat16, float8, int4), as those of numpy; all else as it is."""
    import numpy as np

    if array.dtype.kind != "V" or array.dtype.type is np.void or array.dtype.type is np.record:
        return array
    return array.astype("i1" if array.dtype.name.startswith(("int", "uint")) else "f4")


def floats(values: Any) -> Any:
    """Numbers as an array of float64; NaN where it is masked or missing. Raises what numpy raises for what is no number.

    >>> import numpy as np
    >>> floats(np.ma.array([1, 2], mask=[False, True])).tolist()
    [1.0, nan]
    """
    import numpy as np

    if isinstance(values, (list, tuple)):
        values = [math.nan if is_missing(value) else value for value in values]
    array = np.asarray(values, np.float64)
    mask = mask_of(values)
    return array if mask is None else np.where(mask, np.nan, array)


def is_time(value: Any) -> bool:
    """Whether it is a moment or a duration, or an array of them."""
    return isinstance(value, (date, time, timedelta)) or _time_kind(value) != "" or type(value).__name__ == "Period"


def unit_of(value: Any) -> str | None:
    """The unit of a quantity of pint, astropy, unyt, ...; empty for one without a unit, None for what is no quantity."""
    kind = type(value)
    word = next((word for word in ("units", "unit") if hasattr(kind, word)), None)
    if word is None or not (hasattr(kind, "magnitude") or hasattr(kind, "value")) or is_time(value):
        return None
    unit = str(getattr(value, word))
    return "" if unit in ("dimensionless", "1") else unit


def without_unit(value: Any) -> Any:
    """The number of a quantity that has no unit; all else as it is."""
    if unit_of(value) != "":
        return value
    return value.magnitude if hasattr(value, "magnitude") else value.value


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """The names and values of a configuration, whichever library it is of; None for what has none.

    Mappings, named tuples, dataclasses, attrs, pydantic and msgspec objects, namespaces, what has `to_dict` or `keys`, the
    settings of an estimator, a series of pandas with labels.

    >>> from types import SimpleNamespace
    >>> as_mapping(SimpleNamespace(lr=0.1))
    {'lr': 0.1}
    """
    if hasattr(type(value), "as_py"):
        value = of_arrow(value)
    if isinstance(value, Mapping):
        mapping: Mapping[Any, Any] = value
        return mapping
    if isinstance(value, (type, types.ModuleType)):
        return None
    kind = type(value)
    # Fields first: a configuration may well have one that is named dtype, shape or columns.
    if (names := _field_names(value)) is not None:
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if isinstance(value, types.SimpleNamespace) or any(each.__name__ == "Namespace" for each in kind.__mro__):
        return dict(vars(value))
    if hasattr(kind, "columns"):
        return None  # a frame
    if hasattr(kind, "dtype"):
        if getattr(getattr(value, "dtype", None), "names", None) and _is_scalar(value):  # a record of numpy
            return {name: value[name] for name in value.dtype.names}
        is_labelled = hasattr(kind, "index") and hasattr(kind, "items") and type(value.index).__name__ != "RangeIndex"
        return _labelled(value) if is_labelled else None
    if (dumped := _dumped(value)) is not None:
        return dumped
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 - it is iterated otherwise
    return None


def entries(mapping: Mapping[Any, Any], what: str = "value", name: str = "") -> Iterator[tuple[Any, Any]]:
    """The items of a mapping that may compute its values, as OmegaConf does.

    Raises InvalidValueError for a key without a value: `what` and `name`, which ends in a dot, say where it is.
    """
    if type(mapping) is dict:
        yield from mapping.items()
        return
    for key in mapping:
        try:
            value = mapping[key]
        except Exception as error:  # whatever a configuration raises where a value is missing, or refers to nothing
            raise InvalidValueError(f"The {what} {f'{name}{key}'!r} has no value: {_first_line(error)}.") from error
        yield key, value


def nanoseconds(times: Any, what: str) -> Any:
    """Moments and durations of numpy that are counted finer than in nanoseconds, in those; all else as it is.

    pandas, which counts no finer, would cut off the rest, and invent a unit where there is none. Raises InvalidValueError.
    """
    if type(times).__module__.partition(".")[0] != "numpy" or not (kind := _time_kind(times)):
        return times
    import numpy as np

    unit, step = np.datetime_data(times.dtype)
    counts = np.ma.getdata(times)
    there = ~np.isnat(counts) & ~np.ma.getmaskarray(times)
    if unit == "generic" and there.any():
        raise InvalidValueError(f"The {what} are durations without a unit: pass np.timedelta64(5, 's'), or numbers.")
    if kind == "m" and unit in ("Y", "M") and there.any():
        raise InvalidValueError(
            f"The {what} are durations in years or months, which differ in length: pass days, or text."
        )
    if unit not in ("ps", "fs", "as"):
        return times
    if (counts.astype("i8")[there] * step % (_UNITS["ns"] // _UNITS[unit]) != 0).any():
        raise InvalidValueError(
            f"The {what} are times in {unit}, and a table keeps nanoseconds: pass them rounded, as "
            f"values.astype('{kind}8[ns]'), or as text, str(value)."
        )
    return times.astype(f"{kind}8[ns]")


def time_text(value: Any) -> str | None:
    """ISO 8601 for a moment or a duration, the same in whatever unit it is counted; None for anything else.

    >>> import numpy as np
    >>> time_text(np.datetime64("2026-01-31", "ns")), time_text(np.timedelta64(5400, "s"))
    ('2026-01-31T00:00:00', 'PT1H30M')
    """
    kind = _time_kind(value)
    if kind and _is_scalar(value):
        return _moment(value) if kind == "M" else _duration_of(value)
    if isinstance(value, timedelta):
        if hasattr(value, "asm8"):  # pandas', which may count nanoseconds
            return _duration_of(value.asm8)
        return _duration((value // timedelta(microseconds=1)) * 10**12)
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if type(value).__name__ == "Period" else None


def text(value: Any) -> str | None:
    """What a value prints as, in one line that says all of it; None where it would print only its type or address.

    >>> text(0.5), text(len), text([1, 2]), text(object())
    ('0.5', 'builtins.len', '[1, 2]', None)
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, enum.Enum):
        return text(value.value)
    if hasattr(type(value), "as_py"):
        return text(of_arrow(value))
    if value is None or is_missing(value) or isinstance(value, (bytes, bytearray, memoryview)):
        return None
    if (known := _name(value) or time_text(value)) is not None:
        return known
    if isinstance(value, os.PathLike):
        return text(os.fspath(value))
    if _is_scalar(value) and type(value).__module__ != "numpy":  # a tensor prints its type, too
        try:
            return str(value.item())
        except (RuntimeError, TypeError):  # without numbers: a tensor on "meta", a random key of jax
            return None
    printed = str(value)
    return None if _ADDRESS.search(printed) else printed


def key_text(key: Any) -> str | None:
    """The key of a mapping as a name: text, a number, and what stands for them, as an enum may; None for all else.

    >>> key_text(3), key_text(None), key_text((1, 2))
    ('3', None, None)
    """
    stands_for = plain(key)
    return None if isinstance(stands_for, (list, Mapping)) else text(stands_for)


def advice(value: Any) -> str:
    """What to pass instead of a value that is none of the plain ones, as the end of a sentence."""
    if unit_of(value):
        return f"it has the unit {unit_of(value)}: pass its number, and put the unit into the name"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "decode it to text, or keep it with log_artifact"
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        return "pass its real and its imaginary part"
    if _time_kind(value) and _is_scalar(value):
        return "it is a duration without a unit: pass np.timedelta64(5, 's'), or a number"
    if isinstance(value, Iterator):
        return "it can be read only once: pass a list of it"
    if hasattr(value, "columns"):
        return "keep it with log_table or log_dataset"
    if type(value) in (list, tuple, dict, set, frozenset):
        return "pass numbers, text, lists and mappings in it"
    if as_mapping(value) is not None:
        return "pass a dict of its fields"
    is_text = isinstance(value, UserString)
    if hasattr(type(value), "__len__") and hasattr(type(value), "__iter__") and not is_text:
        return "pass a list of its values"
    return "pass str(...) of it, or numbers, text, lists and mappings"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _is_scalar(value: Any) -> bool:
    """Whether it is an array without dimensions, or an element of one."""
    return hasattr(type(value), "dtype") and getattr(value, "shape", None) == ()


def _time_kind(value: Any) -> str:
    kind = getattr(getattr(value, "dtype", None), "kind", "") if hasattr(type(value), "dtype") else ""
    return kind if kind in ("m", "M") else ""


def _name(value: Any) -> str | None:
    """The qualified name of a class or a function."""
    if not isinstance(value, type) and not (callable(value) and hasattr(value, "__name__")):
        return None
    if hasattr(value, "__origin__"):  # list[int] calls itself list
        return repr(value)
    name = getattr(value, "__qualname__", value.__name__)
    module = getattr(value, "__module__", None) or getattr(type(getattr(value, "__self__", None)), "__module__", "")
    return f"{module}.{name}" if module else str(name)


def _printed(value: Any) -> str | None:
    """What is told by the text that it prints."""
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return path if isinstance(path, str) else None
    kind = type(value)
    is_secret = hasattr(kind, "get_secret_value")  # it prints as stars
    is_printed = isinstance(value, (Decimal, Fraction, UUID, UserString)) or kind.__name__.lower().endswith(_PRINTED)
    if not is_secret and not is_printed:
        return None
    printed = str(value)
    return None if _ADDRESS.search(printed) else printed


def _labelled(series: Any) -> Mapping[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in series.items():
        if key in found:
            raise InvalidValueError(f"A series has the label {key!r} twice: pass a list, or make its labels unique.")
        found[key] = value
    return found


def _dumped(value: Any) -> Mapping[Any, Any] | None:
    """What an object says that it holds: pydantic of both versions, transformers, ml_collections, scikit-learn."""
    kind = type(value)
    if hasattr(kind, "model_dump"):
        found = value.model_dump()
    elif hasattr(kind, "__fields__") and hasattr(kind, "dict"):
        found = value.dict()
    elif hasattr(kind, "to_dict"):
        found = value.to_dict()
    elif hasattr(kind, "get_params"):
        found = {"class": kind, **value.get_params(deep=False)}
    else:
        return None
    return found if isinstance(found, Mapping) else None


def _field_names(value: Any) -> Sequence[str] | None:
    kind = type(value)
    if isinstance(value, functools.partial):
        return ["func", "args", "keywords"]
    if isinstance(value, tuple):
        return getattr(kind, "_fields", None)
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    return getattr(kind, "__struct_fields__", None)


def _unpacked(value: Any, what: str, name: str) -> Any:
    """An array or a sequence as a list, in its order or, for a set, one that is the same in every process; a number."""
    if isinstance(value, (bytes, bytearray, memoryview)) or hasattr(type(value), "columns"):
        return value
    if _time_kind(value) and _is_scalar(value):  # of no unit: its number alone says nothing
        return value
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=_order)
    if isinstance(value, (Sequence, AbstractSet, ValuesView)):
        return list(_elements(value, what, name))
    if hasattr(value, "detach") and hasattr(type(value), "__array__"):
        return plain(array_of(value, f"numbers of the {what} {name!r}"), what, name)
    if hasattr(type(value), "dtype"):
        if not _is_scalar(value) and (_time_kind(value) or getattr(value.dtype, "names", None)):
            return list(value)  # tolist makes integers of nanoseconds, and tuples of records
        word = next(
            (word for word in ("tolist", "to_list", "to_pylist", "numpy", "to_numpy") if hasattr(value, word)), ""
        )
        found = getattr(value, word)() if word else value
        if (
            isinstance(found, list)
            and type(value.dtype).__module__.partition(".")[0] == "pandas"
            and value.dtype.kind != "f"
        ):
            # Of texts and categories, NaN is what pandas writes for a missing one.
            found = [None if missing else one for one, missing in zip(found, value.isna(), strict=True)]
        if type(found) is not type(value):
            return plain(found, what, name)
    elif hasattr(value, "to_pylist"):
        return value.to_pylist()
    kinds: dict[type, Callable[[Any], Any]] = {numbers.Integral: int, numbers.Rational: str, numbers.Real: float}
    return next((make(value) for kind, make in kinds.items() if isinstance(value, kind)), value)


def _elements(values: Any, what: str, name: str) -> Iterator[Any]:
    iterator, place = iter(values), 0
    while True:
        try:
            value = next(iterator)
        except StopIteration:
            return
        except Exception as error:  # as in `entries`
            raise InvalidValueError(
                f"The {what} {name!r} has no value at place {place}: {_first_line(error)}."
            ) from error
        yield value
        place += 1


def _order(value: Any) -> tuple[str, Any]:
    """Numbers by size, all else by type and text."""
    return ("", value) if isinstance(value, (int, float)) else (type(value).__name__, repr(value))


def _moment(value: Any) -> str:
    import numpy as np

    unit = np.datetime_data(value.dtype)[0]
    if unit in ("Y", "M", "W", "D"):
        return str(value.astype("M8[D]"))
    whole, _, fraction = str(value.astype("M8[s]") if unit in ("h", "m") else value).partition(".")
    fraction = fraction.rstrip("0")
    width = max(6, -(-len(fraction) // 3) * 3)
    return f"{whole}.{fraction.ljust(width, '0')}" if fraction else whole


def _duration_of(value: Any) -> str | None:
    import numpy as np

    unit, step = np.datetime_data(value.dtype)
    count = int(value.astype("i8")) * step
    if unit in ("Y", "M"):
        return f"{'-' if count < 0 else ''}P{abs(count)}{unit}"
    return _duration(count * _UNITS[unit]) if unit in _UNITS else None


def _duration(attos: int) -> str:
    seconds, fraction = divmod(abs(attos), _ATTO)
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    rest = f".{fraction:018}".rstrip("0") if fraction else ""
    clock = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    clock += f"{seconds}{rest}S" if seconds or rest or not (days or clock) else ""
    return f"{'-' if attos < 0 else ''}P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"
