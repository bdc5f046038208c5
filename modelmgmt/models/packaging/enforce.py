"""Data held against a signature: taken as it is, turned into what the model takes, or refused in a sentence. Pure."""

from __future__ import annotations

from typing import Any

from modelmgmt.errors import SignatureError
from modelmgmt.models.packaging.signature import (
    Column,
    Mode,
    Signature,
    Table,
    Tensor,
    Tensors,
    column_kind,
    has_missing,
    is_sparse,
    normal,
    spec_of,
)
from modelmgmt.store.names import shown

_SHOWN = 5  # names in one message


def enforce(signature: Signature, data: Any, mode: Mode | None = None) -> Any:
    """The data as the model takes it. Raises SignatureError, which names the column and both types.

    `mode` overrides the signature's own. With `off` the data is handed on untouched.

    >>> import pandas as pd
    >>> from modelmgmt.models.packaging.signature import infer
    >>> signature = infer(pd.DataFrame({"age": [31], "plan": ["a"]}))
    >>> enforce(signature, pd.DataFrame({"plan": ["b"], "age": ["old"]}))
    Traceback (most recent call last):
    modelmgmt.errors.SignatureError: The column 'age' is str, and the model takes int64: 'old' is no int64.
    """
    mode = mode or signature.mode
    if mode == "off":
        return data
    found = normal(data)
    if isinstance(signature.inputs, Table):
        return _table(signature.inputs, found, strict=mode == "strict")
    if isinstance(signature.inputs, Tensors):
        return _tensors(signature.inputs, found, strict=mode == "strict")
    array = _array(signature.inputs, found, "The input", strict=mode == "strict")
    return data if array is found and not isinstance(data, (list, tuple)) else array


def _table(spec: Table, data: Any, *, strict: bool) -> Any:
    import pandas as pd

    if not hasattr(data, "columns"):
        data = _as_frame(spec, data, strict=strict)
    wanted, there = [column.name for column in spec.columns], list(data.columns)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise SignatureError(f"The input has no column {_names(missing)}; it has {_names(there)}.")
    if len(there) != len(set(there)):
        raise SignatureError(f"The input has two columns named {_names([n for n in there if there.count(n) > 1][:1])}.")
    extra = [name for name in there if name not in wanted]
    if strict and extra:
        raise SignatureError(f"The input has a column {_names(extra)} too many: the model takes {_names(wanted)}.")
    if strict and wanted != there:
        raise SignatureError(f"The columns are in the order {_names(there)}, and the model takes {_names(wanted)}.")
    columns = {column.name: _column(column, data[column.name], strict=strict) for column in spec.columns}
    if wanted == there and all(columns[name] is None for name in wanted):
        return data
    kept = [data[name] if columns[name] is None else columns[name] for name in wanted]
    result = pd.concat(kept, axis=1) if kept else data[[]]
    result.columns = data[wanted].columns
    return result


def _as_frame(spec: Table, data: Any, *, strict: bool) -> Any:
    """An array of as many columns, as a table, when that is allowed."""
    import pandas as pd

    shape = getattr(data, "shape", None)
    if strict or isinstance(data, dict) or shape is None or len(shape) != 2 or shape[1] != len(spec.columns):
        raise SignatureError(f"The input is {spec_of(data)}, and the model takes {spec}: pass a DataFrame.")
    if is_sparse(data):
        data = data.toarray()
    return pd.DataFrame(data, columns=pd.Index([column.name for column in spec.columns]))


def _column(spec: Column, series: Any, *, strict: bool) -> Any:
    """The column as the model takes it; None when it is that already."""
    found = "category" if str(series.dtype) == "category" else column_kind(series)
    lacking = int(series.isna().sum())
    if lacking == len(series) and len(series) and spec.nullable and not strict:
        return series.astype(_dtype(spec))
    if lacking and not spec.nullable:
        raise SignatureError(
            f"The column {shown(str(spec.name))} has {lacking} missing cells, and the model was shown none: fill them, "
            f"or log the model with signature.nullable({spec.name!r})."
        )
    if spec.dtype == "category":
        return _category(spec, series, found, strict=strict)
    if found == spec.dtype or (not len(series) and not strict and found == "object"):
        return None if found == spec.dtype else series.astype(_dtype(spec))
    if strict:
        raise SignatureError(f"The column {shown(str(spec.name))} is {found}, and the model takes {spec.dtype}.")
    return _converted(series, found, spec)


def _dtype(spec: Column) -> Any:
    import pandas as pd

    if spec.dtype == "category":
        return pd.CategoricalDtype(None if spec.categories is None else list(spec.categories), spec.ordered)
    return "object" if spec.dtype == "str" else spec.dtype


def _category(spec: Column, series: Any, found: str, *, strict: bool) -> Any:
    if found != "category" and strict:
        raise SignatureError(f"The column {shown(str(spec.name))} is {found}, and the model takes category.")
    if spec.categories is None:
        return None if found == "category" else series.astype("category")
    known = set(spec.categories)
    unknown = [value for value in series.dropna().unique().tolist() if value not in known]
    if unknown:
        raise SignatureError(
            f"The column {shown(str(spec.name))} has the value {shown(str(unknown[0]))}, which is none of the categories "
            f"{_names(list(spec.categories))} that the model knows."
        )
    is_same = found == "category" and series.cat.categories.tolist() == list(spec.categories)
    if is_same and bool(series.cat.ordered) == spec.ordered:
        return None
    if strict:
        raise SignatureError(
            f"The column {shown(str(spec.name))} has the categories {_names(series.cat.categories.tolist())}, and the "
            f"model takes {_names(list(spec.categories))} in this order."
        )
    return series.astype(_dtype(spec))


