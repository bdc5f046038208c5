"""What a service hands over - inputs, predictions, ids - brought into columns. Pure.

A batch of predictions is columns of equal length: those of the predictions, those of the inputs, and one of ids. They are
the columns of `versions.data`, plainer: categories are spelled out, and texts have no fixed width, so that the columns of
one service look alike from call to call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.names import counted, shown
from modelmgmt.versions.data import columns
from modelmgmt.versions.data.columns import Column
from modelmgmt.versions.data.pack import Rows
from modelmgmt.versions.data.sources import table_of
from modelmgmt.versions.data.values import array_of, nanoseconds

Role = Literal["prediction", "input"]
Keep = bool | Sequence[str]
"""Which inputs are kept: all, none, or those of these names."""

MAX_CELL_BYTES = 1 << 20  # of one value: a text, a list, a row of an array
MAX_BATCH_BYTES = 1 << 30
MAX_COLUMNS = 10_000
MAX_ID_CHARS = 250
SPARSE_PLACES, SPARSE_VALUES = "sparse places", "sparse values"
"""The labels of the two columns that a sparse matrix becomes: places (i32) and values of each row, as bytes."""

_unsafe = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]").search


def take(inputs: Any, predictions: Any, keep: Keep = True) -> tuple[int, tuple[Column, ...]]:
    """(how many, their columns): a label is a pair of role and name, the name None where there is one without a name.

    Nothing is copied that need not be: the columns may be views of what was given. Raises InvalidTypeError,
    InvalidValueError.
    """
    if predictions is None:
        raise InvalidTypeError(
            "There are no predictions: pass the outputs of the model, one row for each row of the inputs."
        )
    rows, found = _columns(predictions, "prediction")
    if rows and not any(0 not in column.values.shape[1:] for column in found):
        raise InvalidValueError(
            "The predictions have no columns: pass the outputs of the model, one row for each prediction."
        )
    if inputs is not None:
        count, more = _columns(inputs, "input")
        if count != rows:
            raise InvalidValueError(
                f"{counted(rows, 'prediction')} and {counted(count, 'row')} of inputs do not match: pass one for each."
            )
        found += _kept(more, keep)
    _check_sizes(rows, found)
    return rows, tuple(found)


def take_ids(ids: Any, rows: int) -> list[str] | None:
    """The ids as text, whole numbers in decimal; None when none were given.

    Raises InvalidTypeError, InvalidValueError for a wrong number of them, and for one that comes twice.
    """
    if ids is None:
        return None
    # A set has no order that would say which id is whose.
    if isinstance(ids, (str, bytes, Mapping, set, frozenset)) or not hasattr(ids, "__len__"):
        raise InvalidTypeError(f"ids are a list or an array of str or int, and {type(ids).__name__} was given.")
    plain = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    if len(plain) != rows:
        raise InvalidValueError(
            f"{counted(rows, 'prediction')} and {counted(len(plain), 'id')} do not match: pass one for each, or none."
        )
    found = id_texts(plain)
    if len(set(found)) != rows:
        twice = Counter(found).most_common(1)[0][0]
        raise InvalidValueError(f"The id {shown(twice)} occurs twice in one batch, and ids must be unique.")
    return found


def id_texts(ids: Sequence[Any]) -> list[str]:
    """Ids as text, each as often as it was given. Raises InvalidTypeError, InvalidValueError."""
    found = [one if type(one) is str else _id_text(one, place) for place, one in enumerate(ids)]
    _check_ids(found)
    return found


def _id_text(one: Any, place: int) -> str:
    if isinstance(one, str):
        return str.__str__(one)
    if isinstance(one, (int, np.integer)) and not isinstance(one, (bool, np.bool_)):
        return str(int(one))
    raise InvalidTypeError(f"The id at place {place} is a {type(one).__name__}: ids are str or int, convert them.")


def _check_ids(ids: Sequence[str]) -> None:
    if _unsafe("".join(ids)) is None and all(0 < len(one) <= MAX_ID_CHARS for one in ids):
        return
    bad = next(one for one in ids if _unsafe(one) or not 0 < len(one) <= MAX_ID_CHARS)
    raise InvalidValueError(
        f"{shown(bad)} cannot be an id: an id has 1 to {MAX_ID_CHARS} characters, and no control characters."
    )


def _columns(data: Any, role: Role) -> tuple[int, list[Column]]:
    data = array_of(data, f"{role}s")
    if isinstance(data, (list, tuple)):
        return _of_list(data, role)
    if isinstance(data, np.ndarray):
        return _of_array(data, role)
    if isinstance(data, (str, bytes)) or np.isscalar(data):
        raise InvalidTypeError(f"The {role}s are rows, and a single {type(data).__name__} was given: put it in a list.")
    if isinstance(data, Mapping) and data and all(one is None or np.isscalar(one) for one in data.values()):
        raise InvalidTypeError(f"The {role}s are rows, and a single mapping was given: put it in a list.")
    table = table_of(data)
    if table.kind == "sparse":
        return table.rows, _of_sparse(table.columns, role)
    found = [_settled(one, (role, one.label)) for one in table.columns]
    return table.rows, [_named(found[0], role, None)] if len(found) == 1 and _is_nameless(data, role) else found


def _is_nameless(data: Any, role: Role) -> bool:
    """Whether the only column is a series without a name of its own, or one of predictions: pandas calls it what the
    target was called.
    """
    if isinstance(data, Mapping) or hasattr(data, "columns"):
        return False
    return role == "prediction" or getattr(data, "name", None) in (None, "")


def _of_list(data: Sequence[Any], role: Role) -> tuple[int, list[Column]]:
    """Mappings are rows of named columns, sequences of one length rows of a matrix, matrices outputs, all else values.

    So are sequences of mappings, as the messages of a conversation: two do not become columns for being equally long.
    """
    if not data:
        return 0, []
    if _is_outputs(data):
        parts = [_columns(part, role) for part in data]
        if len({rows for rows, _ in parts}) > 1:
            raise InvalidValueError("The arrays of a model with many outputs have different numbers of rows.")
        return parts[0][0], [_named(one, role, place) for place, (_, found) in enumerate(parts) for one in found]
    if all(isinstance(row, Mapping) for row in data):
        table = table_of(list(data))
        return table.rows, [_settled(one, (role, one.label)) for one in table.columns]
    widths = {
        len(row) if isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim) else -1 for row in data
    }
    width = widths.pop()
    if widths or width < 1 or any(isinstance(one, Mapping) for one in data[0]):
        return len(data), [_of_values(list(data), (role, None))]
    if all(isinstance(row, np.ndarray) for row in data):
        return _of_array((np.ma.stack if any(map(_has_mask, data)) else np.stack)(data), role)
    return len(data), [_of_values([row[place] for row in data], (role, place)) for place in range(width)]


def _of_values(values: list[Any], label: tuple[Role, Any]) -> Column:
    role, place = label
    [column] = table_of({f"{role}s" if place is None else f"{role}.{place}": values}).columns
    return _settled(column, label)


def _is_outputs(data: Sequence[Any]) -> bool:
    """As scikit-learn's predict_proba of several outputs gives them: one matrix for each."""
    return bool(data) and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in data)


