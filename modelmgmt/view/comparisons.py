"""Comparisons as tables: two or more runs, and groups of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelmgmt.view.details import differences_table
from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import MISSING, clean, format_value

if TYPE_CHECKING:
    from modelmgmt.tracking.by_commit import CommitHistory
    from modelmgmt.tracking.comparison import Comparison
    from modelmgmt.tracking.curve_pairs import CurvePair
    from modelmgmt.tracking.groups import GroupComparison, GroupDifference, GroupSummary

_SHOWN_CROSSINGS = 3


def comparison_tables(comparison: Comparison, *, all_rows: bool = False) -> list[Table]:
    """What differs; then, where there are curves, how far apart they are. What could not be read is in the notes."""
    first = differences_table(comparison, all_rows=all_rows)
    notes = [first.note, *(clean(str(note), 300) for note in comparison.unread)]
    tables = [Table(first.columns, first.rows, "\n".join(note for note in notes if note))]
    curves = curves_table(comparison)
    return [*tables, curves] if curves.rows else tables


def curves_table(comparison: Comparison) -> Table:
    """One row per metric and other run: last and best values of both, how far apart the curves are, where they cross."""
    names = dict(zip(comparison.ids, comparison.names, strict=True))
    pairs = comparison.curves()
    first = clean(comparison.names[0])
    heads = ("last", "min", "max")
    columns = (
        Column("curve"), Column("run"), *(Column(head, right=True) for head in heads), Column("mean gap", right=True),
        Column("widest gap", right=True), Column("cross at step"),
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for pair in pairs:
        if pair.key not in seen:
            seen.add(pair.key)
            rows.append((clean(pair.key), first, *_values(pair, 0), "", "", ""))
        rows.append(("", clean(names[pair.b]), *_values(pair, 1), *_gaps(pair)))
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
        shown = f"{pair.crossings[0]:.6g} to {pair.crossings[-1]:.6g}, {len(pair.crossings):,} times"
    return format_value(pair.mean_gap), _at(pair.max_gap, pair.max_gap_step), shown or "never"


def _at(value: float, step: float | None) -> str:
    return MISSING if step is None else f"{format_value(value)} @ {step:.6g}"


def commits_table(history: CommitHistory) -> Table:
    """One row per commit: the best value there, and how far it has moved."""
    names = ("commit", "branch", "first run", "runs", history.metric, "change", "best run")
    columns = tuple(Column(clean(name), right=name in ("runs", history.metric, "change")) for name in names)
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


def group_tables(comparison: GroupComparison) -> list[Table]:
    """The mean and interval of each group; then the differences between groups."""
    return [_summaries(comparison), *([_differences(comparison)] if comparison.differences else [])]


def _summaries(comparison: GroupComparison) -> Table:
    percent = f"{comparison.confidence:.0%}"
    names = ("metric", "group", "runs", "mean", "std", f"{percent} interval", "min", "max")
    columns = tuple(Column(name, right=place > 1) for place, name in enumerate(names))
    rows = _named_once((found.metric, _summary(found)) for found in comparison.summaries)
    note = f"The {comparison.value} value of each run; intervals of the mean by bootstrap (BCa)."
    missing = sum(found.summary.missing for found in comparison.summaries)
    if missing:
        note += f"\n{missing} {'value is' if missing == 1 else 'values are'} missing or not finite, and left out."
    return Table(columns, rows, note)


def _named_once(found: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    """Rows that begin with their metric; where it is that of the row above, with nothing."""
    rows, previous = list[tuple[str, ...]](), None
    for metric, cells in found:
        rows.append(("" if metric == previous else clean(metric), *cells))
        previous = metric
    return tuple(rows)


def _summary(found: GroupSummary) -> tuple[str, ...]:
    summary = found.summary
    interval = summary.interval
    return (
        clean(found.group), str(summary.count), _number(summary.mean), _number(summary.std),
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
    columns = tuple(Column(name, right=place > 1) for place, name in enumerate(names))
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
        parts.append(f"corrected for {tested} {'test' if tested == 1 else 'tests'} ({words[comparison.correction]})")
    effect = "Cohen's d_z" if comparison.paired_by else "Hedges' g"
    return f"{'; '.join(parts)}; effect: {effect}."


def _number(value: float) -> str:
    return MISSING if math.isnan(value) else format_value(value)


def _interval(low: float, high: float) -> str:
    return MISSING if math.isnan(low) else f"{format_value(low)} to {format_value(high)}"


def _p(value: float) -> str:
    return MISSING if math.isnan(value) else "< 0.0001" if value < 0.0001 else f"{value:.4f}"
