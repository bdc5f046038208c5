"""What a model takes and gives: columns or arrays, their types, categories and missing cells. Pure.

A signature is learnt from an example, or written by hand; `modelmgmt/models/packaging/enforce.py` holds data against it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from modelmgmt.errors import InvalidTypeError, InvalidValueError, printable
from modelmgmt.models.packaging.conversion import kind_of_value
from modelmgmt.store.names import counted, preformatted, shown
from modelmgmt.versions.data.values import array_of, is_masked, mask_of

if TYPE_CHECKING:
    from modelmgmt.tracking.datasets import Dataset
    from modelmgmt.versions.data.profile import ColumnProfile, Profile

Mode = Literal["strict", "coerce", "off"]
MODES: tuple[str, ...] = get_args(Mode)

CATEGORY_LIMIT = 1_000  # of one column; a column with more is an id, and its categories are not written down


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or a key of mappings. `categories` are the values it may have, where its dtype is `category`.

    `optional` ones may be absent: of a column that is nullable the cells are missing then, any other is left out.
    """

    name: Any
    dtype: str
    nullable: bool = False
    categories: tuple[Any, ...] | None = None
    ordered: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, in the order in which the model was fitted."""

    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return printable(f"a table of {counted(len(self.columns), 'column')}")


@dataclass(frozen=True, slots=True)
class Records:
    """A list of mappings, as DictVectorizer takes it. The dtype of a key is bool, int64, float64, str, or object: any."""

    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return printable(f"a list of mappings with {counted(len(self.columns), 'key')}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array. A None in `shape` is any length; the first is always that of the batch.

    `container` is what the values are in: `array`, `masked` (an array of numpy.ma), `series` (of pandas), `list` (of texts),
    or a class of scipy.sparse, such as `csr_matrix`. An array by name may be `optional`, and is then left out when absent.
    """

    dtype: str
    shape: tuple[int | None, ...]
    nullable: bool = True
    container: str = "array"
    optional: bool = False

    def __str__(self) -> str:
        words = {"array": "an array", "masked": "a masked array", "series": "a Series", "list": "a list"}
        lengths = ", ".join("any" if length is None else str(length) for length in self.shape)
        what = words.get(self.container, f"a {self.container}")
        return printable(f"{what} of {self.dtype}, ({lengths}{',' if len(self.shape) == 1 else ''})")


@dataclass(frozen=True, slots=True)
class Tensors:
    """Several arrays by name."""

    arrays: tuple[tuple[str, Tensor], ...]

    def __str__(self) -> str:
        return printable(f"arrays named {', '.join(name for name, _ in self.arrays)}")


Spec = Table | Records | Tensor | Tensors