def _of_array(data: Any, role: Role) -> tuple[int, list[Column]]:
    if data.ndim == 0:
        raise InvalidValueError(f"The {role}s are a single value without rows: put it in a list.")
    if data.dtype.names is not None:
        raise InvalidTypeError("An array of records has columns of its own: pass pd.DataFrame(array).")
    if data.ndim == 1:
        return len(data), [_of_vector(data, (role, None))]
    if data.dtype.kind in "biufc" and not _has_mask(data):
        return len(data), [columns.fixed((role, None), np.asarray(data))]
    if data.ndim == 2:
        return len(data), [_of_vector(data[:, place], (role, place)) for place in range(data.shape[1])]
    if data.dtype.kind in "fc":
        return len(data), [columns.fixed((role, None), data.filled(np.nan))]
    what = "A masked array" if _has_mask(data) else "An array"
    raise InvalidTypeError(
        f"{what} of {data.dtype} with {data.ndim} dimensions cannot be kept: pass numbers without a mask, or two dimensions."
    )


def _has_mask(data: Any) -> bool:
    return isinstance(data, np.ma.MaskedArray) and bool(np.ma.getmaskarray(data).any())


def _of_vector(data: Any, label: tuple[Role, Any]) -> Column:
    [column] = table_of(nanoseconds(data, f"{label[0]}s")).columns
    return _settled(column, label)


