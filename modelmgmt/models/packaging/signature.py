"""What a model takes and gives: columns or arrays, their types, categories and missing cells. Pure.

A signature is learnt from an example, or written by hand; `modelmgmt/models/packaging/enforce.py` holds data against it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.names import preformatted, shown

Mode = Literal["strict", "coerce", "off"]
MODES: tuple[str, ...] = get_args(Mode)

CATEGORY_LIMIT = 1_000  # of one column; a column with more is an id, and its categories are not written down


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `categories` are the values it may have, where its dtype is `category`."""

    name: Any
    dtype: str
    nullable: bool = False
    categories: tuple[Any, ...] | None = None
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, in the order in which the model was fitted."""

    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return f"a table of {len(self.columns)} columns"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array. A None in `shape` is any length; the first is always that of the batch."""

    dtype: str
    shape: tuple[int | None, ...]
    nullable: bool = True

    def __str__(self) -> str:
        lengths = ", ".join("any" if length is None else str(length) for length in self.shape)
        return f"an array of {self.dtype}, ({lengths}{',' if len(self.shape) == 1 else ''})"


@dataclass(frozen=True, slots=True)
class Tensors:
    """Several arrays by name."""

    arrays: tuple[tuple[str, Tensor], ...]

    def __str__(self) -> str:
        return f"arrays named {', '.join(name for name, _ in self.arrays)}"


Spec = Table | Tensor | Tensors


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
            message = f"A signature's inputs are a Table, Tensor or Tensors, and {type(inputs).__name__} was given."
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
        unknown = [name for name in names if name not in [column.name for column in self.inputs.columns]]
        if unknown:
            raise InvalidValueError(f"The signature has no column {shown(str(unknown[0]))}.")
        columns = (replace(c, nullable=True) if not names or c.name in names else c for c in self.inputs.columns)
        return replace(self, inputs=Table(tuple(columns)))

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
            raise InvalidValueError(f"This is no signature as it is kept in model.json ({error!r}).") from error

    def _repr_lines(self) -> Iterator[str]:
        yield f"{self.mode}: {self.inputs}"
        if isinstance(self.inputs, Table):
            yield from (f"  {c.name}: {c.dtype}{' or missing' if c.nullable else ''}" for c in self.inputs.columns)

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
        from modelmgmt.models.packaging.dataset_signature import spec_of_dataset

        return Signature(spec_of_dataset(inputs, leave_out), outside, mode)
    return Signature(spec_of(without(inputs, leave_out)), outside, mode)


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
    if isinstance(data, dict):
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

    if isinstance(data, (pd.DataFrame, np.ndarray)):
        return data
    if isinstance(data, pd.Series):
        return data.to_numpy()
    if is_sparse(data):
        return data
    if hasattr(data, "detach") and hasattr(data, "numpy"):  # a torch tensor
        return data.detach().cpu().numpy()
    if hasattr(data, "to_pandas"):
        return normal(data.to_pandas())
    if isinstance(data, Mapping):
        return _by_name(data)
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        if data and all(isinstance(row, Mapping) for row in data):
            return pd.DataFrame(list(data))
        return _array(data)
    if hasattr(data, "__array__") or isinstance(data, (int, float, bool)):
        return np.asarray(data)
    raise InvalidTypeError(
        f"A {type(data).__name__} is no data that a signature knows: give a DataFrame, an array, columns or arrays by "
        "name, or rows."
    )


def is_sparse(data: Any) -> bool:
    """Whether this is a matrix of scipy.sparse; scipy is not loaded to see that."""
    return type(data).__module__.startswith("scipy.sparse") and hasattr(data, "tocsr")


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

    try:
        array = np.asarray(data)
    except ValueError as error:
        raise InvalidTypeError(f"These rows can not be read as one array ({error}): pass an array.") from error
    return array


def _by_name(data: Mapping[Any, Any]) -> Any:
    """Columns by name are a table when each is one-dimensional; else they are arrays by name."""
    import pandas as pd

    arrays = {str(name): normal(value) for name, value in data.items()}
    if any(isinstance(array, dict) or hasattr(array, "columns") for array in arrays.values()):
        raise InvalidTypeError("Inputs by name are columns or arrays, and a table was found among them.")
    if arrays and all(array.ndim == 1 for array in arrays.values()) and len({len(a) for a in arrays.values()}) == 1:
        return pd.DataFrame(dict(data))
    return arrays


def _tensor(array: Any) -> Tensor:
    if is_sparse(array):
        return Tensor(kind_of(array.dtype), (None, *array.shape[1:]))
    missing = array.dtype.kind not in "fc" or has_missing(array)
    return Tensor(_object_kind(array), (None, *array.shape[1:]) if array.ndim else (), nullable=bool(missing))


def _object_kind(array: Any) -> str:
    if array.dtype == object and array.size and all(isinstance(value, str) for value in array.flat):
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
        kept = None if len(values) > CATEGORY_LIMIT else tuple(v if _is_json(v) else str(v) for v in values)
        return Column(plain, "category", nullable, kept, bool(series.cat.ordered))
    return Column(plain, column_kind(series), nullable)


def column_kind(series: Any) -> str:
    """The dtype of a column; one of objects that are all texts is `str`."""
    if series.dtype == object:
        present = series.dropna()
        return "str" if len(present) and all(isinstance(value, str) for value in present) else "object"
    return kind_of(series.dtype)


def _is_json(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _spec_dict(spec: Spec) -> dict[str, Any]:
    if isinstance(spec, Table):
        return {"kind": "table", "columns": [_column_dict(column) for column in spec.columns]}
    if isinstance(spec, Tensor):
        return {"kind": "tensor", **_tensor_dict(spec)}
    return {"kind": "tensors", "arrays": [{"name": name, **_tensor_dict(tensor)} for name, tensor in spec.arrays]}


def _column_dict(column: Column) -> dict[str, Any]:
    content: dict[str, Any] = {"name": column.name, "dtype": column.dtype, "nullable": column.nullable}
    if column.dtype == "category":
        content["ordered"] = column.ordered
        if column.categories is not None:
            content["categories"] = list(column.categories)
    return content


def _tensor_dict(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "shape": list(tensor.shape), "nullable": tensor.nullable}


def _spec(content: Mapping[str, Any]) -> Spec:
    match content["kind"]:
        case "table":
            return Table(tuple(_read_column(column) for column in content["columns"]))
        case "tensor":
            return _read_tensor(content)
        case "tensors":
            return Tensors(tuple((str(array["name"]), _read_tensor(array)) for array in content["arrays"]))
        case other:
            raise InvalidValueError(f"the kind {other!r} is not known")


def _read_column(content: Mapping[str, Any]) -> Column:
    categories = content.get("categories")
    kept = None if categories is None else tuple(categories)
    return Column(content["name"], content["dtype"], content["nullable"], kept, content.get("ordered", False))


def _read_tensor(content: Mapping[str, Any]) -> Tensor:
    return Tensor(content["dtype"], tuple(content["shape"]), content["nullable"])
