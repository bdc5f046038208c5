"""Data held against a signature: taken as it is, turned into what the model takes, or refused in a sentence. Pure."""

from __future__ import annotations

from decimal import InvalidOperation
from typing import Any

from modelmgmt.errors import InvalidTypeError, SignatureError
from modelmgmt.models.packaging.conversion import convert
from modelmgmt.models.packaging.signature import (
    Column,
    Mode,
    Records,
    Signature,
    Spec,
    Table,
    Tensor,
    Tensors,
    column_kind,
    container_of,
    has_missing,
    is_by_name,
    is_records,
    is_sparse,
    is_sparse_kind,
    kind_of,
    kind_of_values,
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
    >>> signature = infer(pd.DataFrame({"n": [31], "plan": ["a"]}))
    >>> enforce(signature, pd.DataFrame({"plan": ["b"], "n": ["3"]}))
    Traceback (most recent call last):
    modelmgmt.errors.SignatureError: The column 'n' is str, and the model takes int64: '3' (str) is not converted to int64.
    """
    mode = mode or signature.mode
    if mode == "off":
        return data
    try:
        return _enforced(signature.inputs, data, strict=mode == "strict")
    except InvalidTypeError as error:  # it is nothing that a signature describes
        raise SignatureError(f"The input is not what the model takes, {signature.inputs}: {error}") from error
    except InvalidOperation as error:
        raise SignatureError("The input has a Decimal('sNaN'), which cannot be compared: replace it.") from error


def _enforced(spec: Spec, data: Any, *, strict: bool) -> Any:
    if isinstance(spec, Records):
        return _records(spec, data, strict=strict)
    if isinstance(spec, Tensor):
        return _in_container(spec, data, strict=strict)
    if is_records(data) and strict:
        raise SignatureError(f"The input is a list of mappings, and the model takes {spec}: pass a DataFrame.")
    found = normal(data)
    if isinstance(spec, Table):
        return _table(spec, found, strict=strict)
    return _tensors(spec, found, strict=strict)


def _table(spec: Table, data: Any, *, strict: bool) -> Any:
    import pandas as pd

    if not hasattr(data, "columns"):
        data = _as_frame(spec, data, strict=strict)
    wanted, there = [column.name for column in spec.columns], list(data.columns)
    missing = [column.name for column in spec.columns if not column.optional and column.name not in there]
    if missing:
        raise SignatureError(f"The input has no column {_names(missing)}; it has {_names(there)}.")
    if len(there) != len(set(there)) and there != wanted:
        raise SignatureError(f"The input has two columns named {_names([n for n in there if there.count(n) > 1][:1])}.")
    extra = [name for name in there if name not in wanted]
    if strict and extra:
        raise SignatureError(f"The input has the unexpected column {_names(extra)}; the model takes {_names(wanted)}.")
    if strict and there != [name for name in wanted if name in there]:
        raise SignatureError(f"The columns are in the order {_names(there)}, and the model takes {_names(wanted)}.")
    kept, is_same = [], there == [name for name in wanted if name in there]
    for place, column in enumerate(spec.columns):
        if column.name not in there:
            if column.nullable:  # absent, so all of it is missing
                blank = pd.Series([None] * len(data), index=data.index, name=column.name, dtype=object)
                turned = _column(column, blank, strict=False)
                kept.append(blank if turned is None else turned)
            is_same = is_same and not column.nullable
            continue
        given = data.iloc[:, place if there == wanted else there.index(column.name)]
        turned = _column(column, given, strict=strict)
        kept.append(given if turned is None else turned)
        is_same = is_same and turned is None
    if is_same:
        return data
    result = pd.concat(kept, axis=1) if kept else data[[]]
    if all(name in there for name in wanted):
        result.columns = data.columns if there == wanted else data[wanted].columns
    return result


def _records(spec: Records, data: Any, *, strict: bool) -> Any:
    """The mappings themselves, or ones in which a value has the type that the model takes."""
    if not is_records(data):
        frame = data if strict or (isinstance(data, (list, tuple)) and not data) else normal(data)
        if isinstance(frame, (list, tuple)) and not frame:
            return data
        if not hasattr(frame, "columns") or strict or frame.columns.has_duplicates:
            raise SignatureError(f"The input is a {type(data).__name__}, and the model takes {spec}.")
        data = frame.to_dict("records")
    known, turned = {column.name for column in spec.columns}, None
    extra = [name for row in data for name in row if name not in known]
    if strict and extra:
        raise SignatureError(
            f"The input has the unexpected key {_names(extra[:1])}; the model takes {_names(list(known))}."
        )
    for column in spec.columns:
        places = [place for place, row in enumerate(data) if column.name in row]
        if len(places) < len(data) and not column.optional:
            raise SignatureError(
                f"A mapping has no key {_names([column.name])}: add it, or log the model with "
                f"signature.optional({column.name!r})."
            )
        values = [data[place][column.name] for place in places]
        changed = _values(column, values, strict=strict)
        if changed is not None:
            turned = turned or [dict(row) for row in data]
            for place, value in zip(places, changed, strict=True):
                turned[place][column.name] = value
    return data if turned is None else turned


def _values(spec: Column, values: list[Any], *, strict: bool) -> list[Any] | None:
    """The values of one key as the model takes them; None when they are that already."""
    import pandas as pd

    what, found = f"The key {shown(str(spec.name))}", kind_of_values(values)
    series = pd.Series(values, dtype=object)
    if not spec.nullable and series.isna().any():
        raise SignatureError(f"{what} has a missing value, and the input example had none: log the model with "
                             f"signature.nullable({spec.name!r}).")  # fmt: skip
    if spec.dtype in (found, "object") or series.isna().all():
        return None
    if strict:
        raise SignatureError(f"{what} is {found}, and the model takes {spec.dtype}.")
    turned = convert(series, found, spec.dtype, what)
    return None if turned is series else list(turned.tolist())


def _in_container(spec: Tensor, data: Any, *, strict: bool) -> Any:
    """One array, in what the model takes it in: a Series, a list of texts, a sparse or a masked array, or as it is."""
    import numpy as np
    import pandas as pd

    found = container_of(data)
    if strict and found != spec.container and "list" not in (found, spec.container):
        raise SignatureError(f"The input is in a {found}, and the model takes {spec}.")
    if found == spec.container == "masked":
        _check_shape(spec, data, "The input")
        if kind_of(data.dtype) == spec.dtype:
            return data
        values = np.zeros(data.shape, spec.dtype)
        mask = np.ma.getmaskarray(data)
        values[~mask] = convert(data.compressed(), kind_of(data.dtype), spec.dtype, "The input")
        return np.ma.array(values, mask=mask)
    if spec.container == "series":
        series = data if found == "series" else pd.Series(_array_of_any(data))
        _check_shape(spec, series, "The input")
        turned = _column(Column("", spec.dtype, spec.nullable), series, strict=strict, what="The input")
        return series if turned is None else turned
    given = normal(data)
    is_wanted_sparse = is_sparse_kind(spec.container)
    if is_sparse(given) and not is_wanted_sparse:
        given = given.toarray()
    array = _array(spec, given, "The input", strict=strict)
    if is_wanted_sparse:
        return data if array is data and found == spec.container else _sparse(array, spec.container)
    if spec.container == "list":
        return data if array is given and found == "list" else array.tolist()
    if spec.container == "masked":
        return np.ma.array(array)
    return data if array is given and found in ("array", "series") and not isinstance(data, (list, tuple)) else array


def _sparse(array: Any, kind: str) -> Any:
    import scipy.sparse

    return getattr(scipy.sparse, kind)(array)


def _array_of_any(data: Any) -> Any:
    array = normal(data)
    if getattr(array, "ndim", 0) != 1 or is_sparse(array):
        raise SignatureError(f"The input is {spec_of(array)}, and the model takes a Series.")
    return array


def _as_frame(spec: Table, data: Any, *, strict: bool) -> Any:
    """An array of as many columns, as a table, when that is allowed."""
    import pandas as pd

    shape = getattr(data, "shape", None)
    if strict or is_by_name(data) or shape is None or len(shape) != 2 or shape[1] != len(spec.columns):
        raise SignatureError(f"The input is {spec_of(data)}, and the model takes {spec}: pass a DataFrame.")
    if is_sparse(data):
        data = data.toarray()
    return pd.DataFrame(data, columns=pd.Index([column.name for column in spec.columns]))


def _column(spec: Column, series: Any, *, strict: bool, what: str = "") -> Any:
    """The column as the model takes it; None when it is that already."""
    what = what or f"The column {shown(str(spec.name))}"
    found = "category" if str(series.dtype) == "category" else column_kind(series)
    lacking = int(series.isna().sum())
    if lacking and not spec.nullable:
        raise SignatureError(
            f"{what} has {lacking} missing cells, and the input example had none: fill them, "
            f"or log the model with signature.nullable({spec.name!r})."
        )
    if spec.dtype == "category":
        return _category(spec, series, found, strict=strict)
    if found == spec.dtype:
        return None
    if strict:
        raise SignatureError(f"{what} is {found}, and the model takes {spec.dtype}.")
    turned = convert(series, found, spec.dtype, what)
    return None if turned is series else turned


def _category(spec: Column, series: Any, found: str, *, strict: bool) -> Any:
    import pandas as pd

    what = f"The column {shown(str(spec.name))}"
    if found != "category" and strict:
        raise SignatureError(f"{what} is {found}, and the model takes category.")
    if spec.categories is None:
        return None if found == "category" else _learnt_categories(series, what)
    categories = list(spec.categories)
    is_same = found == "category" and series.cat.categories.tolist() == categories
    if is_same and bool(series.cat.ordered) == spec.ordered:
        return None
    if strict:
        raise SignatureError(
            f"{what} has the categories {_names(series.cat.categories.tolist())}, and the model takes "
            f"{_names(categories)} in this order."
        )
    # By type, too: True is counted as equal to 1.
    places = {(isinstance(one, bool), one): place for place, one in enumerate(categories)}
    codes = []
    for value, missing in zip(series.tolist(), series.isna(), strict=True):
        try:
            codes.append(-1 if missing else places[isinstance(value, bool), value])
        except (KeyError, TypeError) as error:  # TypeError: it has no hash
            raise SignatureError(
                f"{what} has the value {shown(str(value))} ({type(value).__name__}), which is none of the categories "
                f"{_names(categories)} that the model knows."
            ) from error
    dtype = pd.CategoricalDtype(categories, spec.ordered)
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype), index=series.index, name=series.name)


def _learnt_categories(series: Any, what: str) -> Any:
    try:
        return series.astype("category")
    except (TypeError, ValueError, NotImplementedError) as error:  # no hash, or no index of pandas holds it
        value = next(iter(series.dropna().tolist()))
        raise SignatureError(
            f"{what} is {series.dtype}, and the model takes category: {shown(str(value))} ({type(value).__name__}) "
            "cannot be a category."
        ) from error


def _tensors(spec: Tensors, data: Any, *, strict: bool) -> Any:
    if hasattr(data, "columns"):
        data = {str(name): data[name].to_numpy() for name in data.columns}
    if not is_by_name(data):
        raise SignatureError(f"The input is {spec_of(data)}, and the model takes {spec}.")
    missing = [name for name, tensor in spec.arrays if name not in data and not tensor.optional]
    if missing:
        raise SignatureError(f"The input has no array {_names(missing)}; it has {_names(list(data))}.")
    extra = [name for name in data if name not in dict(spec.arrays)]
    if strict and extra:
        raise SignatureError(f"The input has the unexpected array {_names(extra)}.")
    return {
        name: _array(tensor, data[name], f"The array {shown(name)}", strict=strict)
        for name, tensor in spec.arrays
        if name in data
    }


def _array(spec: Tensor, data: Any, what: str, *, strict: bool) -> Any:
    if is_by_name(data) or (hasattr(data, "columns") and strict):
        raise SignatureError(f"{what} is {spec_of(data)}, and the model takes {spec}.")
    if hasattr(data, "columns"):
        data = _as_array(spec, data)
    _check_shape(spec, data, what)
    found = spec_of(data)
    if not isinstance(found, Tensor):
        raise SignatureError(f"{what} is {found}, and the model takes {spec}.")
    if not spec.nullable and not is_sparse(data) and data.dtype.kind in "fO" and has_missing(data):
        raise SignatureError(f"{what} has missing cells, and the input example had none: fill them.")
    if found.dtype == spec.dtype:
        return data
    problem = f"{what} is {found.dtype}, and the model takes {spec.dtype}"
    if strict:
        raise SignatureError(f"{problem}.")
    if not is_sparse(data):
        return convert(data, found.dtype, spec.dtype, what)
    if spec.dtype.rstrip("0123456789") not in ("bool", "int", "uint", "float", "complex"):
        raise SignatureError(f"{problem}, which a sparse matrix cannot have: pass .toarray().")
    turned = data.copy() if data.format == "csr" else data.tocsr()  # not every format has its values in one array
    turned.data = convert(turned.data, found.dtype, spec.dtype, what)
    return turned.asformat(data.format)


def _as_array(spec: Tensor, frame: Any) -> Any:
    """The columns beside each other, each converted: pandas would make one type of them first, and change integers."""
    import numpy as np

    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    if spec.dtype in ("object", "str") or not columns or len({str(column.dtype) for column in columns}) == 1:
        return frame.to_numpy()
    arrays = []
    for column in columns:
        found = "category" if str(column.dtype) == "category" else column_kind(column)
        turned = convert(column, found, spec.dtype, f"The column {shown(str(column.name))}")
        arrays.append(turned.to_numpy())
    return np.column_stack(arrays)


def _check_shape(spec: Tensor, data: Any, what: str) -> None:
    shape = tuple(data.shape)
    fits = len(shape) == len(spec.shape) and all(
        wanted is None or wanted == length for wanted, length in zip(spec.shape, shape, strict=False)
    )
    if not fits:
        raise SignatureError(f"{what} has the shape {shape}, and the model takes {spec}.")


def _names(names: list[Any]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(str(name), 40) for name in names[:_SHOWN]) + more if names else "none"


def check_example(signature: Signature, example: Any) -> None:
    """Raises SignatureError when the example is not what the signature says: one of them is wrong."""
    try:
        enforce(signature, example)
    except SignatureError as error:
        raise SignatureError(f"The signature does not match the input example: {error}") from error
