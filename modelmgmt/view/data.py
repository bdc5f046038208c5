"""Versions of data, profiles and differences as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from modelmgmt.store.names import counted
from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_age, format_all, format_exact, format_value

if TYPE_CHECKING:
    from modelmgmt.tracking.datasets import Dataset
    from modelmgmt.versions.data.diff import DataDiff
    from modelmgmt.versions.data.profile import ColumnProfile, Profile
    from modelmgmt.versions.data.record import DatasetVersion

SHOWN_COLUMNS = 200
SHOWN_ROWS = 20
_SHOWN_FILES = 50


def versions_table(versions: Sequence[DatasetVersion], *, now: datetime | None = None) -> Table:
    """One line per version."""
    heads = [Column("name", is_key=True), Column("version", is_key=True, right=True), Column("kind", rank=3)]
    heads += [Column("rows", right=True), Column("columns", right=True, rank=4), Column("bytes", right=True, rank=5)]
    heads += [Column("content", rank=6), Column("fingerprint", rank=1, is_whole=True), Column("logged", rank=2)]
    heads += [Column("source", rank=7)]
    rows = tuple(_version(version, now) for version in versions)
    return Table(tuple(heads), rows, "" if rows else "No data sets.")


def version_table(version: Dataset) -> Table:
    """A version with its profile."""
    from modelmgmt.tracking.datasets import describe

    if version._kernel is None:
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
        notes = [*profile.notes, *([f"{counted(more, 'more file')}."] if more else [])]
        return Table(
            (Column("path"), Column("bytes", right=True), Column("sha256", rank=1, is_whole=True)),
            files,
            "\n".join(notes),
        )
    heads = [
        Column("column"), Column("type"), Column("count", right=True, rank=6), Column("missing", right=True),
        Column("distinct", right=True, rank=4), Column("min", right=True, rank=1), Column("median", right=True, rank=3),
        Column("max", right=True, rank=1), Column("mean", right=True, rank=2), Column("std", right=True, rank=5),
        Column("most frequent", rank=7),
    ]  # fmt: skip
    rows = tuple(_column(column) for column in profile.columns[:SHOWN_COLUMNS])
    more = len(profile.columns) - len(rows)
    notes = [*profile.notes, *([f"{counted(more, 'more column')}."] if more > 0 else [])]
    return Table(tuple(heads), rows, "\n".join(notes))


def data_diff_table(diff: DataDiff, *, max_rows: int = SHOWN_ROWS) -> Table:
    """What differs, a line each; the cells of `max_rows` rows."""
    sides = (Column(clean(diff.a, 200)), Column(clean(diff.b, 200)))
    heads = (Column("what", is_key=True), Column("name", is_key=True), *sides, Column("detail"))
    rows = (*_changes(diff), *_row_lines(diff, max_rows))
    notes = [diff.note] if diff.note else [] if rows else ["No differences in what is known of them."]
    if diff.rows is not None:
        every = diff.rows.changed + diff.rows.added + diff.rows.removed
        shown = min(every, max_rows, len(diff.rows.shown))
        if shown < every:
            notes.append(f"The cells of {shown:,} of {every:,} rows are shown.")
    return Table(heads, rows, "\n".join(notes))


def _row_lines(diff: DataDiff, max_rows: int) -> Iterator[tuple[str, ...]]:
    if diff.rows is None:
        return
    for row in diff.rows.shown[:max_rows]:
        pairs = zip(diff.rows.key, row.key, strict=True)
        key = " ".join(f"{clean(name, 20)}={format_exact(value)}" for name, value in pairs)
        if row.what == "changed":
            for column, values in row.cells.items():
                before, after = format_all(values)
                yield "cell", f"{key}: {clean(column)}", before, after, row.what
            continue
        text = ", ".join(
            f"{clean(column, 20)}={format_value(after if row.what == 'added' else before)}"
            for column, (before, after) in row.cells.items()
        )
        yield "row", key, *((MISSING, clean(text, 60)) if row.what == "added" else (clean(text, 60), MISSING)), row.what


def _version(version: DatasetVersion, now: datetime | None) -> tuple[str, ...]:
    return (
        clean(version.name), str(version.number), version.kind, _count(version.rows), _count(version.columns),
        _count(version.bytes), "kept" if version.content_digest else MISSING, version.fingerprint[:12],
        format_age(version.created_at, now), clean(version.source or MISSING, 60),
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
        for what in ("added", "removed", "changed", "moved"):
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
