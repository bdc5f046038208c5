"""Arrays of numpy and sparse matrices of scipy as columns, and back. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.versions.data import columns
from modelmgmt.versions.data.columns import Column, Table
from modelmgmt.versions.data.values import objects_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def from_array(array: NDArray[Any]) -> Table:
    """An array of any shape: its first axis are the rows. Raises InvalidTypeError for a dtype that cannot be kept."""
    container: dict[str, Any] = {"library": "numpy", "dtype": array.dtype.newbyteorder("=").str[1:]}
    valid = None
    if array.dtype.names is not None:
        raise InvalidTypeError("An array of records has columns of its own: pass pd.DataFrame(array).")
    if isinstance(array, np.ma.MaskedArray):
        container["masked"] = True
        valid = ~np.ma.getmaskarray(array)
        array = objects_of(array) if array.dtype == object else array.data  # what is below the mask is not kept
    array = np.asarray(array)
    rows = len(array) if array.ndim else 1
    if array.dtype == object:
        column = columns.objects("values", array.reshape(-1).tolist())
        if valid is not None and not valid.all():
            column = replace(column, valid=valid.reshape(-1))
        return Table("array", rows, (column,), shape=array.shape, container=container)
    return Table("array", rows, (_one(array, valid),), shape=array.shape, container=container)


def _one(array: NDArray[Any], valid: NDArray[np.bool_] | None) -> Column:
    """One column with an item of any shape per row; what is missing in it is a mask as large as the array."""
    if valid is None and array.dtype.kind not in "mM":
        return columns.fixed("values", array if array.ndim else array.reshape(1))
    if valid is None or array.ndim <= 1:
        return columns.fixed("values", array.reshape(-1), None if valid is None else valid.reshape(-1))
    return columns.fixed("values", array.reshape(-1), valid.reshape(-1))


def to_array(table: Table) -> NDArray[Any]:
    """The array that `from_array` was given; in C order, and this machine's byte order."""
    column, shape = table.columns[0], table.shape or ()
    if column.type == "object":
        from modelmgmt.versions.data.frames import plain

        whole = np.empty(column.rows, object)
        for place, value in enumerate(plain(column)):
            whole[place] = value
        cells: NDArray[Any] = whole.reshape(shape)
        return _masked(cells, table)
    dtype = np.dtype(table.container["dtype"])
    values = column.values
    if dtype.kind in "mM":
        if column.valid is not None:
            values = np.where(column.valid, values, np.iinfo("i8").min)
        return _masked(values.astype("i8").view(dtype).reshape(shape), table)
    return _masked(values.astype(dtype).reshape(shape), table)


def _masked(array: NDArray[Any], table: Table) -> NDArray[Any]:
    """With its mask, where there was one."""
    if not table.container.get("masked"):
        return array
    valid = table.columns[0].valid
    mask = np.zeros(array.shape, bool) if valid is None else ~valid.reshape(array.shape)
    masked: NDArray[Any] = np.ma.MaskedArray(array, mask=mask)
    return masked


def from_sparse(matrix: Any) -> Table:
    """A sparse matrix as rows of (place, value); its format does not matter, and zeros that are written out do not.

    Equal matrices have equal columns. Raises InvalidTypeError.
    """
    if matrix.ndim != 2:
        raise InvalidTypeError(f"A sparse matrix has two dimensions, and one with {matrix.ndim} was given.")
    csr = matrix.tocsr(copy=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    csr.sort_indices()
    container = {"library": "scipy", "format": matrix.format, "array": type(matrix).__name__.endswith("array")}
    found = (
        columns.fixed("row lengths", np.diff(csr.indptr).astype("<i8")),
        columns.fixed("columns", csr.indices.astype("<i8")),
        columns.fixed("values", csr.data),
    )
    return Table("sparse", matrix.shape[0], found, shape=tuple(matrix.shape), container=container)


def to_sparse(table: Table) -> Any:
    """The matrix that `from_sparse` was given, in its format."""
    try:
        from scipy import sparse
    except ImportError as error:
        message = "This was a sparse matrix, and scipy is not installed: pip install 'modelmgmt[compare]'."
        raise InvalidValueError(message) from error
    lengths, places, values = (column.values for column in table.columns)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    maker = sparse.csr_array if table.container["array"] else sparse.csr_matrix
    native = values.astype(values.dtype.newbyteorder("="))
    return maker((native, places.astype("i8"), starts), shape=table.shape).asformat(table.container["format"])
