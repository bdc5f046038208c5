"""Two versions of data out of a store, side by side. Reads only.

A file that was logged by its path is read as the table that it holds, by pandas.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.store.names import counted
from modelmgmt.versions.data import diff
from modelmgmt.versions.data.columns import Table
from modelmgmt.versions.data.diff import DataDiff, RowChanges
from modelmgmt.versions.data.load import read_profile, read_table
from modelmgmt.versions.data.profile import Profile, profile
from modelmgmt.versions.data.record import DatasetVersion
from modelmgmt.versions.data.sources import table_of

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_TABLES = ("frame", "query", "array")
_PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
_SEPARATED = {".csv": ",", ".txt": ",", ".tsv": "\t", ".tab": "\t"}
_READERS = {
    ".parquet": "read_parquet", ".pq": "read_parquet", ".feather": "read_feather", ".arrow": "read_feather",
    ".json": "read_json", ".jsonl": "read_json", ".ndjson": "read_json", ".xlsx": "read_excel", ".xls": "read_excel",
    ".orc": "read_orc", ".dta": "read_stata", ".sas7bdat": "read_sas",
}  # fmt: skip


def compare(
    kernel: Kernel,
    a: DatasetVersion,
    other: Kernel,
    b: DatasetVersion,
    key: Any = None,
    *,
    max_rows: int = diff.MAX_ROWS,
) -> DataDiff:
    """What `b` has that `a` has not. `key` is a column or several; without it rows are matched by index or position.

    Raises InvalidValueError for a key that is no use, NotFoundError and CorruptDataError for objects that are lost.
    """
    if type(max_rows) is not int or max_rows < 0:
        raise InvalidValueError(f"max_rows is a number of rows, 0 or more, and {max_rows!r} was given.")
    same = a.fingerprint == b.fingerprint and bool(a.fingerprint)
    if same and key is None:
        return DataDiff(a.reference, b.reference, True, a.rows, b.rows, note="They are the same.")
    before, after = read_profile(kernel, a), read_profile(other, b)
    try:
        tables = _tables((kernel, a, before), (other, b, after))
    except _NoRowsError as error:
        if key is not None:
            raise InvalidValueError(f"Rows cannot be matched by {key!r}: {error}") from error
        tables, notes = None, [str(error)]
    fields: dict[str, Any] = diff.files_changed(before, after)
    renamed: tuple[diff.ColumnChange, ...] = ()
    if tables is not None:
        mine, theirs = tables
        names = (a.reference, b.reference)
        keys = _keys(key, mine)
        fields["rows"], renamed = diff.rows_changed(mine, theirs, keys, max_rows=max_rows, names=names)
        # Of a file that is read as a table, the profile in the store knows the file only.
        before, after = (profile(one) if known.files else known for one, known in ((mine, before), (theirs, after)))
        notes = ["They are the same."] if same else _remarks(fields["rows"], before, after)
    fields["columns"] = diff.columns_changed(before, after, renamed)
    fields["distributions"] = diff.movements(before, after)
    rows_before, rows_after = (a.rows, b.rows) if tables is None else (tables[0].rows, tables[1].rows)
    return DataDiff(a.reference, b.reference, same, rows_before, rows_after, note=" ".join(notes), **fields)


class _NoRowsError(Exception):
    """Why the rows of two versions cannot be compared, for people."""


def _keys(key: Any, table: Table) -> list[Any]:
    if key is None:
        return []
    labels = [column.label for column in (*table.columns, *table.index)]
    is_one = isinstance(key, str) or key in labels or not isinstance(key, (list, tuple, set, frozenset))
    return [key] if is_one else list(key)


def _remarks(rows: RowChanges, before: Profile, after: Profile) -> list[str]:
    moved = f"{counted(rows.moved, 'row stands', 'rows stand')} in another order." if rows.moved else ""
    if not rows.added and not rows.removed and not rows.changed:
        if rows.moved:
            return [f"The same rows in another order: {rows.moved:,} moved."]
        if before.columns == after.columns:
            return ["Every value is the same; what differs is how it is written, or what was kept beside it."]
        return []
    if rows.by != "position":
        return [moved] if moved else []
    unique = [
        column.label for column in after.columns
        if column.is_exact and column.distinct == after.rows and not column.missing and not column.type.startswith("float")
        and any(one.label == column.label and one.distinct == before.rows for one in before.columns)
    ]  # fmt: skip
    hint = f"pass key={unique[0]!r} to match them by a column" if unique else "pass key=... to match them by columns"
    return [f"Rows are matched by position: {hint}.", *([moved] if moved else [])]


_Side = tuple["Kernel", DatasetVersion, Profile]


def _tables(*sides: _Side) -> tuple[Table, Table]:
    """The rows of both. Raises _NoRowsError where one has none, or its content is not to be had."""
    for _, version, known in sides:
        if version.kind == "files" and len(known.files) != 1:
            raise _NoRowsError(
                f"{version.reference} is a folder of {counted(len(known.files), 'file')}, which are compared by their "
                "digests: log a file by its own path to see its rows."
            )
        if version.kind not in (*_TABLES, "files"):
            raise _NoRowsError(f"Rows of the kind {version.kind} are not compared, only digests and profiles.")
    lost = [
        version
        for kernel, version, known in sides
        if version.content_digest is None and _found(kernel, version, known) is None
    ]
    if lost:
        names = " and ".join(version.reference for version in lost)
        gone = [f"{version.source} is not the same file any more" for version in lost if version.kind == "files"]
        why = f" ({', '.join(gone)})" if gone else ""
        raise _NoRowsError(
            f"The content of {names} was not kept{why}, so only what was recorded of it is compared, and no rows. Log data "
            "with keep=True to see which rows change."
        )
    files = [side for side in sides if side[1].kind == "files"]
    read = {side[1].reference: frame for side, frame in zip(files, _frames(files), strict=True)}
    first, second = (
        table_of(read[version.reference]) if version.kind == "files" else read_table(kernel, version)
        for kernel, version, _ in sides
    )
    return first, second


def _found(kernel: Kernel, version: DatasetVersion, known: Profile) -> bytes | None:
    """The bytes of a single file: as it was kept, else where it came from, if it is still the same."""
    ((name, (_, digest)),) = known.files.items() if known.files else (("", (0, "")),)
    if version.kind != "files":
        return None
    if version.content_digest is not None:
        return kernel.objects.get(digest)
    if version.source is None:
        return None
    source = Path(version.source)
    try:
        data = (source / name if source.is_dir() else source).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _frames(sides: Sequence[_Side]) -> list[Any]:
    """Each file as a frame, the columns of texts alike: what one file has as numbers and another as text, is text."""
    import pandas as pd

    frames = [_frame(side, ()) for side in sides]
    if len(frames) == 2:
        a, b = frames
        numeric = pd.api.types.is_numeric_dtype
        odd = [name for name in a.columns if name in b.columns and numeric(a[name]) != numeric(b[name])]
        if odd:
            frames = [_frame(side, odd) for side in sides]
    return frames


def _frame(side: _Side, texts: Sequence[Any]) -> Any:
    import pandas as pd

    kernel, version, known = side
    data, name = _found(kernel, version, known) or b"", next(iter(known.files))
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    packed = _PACKED[suffixes.pop()] if suffixes and suffixes[-1] in _PACKED else None
    suffix, file = suffixes[-1] if suffixes else "", io.BytesIO(data)
    reader: Any = getattr(pd, _READERS.get(suffix, "read_csv"))
    options: dict[str, Any] = {}
    if suffix in _SEPARATED:
        options = {"sep": _separator(data, suffix, packed), "low_memory": False, "encoding_errors": "backslashreplace"}
        options |= {"dtype": dict.fromkeys(texts, "object"), "compression": packed}
    elif reader is pd.read_json:
        options = {"lines": suffix != ".json", "compression": packed}
    elif suffix not in _READERS or packed is not None:
        raise _NoRowsError(f"{name!r} is no table that can be read: files are compared by their digests.")
    try:
        return reader(file, **options)
    except (ValueError, TypeError, ImportError, OSError, LookupError) as error:
        raise _NoRowsError(
            f"{version.reference} cannot be read as a table ({error}): files are compared by their digests."
        ) from error


def _separator(data: bytes, suffix: str, packed: str | None) -> str:
    """What stands most often in the first line, of what such files are separated by."""
    if packed is not None or suffix in (".tsv", ".tab"):
        return _SEPARATED[suffix]
    line = data[: 1 << 16].split(b"\n", 1)[0]
    return max(",;\t|", key=lambda each: line.count(each.encode()))