@dataclass(frozen=True, slots=True)
class Signature:
    """What `predict` takes, what it gives, and how the first is enforced.

    `strict` takes exactly this. `coerce`, the default, also takes what can be turned into it without losing anything:
    columns in another order or more of them, whole numbers as floats, texts that are categories, an array for a table of
    as many columns. `off` only describes.

    >>> import pandas as pd
    >>> signature = infer(pd.DataFrame({"age": [31, 60], "plan": ["a", None]}))
    >>> [(column.name, column.dtype, column.nullable) for column in signature.inputs.columns]
    [('age', 'int64', False), ('plan', 'str', True)]
    """

    inputs: Spec
    outputs: Spec | None = None
    mode: Mode = "coerce"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidValueError(f"A signature's mode is one of {', '.join(MODES)}, and {self.mode!r} was given.")
        inputs: Any = self.inputs
        if not isinstance(inputs, Spec):
            message = (
                f"A signature's inputs are a Table, Records, Tensor or Tensors, and {type(inputs).__name__} was given."
            )
            raise InvalidTypeError(message)

    def nullable(self, *names: Any) -> Self:
        """The same, with missing cells allowed in these columns; without names in all.

        >>> import pandas as pd
        >>> infer(pd.DataFrame({"age": [31.5]})).nullable("age").inputs.columns[0].nullable
        True
        """
        if isinstance(self.inputs, Tensor):
            return replace(self, inputs=replace(self.inputs, nullable=True))
        if isinstance(self.inputs, Tensors):
            return replace(self, inputs=Tensors(tuple((n, replace(t, nullable=True)) for n, t in self.inputs.arrays)))
        self._check_names(names, [column.name for column in self.inputs.columns])
        columns = (replace(c, nullable=True) if not names or c.name in names else c for c in self.inputs.columns)
        return replace(self, inputs=replace(self.inputs, columns=tuple(columns)))

    def optional(self, *names: Any) -> Self:
        """The same, where these columns, keys or arrays by name may be absent; without names all of them.

        A column that is absent is left out; if it is `nullable`, too, the model gets it with missing cells. Raises
        InvalidValueError for a name that the signature has not, and for a single array.

        >>> import pandas as pd
        >>> infer(pd.DataFrame({"age": [31.5]})).optional("age").inputs.columns[0].optional
        True
        """
        if isinstance(self.inputs, Tensor):
            raise InvalidValueError("The model takes one array, which cannot be optional.")
        if isinstance(self.inputs, Tensors):
            self._check_names(names, [name for name, _ in self.inputs.arrays])
            arrays = ((n, replace(t, optional=t.optional or not names or n in names)) for n, t in self.inputs.arrays)
            return replace(self, inputs=Tensors(tuple(arrays)))
        self._check_names(names, [column.name for column in self.inputs.columns])
        columns = (replace(c, optional=True) if not names or c.name in names else c for c in self.inputs.columns)
        return replace(self, inputs=replace(self.inputs, columns=tuple(columns)))

    @staticmethod
    def _check_names(names: Collection[Any], there: Collection[Any]) -> None:
        unknown = [name for name in names if name not in there]
        if unknown:
            raise InvalidValueError(f"The signature has no column {shown(str(unknown[0]))}.")

    def as_dict(self) -> dict[str, Any]:
        """The signature in JSON's types, as `model.json` has it."""
        outputs = None if self.outputs is None else _spec_dict(self.outputs)
        return {"mode": self.mode, "inputs": _spec_dict(self.inputs), "outputs": outputs}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The signature that `as_dict` wrote; fields that are not known are passed over. Raises InvalidValueError."""
        try:
            outputs = content.get("outputs")
            return cls(_spec(content["inputs"]), None if outputs is None else _spec(outputs), content["mode"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidValueError(f"The signature in model.json is not valid ({error!r}).") from error

    def _repr_lines(self) -> Iterator[str]:
        yield f"{self.mode}: {self.inputs}"
        if isinstance(self.inputs, (Table, Records)):
            for column in self.inputs.columns:
                words = f"{' or missing' if column.nullable else ''}{', optional' if column.optional else ''}"
                yield f"  {column.name}: {column.dtype}{words}"

    def __str__(self) -> str:
        return "\n".join(self._repr_lines())

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def infer(inputs: Any, outputs: Any = None, *, leave_out: Collection[Any] = (), mode: Mode = "coerce") -> Signature:
    """The signature of this example. Columns without a missing cell in it are taken to have none.

    Takes a DataFrame (pandas, polars), columns by name, rows as a list of mappings, an array `(n_samples, ...)` (numpy,
    torch, scipy sparse), arrays by name, a list of texts or numbers, or what `run.log_dataset` returned. `leave_out` names
    columns that are no input: the target. Raises InvalidTypeError for anything else.

    >>> import numpy as np
    >>> print(infer(np.zeros((5, 4), np.float32)))
    coerce: an array of float32, (any, 4)
    """
    from modelmgmt.tracking.datasets import Dataset

    outside = None if outputs is None else spec_of(outputs)
    if isinstance(inputs, Dataset):
        return Signature(spec_of_dataset(inputs, leave_out), outside, mode)
    return Signature(_taken(without(inputs, leave_out)), outside, mode)


def spec_of_dataset(version: Dataset, leave_out: Collection[Any] = ()) -> Spec:
    """What this version of data is, without the columns in `leave_out` (the target). Raises InvalidTypeError.

    A profile knows the types and which columns have missing cells; the order of categories only the content has.
    """
    if version.content_digest is not None and version.kind in {"frame", "array", "sparse"}:
        return spec_of(without(version.load(), leave_out))
    profile = version.profile
    if profile.kind == "array" and profile.shape and not leave_out:
        return _profile_tensor(profile)
    if profile.kind != "frame":
        raise InvalidTypeError(
            f"{version.reference} is a {profile.kind}: a signature is inferred from frames and arrays."
        )
    names = [column.name for column in profile.columns]
    unknown = [name for name in leave_out if name not in names]
    if unknown:
        raise InvalidValueError(f"{version.reference} has no column {unknown[0]!r} to leave out.")
    return Table(tuple(_profile_column(column) for column in profile.columns if column.name not in leave_out))


def _profile_tensor(profile: Profile) -> Tensor:
    missing = any(column.missing for column in profile.columns)
    return Tensor(_profile_dtype(profile.columns[0].type), (None, *(profile.shape or ())[1:]), nullable=missing)


def _profile_column(column: ColumnProfile) -> Column:
    return Column(column.name, _profile_dtype(column.type), nullable=column.missing > 0)


def _profile_dtype(kind: str) -> str:
    """The name that pandas and numpy have for a type of a profile.

    >>> _profile_dtype("string"), _profile_dtype("datetime[us, UTC]"), _profile_dtype("int64")
    ('str', 'datetime64[us, UTC]', 'int64')
    """
    if kind == "string":
        return "str"
    for ours, theirs in (("datetime[", "datetime64["), ("duration[", "timedelta64["), ("timedelta[", "timedelta64[")):
        if kind.startswith(ours):
            return theirs + kind.removeprefix(ours)
    return kind


def _taken(data: Any) -> Spec:
    """What a model takes that was given this data. Raises InvalidTypeError."""
    if is_records(data):
        return _records(data)
    container = container_of(data)
    if container == "masked":
        return Tensor(kind_of(data.dtype), (None, *data.shape[1:]) if data.ndim else (), container=container)
    spec = spec_of(data)
    if not isinstance(spec, Tensor) or container == "array":
        return spec
    if container == "series":
        return replace(spec, container=container, dtype=_series_kind(data))
    return replace(spec, container=container)


def _series_kind(series: Any) -> str:
    return "category" if str(series.dtype) == "category" else column_kind(series)


def container_of(data: Any) -> str:
    """What values are in, as `Tensor.container` has it; `array` for all that becomes one.

    >>> container_of(["a text", "another"]), container_of([1.5, 2.5])
    ('list', 'array')
    """
    import pandas as pd

    if is_sparse(data):
        return type(data).__name__
    if isinstance(data, pd.Series):
        return "series"
    if type(data).__module__.startswith("numpy") and mask_of(data) is not None:
        return "masked"
    if type(data) in (list, tuple):
        present = [value for value in data if value is not None]
        if present and all(isinstance(value, str) for value in present):
            return "list"
    return "array"


def is_records(data: Any) -> bool:
    """Whether this is a list of mappings."""
    return isinstance(data, Sequence) and len(data) > 0 and all(isinstance(row, Mapping) for row in data)


def _records(rows: Sequence[Mapping[Any, Any]]) -> Records:
    """Where the mappings do not all have the same keys, each key may be absent."""
    names = dict.fromkeys(name for row in rows for name in row)
    are_optional = any(len(row) != len(names) for row in rows)
    columns = []
    for name in names:
        values = [row[name] for row in rows if name in row]
        columns.append(Column(name, kind_of_values(values), any(map(_is_none, values)), optional=are_optional))
    return Records(tuple(columns))


def _is_none(value: Any) -> bool:
    import pandas as pd

    found = pd.isna(value)
    return isinstance(found, bool) and found


def kind_of_values(values: Collection[Any]) -> str:
    """The dtype of the values that mappings have under one key.

    >>> kind_of_values([1, 2.5]), kind_of_values(["a", None]), kind_of_values([True, "a"])
    ('float64', 'str', 'object')
    """
    kinds = {kind_of_value(value) for value in values if not _is_none(value)}
    if kinds == {"int"} and all(-(2**63) <= int(value) < 2**63 for value in values if not _is_none(value)):
        return "int64"
    names = {"bool": "bool", "text": "str", "float": "float64"}
    return "float64" if kinds == {"int", "float"} else names.get(kinds.pop(), "object") if len(kinds) == 1 else "object"


def without(data: Any, names: Collection[Any]) -> Any:
    """A table without these columns. Raises InvalidValueError when it has no such column."""
    if not names:
        return data
    table = normal(data)
    unknown = [name for name in names if not hasattr(table, "columns") or name not in table.columns]
    if unknown:
        raise InvalidValueError(f"The data have no column {shown(str(unknown[0]))} to leave out.")
    return table.drop(columns=list(names))


def spec_of(data: Any) -> Spec:
    """What this data is. Raises InvalidTypeError."""
    data = normal(data)
    if is_by_name(data):
        return Tensors(tuple((str(name), _tensor(array)) for name, array in data.items()))
    if hasattr(data, "columns"):
        return Table(tuple(_column(data.iloc[:, place], name) for place, name in enumerate(data.columns)))
    return _tensor(data)


def normal(data: Any) -> Any:
    """Data in one of four forms: a pandas DataFrame, a numpy array, arrays by name, or a sparse matrix.

    Raises InvalidTypeError.
    """
    import numpy as np
    import pandas as pd

    data = array_of(data)
    if mask_of(data) is not None:
        return _unmasked(data)
    if isinstance(data, (pd.DataFrame, np.ndarray)):
        return data
    if isinstance(data, pd.Series):
        return data.to_numpy()
    if is_sparse(data):
        return data
    if hasattr(data, "to_pandas"):
        return normal(data.to_pandas())
    if isinstance(data, Mapping):
        return _by_name(data)
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        if is_records(data):
            names = dict.fromkeys(name for row in data for name in row)
            return pd.DataFrame({name: _exact_column([row.get(name) for row in data]) for name in names})
        return _array(data)
    if hasattr(data, "__array__") or isinstance(data, (int, float, bool)):
        return np.asarray(data)
    raise InvalidTypeError(
        f"A signature cannot be inferred from a {type(data).__name__}: pass a DataFrame, an array, columns or arrays by "
        "name, or rows."
    )


def _unmasked(array: Any) -> Any:
    """What is masked is NaN: a model would see the numbers below the mask. Raises InvalidTypeError where none can be."""
    import numpy as np

    if not np.any(array.mask):
        return np.asarray(array)
    if array.dtype.kind not in "fc":
        raise InvalidTypeError(
            f"An array of {array.dtype} has masked values, and no NaN to put there: fill them first."
        )
    return array.filled(np.nan)


def is_sparse(data: Any) -> bool:
    """Whether this is a matrix of scipy.sparse; scipy is not loaded to see that."""
    return type(data).__module__.startswith("scipy.sparse") and hasattr(data, "tocsr")


def is_sparse_kind(container: str) -> bool:
    """Whether this names a class of scipy.sparse.

    >>> is_sparse_kind("csr_matrix"), is_sparse_kind("array")
    (True, False)
    """
    form, _, kind = container.partition("_")
    return form in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil") and kind in ("matrix", "array")


def is_by_name(data: Any) -> bool:
    """Whether these are arrays by name; scipy has a sparse matrix that is a dict, too."""
    return isinstance(data, dict) and not is_sparse(data)


def kind_of(dtype: Any) -> str:
    """The name of a dtype as a signature has it: all texts are `str`, however long and however kept.

    >>> import numpy as np
    >>> kind_of(np.dtype("<U7")), kind_of(np.dtype("f4"))
    ('str', 'float32')
    """
    name = str(dtype)
    if getattr(dtype, "kind", "") == "U" or name in {"str", "string"} or name.startswith("string["):
        return "str"
    return name


def _array(data: Any) -> Any:
    import numpy as np

    if any(map(is_masked, data)):
        raise InvalidTypeError("Some of these values are masked: pass an array, or fill them first.")
    try:
        array = np.asarray(data)
        if array.dtype.kind not in "fcUS":
            return array
        # Of numbers and texts, or of floats and large integers, numpy would make one type, and change the others.
        objects = np.asarray(data, object)
    except ValueError as error:
        raise InvalidTypeError(f"These rows cannot be read as one array ({error}): pass an array.") from error
    same = objects.shape == array.shape and all(
        a == b or (a != a and b != b)  # noqa: PLR0124 - NaN
        for a, b in zip(array.ravel().tolist(), objects.ravel(), strict=True)
    )
    return array if same else objects


def _exact_column(values: Sequence[Any]) -> Any:
    """A column of these, of objects where another dtype would change one: a large integer beside a missing cell."""
    import pandas as pd

    series = pd.Series(values, dtype=object)
    kinds = {kind_of_value(value) for value in values}
    return series.infer_objects() if len(kinds) == 1 or kinds == {"float", "NoneType"} else series


def _by_name(data: Mapping[Any, Any]) -> Any:
    """Columns by name are a table when each is one-dimensional; else they are arrays by name."""
    import pandas as pd

    arrays = {str(name): normal(value) for name, value in data.items()}
    if any(isinstance(array, dict) or hasattr(array, "columns") for array in arrays.values()):
        raise InvalidTypeError("Inputs by name are columns or arrays, and a table was found among them.")
    if arrays and all(array.ndim == 1 for array in arrays.values()) and len({len(a) for a in arrays.values()}) == 1:
        columns = {n: _exact_column(v) if type(v) in (list, tuple) else v for n, v in data.items()}
        return pd.DataFrame(columns)
    return arrays


def _tensor(array: Any) -> Tensor:
    if is_sparse(array):
        return Tensor(kind_of(array.dtype), (None, *array.shape[1:]))
    missing = array.dtype.kind not in "fc" or has_missing(array)
    return Tensor(_object_kind(array), (None, *array.shape[1:]) if array.ndim else (), nullable=bool(missing))


def _object_kind(array: Any) -> str:
    if array.dtype == object:
        present = [value for value in array.flat if value is not None]
        if present and all(isinstance(value, str) for value in present):
            return "str"
    return kind_of(array.dtype)


def has_missing(array: Any) -> bool:
    """Whether an array of floats or objects has a missing cell in it."""
    import pandas as pd

    return bool(pd.isna(array).any())


def _column(series: Any, name: Any) -> Column:
    import pandas as pd

    nullable = bool(series.isna().any())
    plain = name.item() if hasattr(name, "item") else name
    if isinstance(plain, tuple):
        raise InvalidTypeError(f"The column {plain!r} has several names: a signature needs one for each column.")
    if isinstance(series.dtype, pd.CategoricalDtype):
        values = series.cat.categories.tolist()
        kept = None if len(values) > CATEGORY_LIMIT else tuple(values)
        return Column(plain, "category", nullable, kept, bool(series.cat.ordered))
    return Column(plain, column_kind(series), nullable)


def column_kind(series: Any) -> str:
    """The dtype of a column; one of objects that are all texts is `str`."""
    if series.dtype == object:
        present = series.dropna()
        return "str" if len(present) and all(isinstance(value, str) for value in present) else "object"
    return kind_of(series.dtype)


def _spec_dict(spec: Spec) -> dict[str, Any]:
    if isinstance(spec, Table):
        return {"kind": "table", "columns": [_column_dict(column) for column in spec.columns]}
    if isinstance(spec, Records):
        return {"kind": "records", "columns": [_column_dict(column) for column in spec.columns]}
    if isinstance(spec, Tensor):
        return {"kind": "tensor", **_tensor_dict(spec)}
    return {"kind": "tensors", "arrays": [{"name": name, **_tensor_dict(tensor)} for name, tensor in spec.arrays]}


def _column_dict(column: Column) -> dict[str, Any]:
    from modelmgmt.versions.data.columns import label_json

    content: dict[str, Any] = {"name": label_json(column.name), "dtype": column.dtype, "nullable": column.nullable}
    if column.dtype == "category":
        content["ordered"] = column.ordered
        if column.categories is not None:
            content["categories"] = [label_json(value) for value in column.categories]
    return content | ({"optional": True} if column.optional else {})


def _tensor_dict(tensor: Tensor) -> dict[str, Any]:
    content = {"dtype": tensor.dtype, "shape": list(tensor.shape), "nullable": tensor.nullable}
    content |= {"container": tensor.container} if tensor.container != "array" else {}
    return content | ({"optional": True} if tensor.optional else {})


def _spec(content: Mapping[str, Any]) -> Spec:
    match content["kind"]:
        case "table":
            return Table(tuple(_read_column(column) for column in content["columns"]))
        case "records":
            return Records(tuple(_read_column(column) for column in content["columns"]))
        case "tensor":
            return _read_tensor(content)
        case "tensors":
            return Tensors(tuple((str(array["name"]), _read_tensor(array)) for array in content["arrays"]))
        case other:
            raise InvalidValueError(f"the kind {other!r} is not known")


def _read_column(content: Mapping[str, Any]) -> Column:
    from modelmgmt.versions.data.columns import label_of

    categories = content.get("categories")
    kept = None if categories is None else tuple(map(label_of, categories))
    return Column(
        label_of(content["name"]),
        content["dtype"],
        content["nullable"],
        kept,
        content.get("ordered", False),
        content.get("optional", False),
    )


def _read_tensor(content: Mapping[str, Any]) -> Tensor:
    shape, container, optional = (
        tuple(content["shape"]),
        content.get("container", "array"),
        content.get("optional", False),
    )
    return Tensor(content["dtype"], shape, content["nullable"], container, optional)


def signature_lines(signature: Any) -> dict[str, str]:
    """One line per column: `inputs.age` -> `int64`."""
    lines: dict[str, str] = {}
    for side in ("inputs", "outputs"):
        spec = signature.get(side) or {}
        columns = spec.get("columns") or spec.get("arrays") or ([spec] if spec else [])
        for column in columns:
            about = {key: value for key, value in column.items() if key not in ("name", "dtype", "kind")}
            words = ", ".join((str(column.get("dtype")), *_words(about)))
            lines[f"{side}.{column['name']}" if "name" in column else side] = words
    return lines


def _words(about: Mapping[str, Any]) -> Iterator[str]:
    """What a signature says of a column or array beside its type, for people."""
    for key, value in sorted(about.items()):
        if key == "shape" and isinstance(value, list):
            yield f"shape {' x '.join('any' if side is None else str(side) for side in value) or 'of one number'}"
        elif key == "nullable" and value is True:
            yield "may be missing"
        elif value:
            yield f"{key} {json.dumps(value, ensure_ascii=False, sort_keys=True)}"