def _converted(series: Any, found: str, spec: Column) -> Any:
    """The column with the dtype that the model takes, when every value stays what it is."""
    import pandas as pd

    if spec.nullable and spec.dtype.lower().startswith(("int", "uint", "bool")) and series.hasnans:
        # numpy has no missing whole number: the cells that are there must be whole, and all stay as they are.
        _converted(series.dropna(), found, spec)
        return None
    what = f"The column {shown(str(spec.name))} is {found}, and the model takes {spec.dtype}"
    if spec.dtype == "object":
        return series.astype(object)
    if spec.dtype == "str" or (found == "str" and not spec.dtype.startswith("datetime")):
        value = next(iter(series.dropna().tolist()), None)
        raise SignatureError(f"{what}: {shown(str(value))} is no {spec.dtype}.")
    try:
        turned = pd.to_datetime(series).astype(spec.dtype) if spec.dtype.startswith("datetime") else None
        turned = series.astype(spec.dtype) if turned is None else turned
    except (TypeError, ValueError, OverflowError) as error:
        raise SignatureError(f"{what}: {_brief(error)}.") from error
    if found == "str":
        return turned
    differs = _differs(series.to_numpy(), turned.to_numpy(), spec.dtype)
    if differs is not None:
        raise SignatureError(f"{what}: {differs} would not stay what it is.")
    return turned


def _tensors(spec: Tensors, data: Any, *, strict: bool) -> Any:
    if hasattr(data, "columns"):
        data = {str(name): data[name].to_numpy() for name in data.columns}
    if not isinstance(data, dict):
        raise SignatureError(f"The input is {spec_of(data)}, and the model takes {spec}.")
    missing = [name for name, _ in spec.arrays if name not in data]
    if missing:
        raise SignatureError(f"The input has no array {_names(missing)}; it has {_names(list(data))}.")
    extra = [name for name in data if name not in dict(spec.arrays)]
    if strict and extra:
        raise SignatureError(f"The input has an array {_names(extra)} too many.")
    return {name: _array(tensor, data[name], f"The array {shown(name)}", strict=strict) for name, tensor in spec.arrays}


def _array(spec: Tensor, data: Any, what: str, *, strict: bool) -> Any:
    if isinstance(data, dict) or (hasattr(data, "columns") and strict):
        raise SignatureError(f"{what} is {spec_of(data)}, and the model takes {spec}.")
    if hasattr(data, "columns"):
        data = data.to_numpy()
    _check_shape(spec, data, what)
    found = spec_of(data)
    if not isinstance(found, Tensor):
        raise SignatureError(f"{what} is {found}, and the model takes {spec}.")
    if not spec.nullable and not is_sparse(data) and data.dtype.kind in "fO" and has_missing(data):
        raise SignatureError(f"{what} has missing cells, and the model was shown none: fill them.")
    if found.dtype == spec.dtype:
        return data
    problem = f"{what} is {found.dtype}, and the model takes {spec.dtype}"
    if strict or "str" in {found.dtype, spec.dtype}:
        raise SignatureError(f"{problem}.")
    return _cast(data, spec.dtype, problem)


def _cast(data: Any, dtype: str, problem: str) -> Any:
    import numpy as np

    try:
        with np.errstate(all="ignore"):
            turned = data.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise SignatureError(f"{problem}: {_brief(error)}.") from error
    differs = None if is_sparse(data) else _differs(data, turned, dtype)
    if differs is not None:
        raise SignatureError(f"{problem}: {differs} would not stay what it is.")
    return turned


def _check_shape(spec: Tensor, data: Any, what: str) -> None:
    shape = tuple(data.shape)
    fits = len(shape) == len(spec.shape) and all(
        wanted is None or wanted == length for wanted, length in zip(spec.shape, shape, strict=False)
    )
    if not fits:
        raise SignatureError(f"{what} has the shape {shape}, and the model takes {spec}.")


def _differs(before: Any, after: Any, dtype: str) -> Any:
    """A value that the conversion has changed; None when there is none. Floats may be rounded to shorter floats."""
    import numpy as np

    if before.dtype.kind == "f" and dtype.lower().startswith("float"):
        lost = np.isinf(after.astype(float)) & ~np.isinf(before)
    elif before.dtype.kind in "biuf" and after.dtype.kind in "biuf":
        lost = _not_the_same(before, after)
    elif before.dtype.kind == "O":
        same = [a == b or b != b for a, b in zip(before.ravel(), after.ravel(), strict=True)]  # noqa: PLR0124 - NaN
        before, lost = before.ravel(), ~np.array(same, bool)
    else:
        return None
    return before[lost][0] if lost.any() else None


def _not_the_same(before: Any, after: Any) -> Any:
    """Where a number is another one now: it does not come back, or its sign or size was beyond the new type."""
    import numpy as np

    with np.errstate(all="ignore"):
        lost = after.astype(before.dtype) != before
    if before.dtype.kind in "iu" and after.dtype.kind == "f":
        return lost | (after >= float(int(np.iinfo(before.dtype).max) + 1))  # that comes back as the smallest one
    if before.dtype.kind in "iu" and after.dtype.kind in "iu":
        return lost | ((before < 0) != (after < 0))
    if before.dtype.kind == "f" and after.dtype.kind in "iu":
        limits = np.iinfo(after.dtype)
        return lost | (before < float(limits.min)) | (before >= float(limits.max) + 1)
    return lost


def _names(names: list[Any]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(str(name), 40) for name in names[:_SHOWN]) + more if names else "none"


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".")


def check_example(signature: Signature, example: Any) -> None:
    """Raises SignatureError when the example is not what the signature says: one of them is wrong."""
    try:
        enforce(signature, example)
    except SignatureError as error:
        raise SignatureError(f"The signature does not match the input example: {error}") from error