def _of_sparse(parts: Sequence[Column], role: Role) -> list[Column]:
    lengths, places, values = (part.values for part in parts)
    found = []
    for label, part in ((SPARSE_PLACES, places.astype("<i4")), (SPARSE_VALUES, values)):
        data = np.frombuffer(np.ascontiguousarray(part).tobytes(), np.uint8)
        kind = f"bytes of {part.dtype.name}"
        found.append(columns.variable((role, label), kind, data, lengths * part.dtype.itemsize, None))
    return found


def _named(column: Column, role: Role, name: Any) -> Column:
    return Column((role, name), column.type, column.values, column.lengths, column.valid)


def _settled(column: Column, label: tuple[Role, Any]) -> Column:
    """The column under a type that does not depend on which values happen to be in it."""
    if column.categories is not None:
        return _spelled_out(column, label)
    kind = column.values.dtype.kind
    if column.lengths is None and kind in "SU":
        pieces = [text.encode("utf-8", "surrogatepass") if kind == "U" else text for text in column.values.tolist()]
        return columns.joined(label, "string" if kind == "U" else "bytes", pieces, column.valid)
    if column.valid is not None and (kind == "c" or column.type == "float16"):  # of which there is no nullable kind
        wide = column.values.astype("<c16" if kind == "c" else "<f4")
        return columns.fixed(label, np.where(column.valid, wide, np.nan))
    return Column(label, column.type, column.values, column.lengths, column.valid)


def _spelled_out(column: Column, label: tuple[Role, Any]) -> Column:
    every = column.categories
    if every is None or not every.rows:
        return columns.joined(label, "string", [b""] * column.rows, np.zeros(column.rows, bool))
    taken = Rows(every.values, every.lengths, every.valid).take(column.values.astype(np.intp))
    valid = column.valid if taken.valid is None or column.valid is None else taken.valid & column.valid
    spelled = Column(label, every.type, taken.values, taken.lengths, taken.valid if valid is None else valid)
    return _settled(_emptied(spelled), label)


def _emptied(column: Column) -> Column:
    """What is missing is empty, or zero."""
    if column.valid is None:
        return column
    if column.lengths is not None:
        pieces = [piece if there else b"" for piece, there in zip(column.pieces(), column.valid.tolist(), strict=True)]
        return columns.joined(column.label, column.type, pieces, column.valid)
    return columns.fixed(column.label, column.values, column.valid, column.type)


def _kept(found: list[Column], keep: Keep) -> Iterator[Column]:
    if isinstance(keep, bool):
        yield from found if keep else ()
        return
    names = {str(column.label[1]): column for column in found if column.label[1] is not None}
    for name in keep:
        if not names:
            raise InvalidValueError(f"The inputs have no names to keep {shown(name)} by: pass a frame, or mappings.")
        if name not in names:
            raise InvalidValueError(f"The inputs have no column {shown(name)}; they have: {', '.join(names)[:500]}.")
        yield names[name]


def _check_sizes(rows: int, found: Sequence[Column]) -> None:
    if len(found) > MAX_COLUMNS:
        raise InvalidValueError(f"There are {len(found):,} columns, and the limit is {MAX_COLUMNS:,}: pass an array.")
    for column in found:
        if column.rows != rows:
            raise InvalidValueError(f"The column {_shown(column)} has {column.rows:,} rows, and the others {rows:,}.")
        largest, place = _largest(column)
        if largest > MAX_CELL_BYTES:
            raise InvalidValueError(
                f"The {_shown(column)} in row {place} has {largest:,} bytes, and {MAX_CELL_BYTES:,} are the limit of one "
                "value: shorten it, or leave it out with inputs=False or inputs=[names]."
            )
    size = sum(column.nbytes for column in found)
    if size > MAX_BATCH_BYTES:
        raise InvalidValueError(f"The batch has {size:,} bytes, and {MAX_BATCH_BYTES:,} is the limit: log it in parts.")


def _largest(column: Column) -> tuple[int, int]:
    """(bytes, row) of the largest value."""
    if not column.rows:
        return 0, 0
    if column.lengths is None:
        return column.values.nbytes // len(column.values), 0
    place = int(column.lengths.argmax())
    return int(column.lengths[place]), place


def _shown(column: Column) -> str:
    role, name = column.label
    return role if name is None else f"{role} {shown(str(name))}"
