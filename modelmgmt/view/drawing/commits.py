"""A metric by git commit. The data comes from `Store.by_commit`."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from modelmgmt.errors import NotFoundError
from modelmgmt.view.drawing.look import PALETTE, dress
from modelmgmt.view.figures import new_figure, plain, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.tracking.by_commit import CommitHistory, CommitResult

_LABELLED = 40


def history(commits: CommitHistory, *, ax: Axes | None = None) -> Axes:
    """Draw what `store.by_commit(metric)` gives: the best value at each commit, in the order of their first runs.

    A hollow dot stands for runs with uncommitted changes. The largest change for the better and the largest for the worse
    are written beside their dots. Raises NotFoundError when no commit has a number.
    """
    rows = [row for row in commits.rows if math.isfinite(row.value)]
    if not rows:
        raise NotFoundError(f"No commit has a finite value of {commits.metric!r}.")
    axis = ax if ax is not None else new_figure((max(6.4, min(14.0, 0.42 * len(rows) + 2.6)), 4.4)).subplots()
    values = [row.value for row in rows]
    axis.plot(range(len(rows)), values, color=PALETTE[0], linewidth=1.4, zorder=2)
    for is_dirty, face, label in ((False, PALETTE[0], "committed"), (True, "white", "with uncommitted changes")):
        places = [place for place, row in enumerate(rows) if bool(row.is_dirty) == is_dirty]
        if places:
            axis.scatter(
                places, [values[place] for place in places], s=42, color=face, edgecolors=PALETTE[0], linewidths=1.5,
                zorder=3, label=label,
            )  # fmt: skip
    step = max(1, len(rows) // _LABELLED)
    axis.set_xticks(range(0, len(rows), step), [printable(_tick(row)) for row in rows[::step]], rotation=45, ha="right")
    axis.tick_params(axis="x", labelsize="small")
    axis.set_ylabel(printable(f"{commits.metric} ({commits.best} of {commits.value})", 60), parse_math=False)
    axis.margins(x=0.04, y=0.14)
    _say_changes(axis, rows, commits.best)
    if any(row.is_dirty for row in rows):
        plain(axis.legend(frameon=False, fontsize="small", loc="best"))
    if ax is None:
        dress(axis)
    return axis


def _tick(row: CommitResult) -> str:
    return "no commit" if row.commit is None else row.commit[:7]


def _say_changes(axis: Axes, rows: list[CommitResult], best: str) -> None:
    """The largest steps in both directions, in words."""
    moved = [(row.value - before.value, place) for place, (before, row) in enumerate(pairwise(rows), start=1)]
    if not moved:
        return
    sign = 1 if best == "max" else -1
    largest, smallest = max(moved, key=lambda one: sign * one[0]), min(moved, key=lambda one: sign * one[0])
    for (change, place), colour in ((largest, PALETTE[2]), (smallest, PALETTE[1])):
        if (change * sign > 0) == (colour == PALETTE[2]) and change:
            above = change > 0
            axis.annotate(
                f"{change:+.3g}", (place, rows[place].value), textcoords="offset points", xytext=(0, 9 if above else -9),
                ha="center", va="bottom" if above else "top", fontsize="small", color=colour, fontweight="bold", zorder=4,
            )  # fmt: skip
