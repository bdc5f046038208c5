"""One run, and runs side by side, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from modelmgmt.store.names import counted
from modelmgmt.tracking.datasets import describe
from modelmgmt.tracking.table_file import with_index
from modelmgmt.view.tables import SHOWN_ROWS, Column, Table, comparison_table
from modelmgmt.view.text import clean, format_all, format_duration, format_exact, format_value

if TYPE_CHECKING:
    import pandas as pd

    from modelmgmt.tracking.comparison import Comparison
    from modelmgmt.tracking.reproduce import Reproduction
    from modelmgmt.tracking.run import Run

_COLUMNS = (Column("section", is_key=True), Column("key", is_key=True), Column("value", folds=True))
_METRIC_DIGITS = 6
_FOLDED = 5


def run_table(run: Run) -> Table:
    """All that is known of a run, one line each; a failed run's error is the note."""
    rows = tuple((section, clean(key, 200), value) for section, key, value in _lines(run))
    return Table(_COLUMNS, rows, clean(run.error or "", 4000, keep_lines=True).rstrip())


def frame_table(frame: pd.DataFrame) -> Table:
    """The first rows of a table that was logged; with its index where that is more than the number of the row."""
    shown = with_index(frame.head(SHOWN_ROWS))
    series = [shown.iloc[:, place] for place in range(shown.shape[1])]
    columns = tuple(Column(clean(str(cells.name)), right=cells.dtype.kind in "iufc") for cells in series)
    rows = zip(*(format_all(cells.tolist()) for cells in series), strict=True)
    more = len(frame) - len(shown)
    note = f"The first {len(shown):,} of {counted(len(frame), 'row')}." if more else "" if len(frame) else "No rows."
    return Table(columns, tuple(rows), note)


def differences_table(comparison: Comparison, *, all_rows: bool = False) -> Table:
    """What differs between runs, a column each; runs of one name are told apart by their ids.

    Distributions that no run had imported are only counted, unless `all_rows`.
    """
    labels = comparison.names
    if len(set(labels)) < len(labels):
        labels = tuple(f"{name} {run}" for name, run in zip(comparison.names, comparison.ids, strict=True))
    folded = [row.key for row in comparison.rows if row.differs and not row.is_imported and not all_rows]
    rows = (
        (row.section, row.key, dict(zip(labels, row.values, strict=True)))
        for row in comparison.rows
        if all_rows or row.is_imported or not row.differs
    )
    table = comparison_table(rows, all_rows=all_rows)
    if not folded:
        return table
    names = clean(", ".join(folded[:_FOLDED]), 200) + (", ..." if len(folded) > _FOLDED else "")
    subject = counted(
        len(folded), "package that no run had imported differs", "packages that no run had imported differ"
    )
    more = f"{subject}, too: {names}; --all shows all."
    return replace(table, note=f"{table.note}\n{more}")


def _lines(run: Run) -> Iterator[tuple[str, str, str]]:
    record = run._row_now
    yield "run", "id", record.id
    others = run._namesakes()
    yield "run", "name", clean(record.name) + (f" ({others})" if others else "")
    yield "run", "experiment", clean(record.experiment)
    yield "run", "status", record.true_status
    yield "run", "started", f"{record.started:%Y-%m-%d %H:%M:%S} UTC"
    for ending in run.endings:
        text = f"{ending.status} {ending.ended_at:%Y-%m-%d %H:%M:%S} UTC, went on {ending.resumed_at:%Y-%m-%d %H:%M:%S} UTC"
        if ending.from_step is not None:
            text += f" from step {ending.from_step} ({counted(ending.dropped_points, 'point')} dropped)"
        last = (ending.error or "").strip().rpartition("\n")[2]
        yield "run", "ended before", clean(f"{text}: {last}" if last else text, 300)
    diverged = run.diverged
    if diverged:
        yield "run", "diverged", f"the last value is not finite: {clean(', '.join(diverged), 200)}"
    if record.duration_s is not None:
        yield "run", "duration", format_duration(record.duration_s)
    for key, value in (("parent", record.parent), ("group", record.group_name), ("user", record.user)):
        if value:
            yield "run", key, clean(value)
    yield "run", "command", clean(record.command, 200)
    if record.lost_points:
        yield "run", "lost points", str(record.lost_points)
    yield from _code(run)
    for key, param in run.params.items():
        yield "params", key, format_exact(param, 200)
    for key, summary in run.summaries.items():
        yield "metrics", key, _metric(summary.last, summary.min, summary.max, summary.count)
    for key, tag in run.tags.items():
        yield "tags", key, clean(tag, 200)
    for note in run.notes:
        yield "notes", f"{note.written_at:%Y-%m-%d %H:%M}", clean(note.text, 200)
    for name, artifact in run.artifacts.items():
        yield "artifacts", name, f"{artifact.kind}, {artifact.size:,} bytes, {artifact.digest[:12]}"
    for role, versions in run.datasets_by_role().items():
        for version in versions:
            yield "data", clean(version.reference), f"{clean(role)}: {describe(version)}"


def _code(run: Run) -> Iterator[tuple[str, str, str]]:
    versions = run.code.versions
    if not versions:
        return
    last = versions[-1]
    if last.git_commit is not None:
        changes = ", with uncommitted changes" if last.is_dirty else ""
        yield "code", "commit", clean(f"{last.git_commit[:12]} ({last.git_branch or 'no branch'}){changes}", 200)
    if last.script is not None:
        yield "code", "script", clean(last.script, 200)
    if len(versions) > 1:
        yield "code", "versions", str(len(versions))
    for what, why in last.left_out:
        yield "code", "note", clean(f"{what}: {why}", 200)


def reproduction_table(found: Reproduction) -> Table:
    """Each metric of a run, and of the run that repeats it."""
    columns = (
        Column("metric"), Column("verdict"), Column("difference", right=True, rank=1), Column("then", right=True),
        Column("now", right=True),
    )  # fmt: skip
    rows = tuple(
        (
            clean(each.key),
            each.verdict,
            "" if each.difference is None else format_value(each.difference, 3),
            format_exact(each.before),
            "none" if each.after is None else format_exact(each.after),
        )
        for each in found.metrics
    )
    return Table(columns, rows, "" if rows else "The run has no metrics.")


def _metric(last: float, low: float, high: float, count: int) -> str:
    if count == 1:
        return format_value(last, _METRIC_DIGITS)
    low_high = f"min {format_value(low, _METRIC_DIGITS)}, max {format_value(high, _METRIC_DIGITS)}"
    return f"{format_value(last, _METRIC_DIGITS)} ({low_high}, {counted(count, 'point')})"
