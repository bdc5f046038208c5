"""Versions of data, profiles and differences as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_age, format_value

if TYPE_CHECKING:
    from modelmgmt.tracking.datasets import Dataset
    from modelmgmt.versions.data.diff import DataDiff
    from modelmgmt.versions.data.profile import ColumnProfile, Profile
    from modelmgmt.versions.data.record import DatasetVersion

SHOWN_COLUMNS = 200
_SHOWN_FILES = 50


def versions_table(versions: Sequence[DatasetVersion], *, now: datetime | None = None) -> Table:
    """One line per version."""
    heads = [Column("name"), Column("version", right=True), Column("kind"), *_right("rows", "columns", "bytes")]
    heads += [Column("content"), Column("fingerprint", is_whole=True), Column("logged"), Column("source", rank=1)]
    rows = tuple(_version(version, now) for version in versions)
    return Table(tuple(heads), rows, "" if rows else "No data sets.")


def version_table(version: Dataset) -> Table:
    """A version with its profile."""
    from modelmgmt.tracking.datasets import describe

    if version.kernel is None:
        return Table((Column("name"),), ((clean(version.name),),), "It was not kept.")
    table = profile_table(version.profile)
    about = f"{clean(version.reference)}: {describe(version)}"
    source = f"\nSource: {clean(version.source, 300)}" if version.source else ""
    return Table(table.columns, table.rows, f"{about}{source}\n{table.note}".rstrip())


def profile_table(profile: Profile) -> Table:
    """One line per column of the data, or per file."""
    if profile.files:
        shown = list(profile.files.items())[:_SHOWN_FILES]
        files = tuple((clean(path, 80), f"{size:,}", digest[:12]) for path, (size, digest) in shown)
        more = len(profile.files) - len(shown)
        notes = [*profile.notes, *([f"{more:,} more files."] if more else [])]
        return Table((Column("path"), Column("bytes", right=True), Column("sha256")), files, "\n".join(notes))
    heads = [
        Column("column"), Column("type"), Column("count", right=True, rank=3), *_right("missing"),
        Column("distinct", right=True, rank=2), *_right("min", "median", "max", "mean"), Column("std", right=True, rank=1),
        Column("most frequent", rank=4),
    ]  # fmt: skip
    rows = tuple(_column(column) for column in profile.columns[:SHOWN_COLUMNS])
    more = len(profile.columns) - len(rows)
    notes = [*profile.notes, *([f"{more:,} more columns."] if more > 0 else [])]
    return Table(tuple(heads), rows, "\n".join(notes))


def data_diff_table(diff: DataDiff) -> Table:
    """What differs, a line each."""
    heads = (Column("what"), Column("name"), Column(clean(diff.a)), Column(clean(diff.b)), Column("detail"))
    rows = tuple(_changes(diff))
    note = diff.note if rows or diff.note else "No differences in what is known of them."
    return Table(heads, rows, note)


def _right(*names: str) -> list[Column]:
    return [Column(name, right=True) for name in names]


def _version(version: DatasetVersion, now: datetime | None) -> tuple[str, ...]:
    return (
        clean(version.name), str(version.number), version.kind, _count(version.rows), _count(version.columns),
        _count(version.bytes), "kept" if version.content_digest else MISSING, version.fingerprint[:12],
        format_age(version.created, now), clean(version.source or MISSING, 60),
    )  # fmt: skip


def _count(value: int | None) -> str:
    return MISSING if value is None else f"{value:,}"


def _column(column: ColumnProfile) -> tuple[str, ...]:
    from modelmgmt.versions.data.profile import summary

    type_, count, missing, distinct, low, high, mean, std, _, median, _, top = summary(column)
    about = "" if column.is_exact else "~"
    frequent = MISSING if top is None else f"{format_value(top)} ({column.top[0][1] / max(1, column.count):.0%})"
    cells = [format_value(value) for value in (low, median, high, mean, std)]
    return (
        clean(column.label), clean(type_), f"{count:,}", f"{missing:,}", f"{about}{distinct:,}", *cells, frequent,
    )  # fmt: skip


def _changes(diff: DataDiff) -> Iterator[tuple[str, ...]]:
    if diff.rows_before != diff.rows_after:
        yield "rows", "count", _count(diff.rows_before), _count(diff.rows_after), ""
    for change in diff.columns:
        yield "column", clean(change.column), change.before or MISSING, change.after or MISSING, change.what
    if diff.rows is not None:
        by = f"by {clean(diff.rows.by)}"
        for what in ("added", "removed", "changed"):
            count = getattr(diff.rows, what)
            if count:
                yield "rows", what, "", f"{count:,}", by
        for name, count in diff.rows.cells.items():
            yield "values", clean(name), "", f"{count:,}", "changed"
    for one in diff.moved:
        psi = MISSING if one.psi is None else f"{one.psi:.3f}"
        ks = MISSING if one.ks is None else f"{one.ks:.3f}"
        missing = f", missing {one.missing_before:.1%} to {one.missing_after:.1%}"
        lost = missing if one.missing_before != one.missing_after else ""
        detail = f"PSI {psi}, KS {ks}{lost}"
        yield "moved", clean(one.column), f"mean {_mean(one.mean_before)}", f"mean {_mean(one.mean_after)}", detail
    for what, paths in (("added", diff.files_added), ("removed", diff.files_removed), ("changed", diff.files_changed)):
        for path in paths[:_SHOWN_FILES]:
            yield "file", clean(path, 80), "", "", what
        if len(paths) > _SHOWN_FILES:
            yield "file", f"{len(paths) - _SHOWN_FILES:,} more", "", "", what


def _mean(value: float | None) -> str:
    return format_value(value)
