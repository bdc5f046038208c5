"""What can be logged as data: frames, arrays, matrices, files, queries, references; each read into one form.

Reads files of the user and asks their databases; of the store it knows nothing but which folder to leave out.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, SourceChangedError
from modelmgmt.store.disk import THEIRS, reads
from modelmgmt.store.names import check_path
from modelmgmt.store.secrets import hidden_in_text
from modelmgmt.store.sources import is_missing
from modelmgmt.versions.data.columns import Table
from modelmgmt.versions.data.fingerprint import fingerprint, of_document
from modelmgmt.versions.data.given import DataReference, SqlQuery, without_secrets
from modelmgmt.versions.data.values import array_of
from modelmgmt.versions.left_out import spelled_out

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_BUFFER = 1 << 20  # bytes


@dataclass(frozen=True)
class Taken:
    """What was given, in one form: a table, or files, or neither for a reference."""

    kind: str
    fingerprint: str
    rows: int | None
    columns: int | None
    bytes: int
    source: str | None
    table: Table | None = None
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    path: Path | None = None
    notes: tuple[str, ...] = ()


def take(data: Any, *, index: bool = False, leave_out: Path | None = None) -> Taken:
    """Read what was given. Raises InvalidTypeError for what is no data, and what reading it raises."""
    if isinstance(data, (str, os.PathLike)):
        path = Path(data).expanduser()
        with reads(path, but=THEIRS):
            return _of_path(path, leave_out)
    if isinstance(data, DataReference):
        return _of_reference(data)
    if isinstance(data, SqlQuery):
        table, source = _read_query(data), hidden_in_text(data.query)
        table = Table("query", table.rows, table.columns, container=table.container)
        return _of_table(table, source)
    return _of_table(table_of(data, index=index), None, _left_out(data, index=index))


def still_the_same(taken: Taken) -> None:
    """Raises SourceChangedError when a table is not any more what it was when it was taken."""
    if taken.table is not None and fingerprint(taken.table) != taken.fingerprint:
        raise SourceChangedError(
            "The data changed while it was read: log a copy, or log it when nothing else writes to it."
        )


def table_of(data: Any, *, index: bool = False) -> Table:
    """The columns of a frame, array or matrix. Raises InvalidTypeError."""
    import numpy as np
    import pandas as pd

    from modelmgmt.versions.data import arrays, arrow, frames

    data = array_of(data)
    room = type(data).__module__.partition(".")[0]
    if isinstance(data, pd.MultiIndex):
        data = data.to_frame(index=False)
    if isinstance(data, (pd.api.extensions.ExtensionArray, pd.Index)):
        data = pd.Series(data)
    if isinstance(data, pd.Series):
        data = data.to_frame()
    if isinstance(data, pd.DataFrame):
        return frames.from_pandas(data, index=index)
    if isinstance(data, np.ndarray):
        return arrays.from_array(data)
    if room == "polars" and hasattr(data, "collect") and not hasattr(data, "to_arrow"):
        raise InvalidTypeError("A polars LazyFrame has no rows yet: pass frame.collect().")
    if room == "polars" and hasattr(data, "to_frame") and not hasattr(data, "columns"):
        data = data.to_frame()
    if room == "polars" and hasattr(data, "to_arrow"):
        return arrow.from_polars(data)
    if room == "pyarrow":
        return _of_pyarrow(data)
    if room == "scipy" and hasattr(data, "tocsr"):
        return arrays.from_sparse(data)
    if isinstance(data, (Mapping, list, tuple)):
        return frames.from_pandas(frames.frame_of(data), index=False)
    message = (
        f"Data is a DataFrame, an array, a sparse matrix, a path, a SqlQuery or a DataReference, and {type(data).__name__} "
        "was given: convert it to one of these."
    )
    raise InvalidTypeError(message)


def _of_pyarrow(data: Any) -> Table:
    import pyarrow as pa

    from modelmgmt.versions.data import arrow

    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, (pa.Array, pa.ChunkedArray)):
        data = pa.table({"": data})
    if not isinstance(data, pa.Table):
        raise InvalidTypeError(
            f"Of pyarrow a Table, RecordBatch or Array can be logged, and {type(data).__name__} was given."
        )
    return arrow.from_arrow(data)


def _of_table(table: Table, source: str | None, notes: tuple[str, ...] = ()) -> Taken:
    columns = len(table.columns) if table.kind != "array" else None
    if table.shape is not None:
        columns = table.shape[1] if len(table.shape) == 2 else None
    return Taken(table.kind, fingerprint(table), table.rows, columns, table.nbytes, source, table, notes=notes)


def _left_out(data: Any, *, index: bool) -> tuple[str, ...]:
    """An index with something to say that was not asked for is noted, since a kept frame comes back without it."""
    import pandas as pd

    found = getattr(data, "index", None)
    if index or not isinstance(found, pd.Index):
        return ()
    if isinstance(found, pd.RangeIndex) and found.start == 0 and found.step == 1 and found.name is None:
        return ()
    return ("Its index is not part of it: pass index=True to count and keep it.",)


def _read_query(query: SqlQuery) -> Table:
    """The rows as pandas would read them. What the database raises passes through."""
    import pandas as pd

    from modelmgmt.versions.data import frames

    if not isinstance(query.query, str) or not query.query.strip():
        raise InvalidTypeError("A SqlQuery needs the text of a query.")
    if not hasattr(query.connection, "cursor"):
        frame = pd.read_sql_query(query.query, query.connection, params=query.params)
        return frames.from_pandas(frame, index=False)
    cursor = query.connection.cursor()
    try:
        cursor.execute(query.query, *(() if query.params is None else (query.params,)))
        if cursor.description is None:
            raise InvalidValueError("The query gave no rows to read: pass one that selects.")
        names = [about[0] for about in cursor.description]
        frame = pd.DataFrame.from_records(cursor.fetchall(), columns=names, coerce_float=True)
    finally:
        cursor.close()
    return frames.from_pandas(frame, index=False)


def _of_reference(reference: DataReference) -> Taken:
    digest = f"sha256:{reference.sha256.lower()}" if reference.sha256 is not None else reference.digest
    found = of_document("reference", {"digest": digest})
    size = 0 if reference.bytes is None else int(reference.bytes)
    return Taken("reference", found, reference.rows, None, size, without_secrets(str(reference.location)))


def _hint(path: Path) -> str:
    """A URL, of which a Path has made one slash of two."""
    is_url = _SCHEME.match(str(path)) is not None
    return " For data that stays elsewhere, pass mm.DataReference(url, sha256=...) or digest=..." if is_url else ""


def _of_path(path: Path, leave_out: Path | None) -> Taken:
    if is_missing(path):
        raise FileNotFoundError(
            f"There is no file or folder {spelled_out(str(path))}: nothing was logged.{_hint(path)}"
        )
    resolved = path.resolve(strict=True)
    is_folder = stat.S_ISDIR(path.stat().st_mode)
    if is_folder:
        files = _hash_folder(path, leave_out)
    else:
        size, digest = hash_file(path)
        files = {check_path(resolved.name, "name of a file"): (size, digest)}
    return of_files(files, spelled_out(str(resolved)), path, is_folder=is_folder)


def of_files(files: Mapping[str, tuple[int, str]], source: str, path: Path, *, is_folder: bool) -> Taken:
    """Files by path as data. A single file is told by its content alone, whatever its name."""
    entries = {name: [size, digest] for name, (size, digest) in files.items()}
    document = {"files": entries} if is_folder else {"file": next(iter(entries.values()))}
    size = sum(size for size, _ in files.values())
    notes = () if files else ("The folder has no files.",)
    return Taken("files", of_document("files", document), None, None, size, source, None, files, path, notes)


def _hash_folder(path: Path, leave_out: Path | None) -> dict[str, tuple[int, str]]:
    from modelmgmt.store.folder import list_folder

    found = list_folder(path, ignore=None, follow=True, leave_out=leave_out or path / ".modelmgmt")
    try:
        return {name: hash_file(file.source) for name, file in sorted(found.items())}
    except FileNotFoundError as error:
        raise SourceChangedError(f"{error.filename!r} was removed while its folder was read; try again") from error


def hash_file(path: Path) -> tuple[int, str]:
    """(size, SHA-256) of a file that holds still meanwhile. Raises SourceChangedError, and what `open` raises."""
    from modelmgmt.store.sources import check_source, check_unchanged

    check_source(path, path.stat())
    digest, size, buffer = hashlib.sha256(), 0, bytearray(_BUFFER)
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as file:
        before = os.fstat(file.fileno())
        check_source(path, before)
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
            size += count
        check_unchanged(path, size, before, os.fstat(file.fileno()), follow_links=True)
    return size, digest.hexdigest()
