"""Comparisons: groups of runs with their intervals, or the curves of single runs. The data comes from the comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.store.names import among
from modelmgmt.tracking import statistics
from modelmgmt.view.drawing import lines
from modelmgmt.view.drawing.look import PALETTE, dress
from modelmgmt.view.figures import as_array, given_axes, new_figure, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.tracking.comparison import Comparison
    from modelmgmt.tracking.groups import GroupComparison, GroupSummary

_MOST_PANELS = 12


def compare(
    comparison: Comparison | GroupComparison, metrics: str | Sequence[str] | None = None, *, ax: Any = None
) -> Any:
    """Draw what `store.compare` or `store.compare_groups` gives; Axes for one metric, an array of them for several.

    Groups: each run a pale dot, the mean a dot on its confidence interval. Single runs: the curves of the metrics that
    two of them share. Raises NotFoundError when there is nothing to draw, InvalidValueError for a wrong number of `ax`.
    """
    from modelmgmt.tracking.comparison import Comparison
    from modelmgmt.tracking.groups import GroupComparison

    if isinstance(comparison, GroupComparison):
        names = _names(metrics, list(comparison.metrics))
        rows = len(comparison.groups)
        axes = _axes(ax, len(names), (6.6, max(1.9, 0.42 * rows + 1.2)))
        for axis, name in zip(axes, names, strict=True):
            found = [summary for summary in comparison.summaries if summary.metric == name]
            _group(axis, found, name, statistics.caveat(one.summary.count for one in found), own=ax is None)
    elif isinstance(comparison, Comparison):
        runs = _TheseRuns(comparison)
        names = _names(metrics, list(dict.fromkeys(pair.key for pair in comparison.curves())))
        return lines.curves(runs, names[0] if isinstance(metrics, str) or len(names) == 1 else names, ax=ax)
    else:
        raise InvalidTypeError(
            f"compare draws a comparison, and {type(comparison).__name__} was given: see store.compare."
        )
    return axes[0] if len(axes) == 1 and (isinstance(metrics, str) or metrics is None) else as_array(axes)


def _names(asked: str | Sequence[str] | None, there: list[str]) -> list[str]:
    names = [asked] if isinstance(asked, str) else list(asked) if asked is not None else there[:_MOST_PANELS]
    if not names:
        raise NotFoundError("There is no metric to draw: the runs share none with two points or more.")
    for name in names:
        if name not in there:
            raise NotFoundError(f"This comparison has no {name!r} to draw; it has: {among(name, there)}")
    return names


def _axes(ax: Any, count: int, size: tuple[float, float]) -> list[Axes]:
    if ax is not None:
        return given_axes(ax, count)
    if count < 1:
        raise InvalidValueError("No metric was given.")
    figure = new_figure((size[0], size[1] * count))
    return list(figure.subplots(count, 1, squeeze=False).ravel())


def _group(axis: Axes, summaries: list[GroupSummary], metric: str, caveat: str, *, own: bool) -> None:
    import numpy as np

    for place, found in enumerate(summaries):
        colour = PALETTE[place % len(PALETTE)]
        values = np.array([value for value in found.values if math.isfinite(value)])
        noise = np.random.default_rng(place).uniform(-0.14, 0.14, len(values))
        axis.scatter(values, place + noise, s=22, color=colour, alpha=0.35, linewidths=0, zorder=2)
        summary = found.summary
        if summary.interval.is_known:
            axis.plot([summary.interval.low, summary.interval.high], [place, place], color=colour, linewidth=2.6, zorder=3,
                      solid_capstyle="round")  # fmt: skip
        if summary.count:
            axis.scatter([summary.mean], [place], s=64, color=colour, edgecolors="white", linewidths=1.2, zorder=4)
        else:
            axis.text(
                0.5, place, "no number", transform=axis.get_yaxis_transform(), ha="center", va="center", color="0.45"
            )
    labels = [f"{printable(found.group, 34)}  (n = {found.summary.count})" for found in summaries]
    axis.set_yticks(range(len(summaries)), labels)
    for text in axis.get_yticklabels():
        text.set_parse_math(False)
    axis.set_ylim(len(summaries) - 0.5, -0.5)
    axis.set_xlabel(printable(metric, 60), parse_math=False)
    if caveat:
        axis.set_xlabel("\n".join([axis.get_xlabel(), caveat.replace(": ", ":\n")]), parse_math=False)
    if own:
        dress(axis, grid="x")
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)


class _TheseRuns:
    """The runs of a comparison as a collection."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def __len__(self) -> int:
        return len(self._comparison.runs)

    def __iter__(self) -> Any:
        return iter(self._comparison.runs)

    def to_frame(self) -> Any:
        import pandas as pd

        names = {run: {"name": name} for run, name in zip(self._comparison.ids, self._comparison.names, strict=True)}
        return pd.DataFrame.from_dict(names, orient="index")

    def history(self, key: str, /) -> Any:
        return self._comparison.history(key)
