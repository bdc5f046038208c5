"""Two versions of data out of a store, side by side. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.versions.data import diff
from modelmgmt.versions.data.diff import DataDiff
from modelmgmt.versions.data.load import read_profile, read_table
from modelmgmt.versions.data.record import DatasetVersion

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_TABLES = ("frame", "query", "array")


def compare(kernel: Kernel, a: DatasetVersion, other: Kernel, b: DatasetVersion, key: Any = None) -> DataDiff:
    """What `b` has that `a` has not. `key` is a column or several; without it rows are matched by place.

    Raises InvalidValueError for a key that is no use, NotFoundError and CorruptDataError for objects that are lost.
    """
    keys = _keys(key)
    same = a.fingerprint == b.fingerprint and bool(a.fingerprint)
    if same and not keys:
        return DataDiff(a.reference, b.reference, True, a.rows, b.rows, note="They are the same.")
    before, after = read_profile(kernel, a), read_profile(other, b)
    fields: dict[str, Any] = {
        "columns": diff.columns_changed(before, after),
        "distributions": diff.movements(before, after),
        **diff.files_changed(before, after),
    }
    note = _why_no_rows(a, b)
    if not note:
        fields["rows"] = diff.rows_changed(read_table(kernel, a), read_table(other, b), keys)
    elif keys:
        raise InvalidValueError(f"Rows can not be matched by {', '.join(map(str, keys))}: {note}")
    return DataDiff(a.reference, b.reference, same, a.rows, b.rows, note=note, **fields)


def _keys(key: Any) -> list[Any]:
    if key is None:
        return []
    return list(key) if isinstance(key, list) else [key]


def _why_no_rows(a: DatasetVersion, b: DatasetVersion) -> str:
    """Why rows can not be matched; empty when they can."""
    for version in (a, b):
        if version.kind == "files":
            return "Files are compared by their digests."
        if version.kind not in _TABLES:
            return f"Rows of the kind {version.kind} are not compared, only digests and profiles."
        if version.content_digest is None:
            return f"The content of {version.reference} is not kept: only profiles are compared."
    return ""
