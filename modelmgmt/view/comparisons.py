"""Comparisons as tables: two or more runs, and groups of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING

from modelmgmt.store.names import counted
from modelmgmt.view.details import differences_table
from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_all, format_value

if TYPE_CHECKING:
    import pandas as pd

    from modelmgmt.tracking.by_commit import CommitHistory
    from modelmgmt.tracking.comparison import Comparison
    from modelmgmt.tracking.curve_pairs import CurvePair
    from modelmgmt.tracking.groups import GroupComparison, GroupDifference, GroupSummary

_SHOWN_CROSSINGS = 3
_ENDED_BADLY = ("failed", "crashed", "interrupted")
_RANKS = {"std": 1, "min": 2, "max": 2, "effect": 1, "p": 2}


def comparison_tables(comparison: Comparison, *, all_rows: bool = False) -> list[Table]:
    """What differs; then, where there are curves, how far apart they are. What could not be read is in the notes."""
    first = differences_table(comparison, all_rows=all_rows)
    named = [(run, run._namesakes()) for run in comparison.runs]
    others = [f"{clean(run.name)} is {run.id}, {sentence}." for run, sentence in named if sentence]
    notes = [first.note, *_diverged(comparison), *others, *(clean(str(note), 300) for note in comparison.unread)]
    for row in comparison.differences:
        versions = list(dict.fromkeys(str(value).split(" ")[0] for value in row.values if value is not None))
        if row.section == "data" and len(versions) > 1:
            notes.append(f"Which rows differ: modelmgmt data diff {clean(versions[0])} {clean(versions[1])}")
    tables = [Table(first.columns, first.rows, "\n".join(note for note in notes if note))]
    curves = curves_table(comparison)
    return [*tables, curves] if curves.rows else tables


def _diverged(comparison: Comparison) -> list[str]:
    """Which runs ended in something that is not a finite number, and in which metrics."""
    metrics = [row for row in comparison.rows if row.section == "metrics"]
    found = [
        f"{clean(name, 200)} ({clean(', '.join(keys), 200)})"
        for place, name in enumerate(comparison.names)
        if (keys := [row.key for row in metrics if not isfinite(row.values[place] or 0)])
    ]
    return [f"Diverged, the last value is not finite: {', '.join(found)}."] if found else []


def curves_table(comparison: Comparison) -> Table:
    """One row per metric and other run: last and best values of both, how far apart the curves are, where they cross."""
    names = dict(zip(comparison.ids, comparison.names, strict=True))
    pairs = comparison.curves()
    first = clean(comparison.names[0], 200)
    heads = ("last", "min", "max")
    columns = (
        Column("curve", is_key=True), Column("run", is_key=True),
        *(Column(head, right=True, rank=0 if head == "last" else 3) for head in heads), Column("mean gap", right=True),
        Column("widest gap", right=True, rank=1), Column("cross at step", rank=2),
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for pair in pairs:
        if pair.key not in seen:
            seen.add(pair.key)
            rows.append((clean(pair.key, 200), first, *_values(pair, 0), "", "", ""))
        rows.append(("", clean(names[pair.b], 200), *_values(pair, 1), *_gaps(pair)))
    return Table(columns, tuple(rows), f"Gaps are to {first}." if rows else "")


def _values(pair: CurvePair, side: int) -> tuple[str, str, str]:
    return (
        format_value(pair.last[side]),
        _at(pair.min[side], pair.min_step[side]),
        _at(pair.max[side], pair.max_step[side]),
    )


def _gaps(pair: CurvePair) -> tuple[str, str, str]:
    if pair.span is None:
        return MISSING, MISSING, "no step in common"
    shown = ", ".join(f"{step:.6g}" for step in pair.crossings[:_SHOWN_CROSSINGS])
    if len(pair.crossings) > _SHOWN_CROSSINGS:
        shown = f"{pair.crossings[0]:.6g} to {pair.crossings[-1]:.6g}, {counted(len(pair.crossings), 'time')}"
    return format_value(pair.mean_gap), _at(pair.max_gap, pair.max_gap_step), shown or "never"


def _at(value: float, step: float | None) -> str:
    return MISSING if step is None else f"{format_value(value)} @ {step:.6g}"


def commits_table(history: CommitHistory) -> Table:
    """One row per commit: the best value there, and how far it has moved."""
    names = ("commit", "branch", "first run", "runs", history.metric, "change", "best run")
    ranks = {"branch": 2, "first run": 1, "runs": 4, "best run": 3}
    columns = tuple(
        Column(clean(name, 200), right=name in ("runs", history.metric, "change"), rank=ranks.get(name, 0),
               is_whole=name in ("commit", "first run"))
        for name in names
    )  # fmt: skip
    rows = [
        (
            row.label, clean(row.branch) if row.branch else MISSING, f"{row.first_at:%Y-%m-%d %H:%M}", str(row.runs),
            _number(row.value), MISSING if math.isnan(row.change) else f"{row.change:+.4g}", clean(row.name),
        )
        for row in history.rows
    ]  # fmt: skip
    word = "highest" if history.best == "max" else "lowest"
    note = f"The {word} {history.value} value of {history.metric} among the runs of each commit; times are UTC."
    if any(row.is_dirty for row in history.rows):
        note += "\n+: with uncommitted changes."
    return Table(columns, tuple(rows), note)


# ------------------------------------------------------------------------------------------- groups


def groups_table(groups: Mapping[str, pd.DataFrame]) -> Table:
    """One group a row: how many runs it has, and the mean of each metric, by the frames of its runs."""
    counts = {name: [str(int((frame["status"] == name).sum())) for frame in groups.values()] for name in _ENDED_BADLY}
    keys = sorted(
        {str(name) for frame in groups.values() for name in frame.columns if str(name).startswith("metrics.")}
    )
    columns = [Column("group"), Column("runs", right=True)]
    cells = [[clean(label, 200) for label in groups], [f"{len(frame):,}" for frame in groups.values()]]
    for name, numbers in counts.items():
        if set(numbers) > {"0"}:
            columns.append(Column(name, right=True))
            cells.append(numbers)
    if any((frame["diverged"] != "").any() for frame in groups.values()):
        columns.append(Column("diverged", right=True))
        cells.append([str(int((frame["diverged"] != "").sum())) for frame in groups.values()])
    for rank, key in enumerate(keys, start=1):
        columns.append(Column(clean(key.removeprefix("metrics."), 200), "metrics", right=True, rank=rank))
        cells.append(
            format_all([_mean_of(frame[key].tolist() if key in frame else ()) for frame in groups.values()], fill=True)
        )
    note = "Metrics: the mean of the last values that are finite." if keys else ""
    return Table(tuple(columns), tuple(zip(*cells, strict=True)), note if groups else "No runs, so no groups.")


def _mean_of(values: Iterable[object]) -> float | None:
    finite = [float(value) for value in values if isinstance(value, float) and isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def group_tables(comparison: GroupComparison) -> list[Table]:
    """The mean and interval of each group; then the differences between groups."""
    return [_summaries(comparison), *([_differences(comparison)] if comparison.differences else [])]


def _summaries(comparison: GroupComparison) -> Table:
    percent = f"{comparison.confidence:.0%}"
    names = ("metric", "group", "runs", "mean", "std", f"{percent} interval", "min", "max")
    columns = tuple(
        Column(name, right=place > 1, is_key=place < 2, rank=_RANKS.get(name, 0)) for place, name in enumerate(names)
    )
    # Different means look different, however close they are.
    means = {
        metric: format_all([found.summary.mean for found in comparison.summaries if found.metric == metric])
        for metric in comparison.metrics
    }
    rows = _named_once((found.metric, _summary(found, means[found.metric].pop(0))) for found in comparison.summaries)
    note = f"The {comparison.value} value of each run; intervals of the mean by bootstrap (BCa)."
    if comparison.caveat:
        note += f"\n{comparison.caveat}"
    missing = sum(found.summary.missing for found in comparison.summaries)
    if missing:
        note += f"\n{counted(missing, 'value is', 'values are')} missing or not finite, and left out."
    return Table(columns, rows, note)


def _named_once(found: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    """Rows that begin with their metric; where it is that of the row above, with nothing."""
    rows, previous = list[tuple[str, ...]](), None
    for metric, cells in found:
        rows.append(("" if metric == previous else clean(metric), *cells))
        previous = metric
    return tuple(rows)


def _summary(found: GroupSummary, mean: str) -> tuple[str, ...]:
    summary = found.summary
    interval = summary.interval
    return (
        clean(found.group), str(summary.count), mean if summary.count else MISSING, _number(summary.std),
        _interval(interval.low, interval.high), _number(summary.min), _number(summary.max),
    )  # fmt: skip


def _differences(comparison: GroupComparison) -> Table:
    names = (
        "metric",
        "difference",
        "pairs" if comparison.paired_by else "runs",
        "mean",
        "interval",
        "p",
        "p corrected",
        "effect",
    )
    columns = tuple(
        Column(name, right=place > 1, is_key=place < 2, rank=_RANKS.get(name, 0)) for place, name in enumerate(names)
    )
    rows = _named_once((found.metric, _difference(found)) for found in comparison.differences)
    return Table(columns, rows, "\n".join([_how(comparison), *_remarks(comparison)]))


def _remarks(comparison: GroupComparison) -> list[str]:
    """What is to be known of single tests, each remark once."""
    where: dict[str, list[str]] = {}
    for found in comparison.differences:
        if found.difference.note:
            where.setdefault(found.difference.note, []).append(f"{found.metric}, {found.a} less {found.b}")
    lines = []
    for remark, places in where.items():
        more = "; ..." if len(places) > 3 else ""
        of = "" if len(places) == len(comparison.differences) else f" ({'; '.join(places[:3])}{more})"
        lines.append(clean(remark + of, 300))
    return lines


def _difference(found: GroupDifference) -> tuple[str, ...]:
    difference = found.difference
    interval = difference.interval
    return (
        f"{clean(found.a)} less {clean(found.b)}", str(difference.count), _number(difference.mean),
        _interval(interval.low, interval.high), _p(difference.p_value), _p(found.p_adjusted), _number(difference.effect),
    )  # fmt: skip


def _how(comparison: GroupComparison) -> str:
    paired = "by the order of the runs" if comparison.paired_by == "order" else f"by {comparison.paired_by}"
    parts = [f"Paired {paired}" if comparison.paired_by else "Not paired"]
    tests = sorted({found.difference.test for found in comparison.differences} - {""})
    parts += tests
    tested = sum(not math.isnan(found.difference.p_value) for found in comparison.differences)
    words = {"holm": "Holm", "bh": "Benjamini-Hochberg"}
    if comparison.correction and tests:
        parts.append(f"corrected for {counted(tested, 'test')} ({words[comparison.correction]})")
    effect = "Cohen's d_z" if comparison.paired_by else "Hedges' g"
    return f"{'; '.join(parts)}; effect: {effect}."


def _number(value: float) -> str:
    return MISSING if math.isnan(value) else format_value(value)


def _interval(low: float, high: float) -> str:
    return MISSING if math.isnan(low) else f"{format_value(low)} to {format_value(high)}"


def _p(value: float) -> str:
    return MISSING if math.isnan(value) else "< 0.0001" if value < 0.0001 else f"{value:.4f}"
