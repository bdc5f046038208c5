"""Parallel coordinates: each run a line over its params to its metric. The data comes from `modelmgmt.tracking.scales`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.tracking.scales import Scale
from modelmgmt.view.drawing.dots import column
from modelmgmt.view.drawing.look import COLOURMAP, UNKNOWN, short_words, suggest
from modelmgmt.view.figures import new_figure, printable
from modelmgmt.view.text import format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.tracking.curves import RunCollection
    from modelmgmt.tracking.run import Run

_MOST_AXES = 10
_MISSING_AT = -0.12
_CURVE_POINTS = 24


def parallel(
    runs: RunCollection | Run | Sequence[Run],
    metric: str | None = None,
    *,
    params: Sequence[str] | None = None,
    max_runs: int = 1000,
    ax: Axes | None = None,
) -> Axes:
    """Draw each run as a line over its params, coloured by `metric`, which is the last axis.

    `params` are those that differ among the runs, unless named (`"lr"`, or `"params.lr"`): the first ten of them. What a
    run lacks stands below the axis, at "not set"; a run without the metric is grey. Numbers of many sizes get a
    logarithmic axis. Runs with the highest values are drawn last. Without `metric`, the lines have one colour.

    Raises NotFoundError when there are no runs, no params that differ, or no run has a name that was given.
    """
    from modelmgmt.tracking.runs import collection

    runs = collection(runs)
    scales, left_out = _scales(runs, metric, params)
    if max_runs < 1:
        raise InvalidValueError(f"max_runs={max_runs} draws nothing: use 1 or more.")
    count = len(scales[0].places)
    axis = ax if ax is not None else new_figure((max(6.4, 1.5 * len(scales) + 1.6), 4.6)).subplots()
    _lines(axis, scales, metric is not None, min(count, max_runs))
    for place, found in enumerate(scales):
        _axis(axis, place, found)
    axis.set_xlim(-0.15, len(scales) - 1 + 0.15)
    axis.set_ylim(-0.2, 1.06)
    axis.spines[:].set_visible(False)
    axis.set_yticks([])
    axis.set_xticks(range(len(scales)), [printable(_label(found.name), 20) for found in scales])
    axis.xaxis.tick_top()
    axis.xaxis.set_tick_params(length=0, pad=2)
    for text in axis.get_xticklabels():
        text.set(parse_math=False, fontweight="bold")
    notes = [f"{max_runs:,} of {count:,} runs"] if count > max_runs else []
    notes += [f"without {', '.join(map(_label, left_out[:6]))}{', …' if len(left_out) > 6 else ''}"] if left_out else []
    if notes and ax is None:
        axis.set_title(printable("; ".join(notes), 110), loc="left", fontsize="medium", parse_math=False)
    return axis


def _scales(runs: RunCollection, metric: str | None, params: Sequence[str] | None) -> tuple[list[Scale], list[str]]:
    """The axes to draw, the metric's last, and the names of those that find no room."""
    if len(runs) == 0:
        raise NotFoundError("There are no runs to draw: the filter matched none. Loosen it, or log a run.")
    frame = runs.to_frame()
    if params is None:
        names = [str(name) for name in frame.columns if str(name).startswith("params.")]
        found = [one for one in (column(runs, frame, name) for name in names) if not one.is_constant]
    else:
        wanted = [
            name if name.partition(".")[0] in ("params", "metrics", "tags") else f"params.{name}" for name in params
        ]
        found = [column(runs, frame, name) for name in wanted]
    if not found:
        raise NotFoundError("No param differs among these runs: there is nothing to draw an axis of.")
    kept, left_out = (found, []) if params is not None else (found[:_MOST_AXES], found[_MOST_AXES:])
    if metric is None:
        return kept, [one.name for one in left_out]
    if f"metrics.{metric}" not in frame.columns:
        raise NotFoundError(f"No run has a metric {metric!r}. {suggest(runs, 'metrics.', metric)}")
    return [*kept, column(runs, frame, f"metrics.{metric}")], [one.name for one in left_out]


def _lines(axis: Axes, scales: list[Scale], has_metric: bool, count: int) -> None:
    """The lines, as soft steps, so that the eye can follow one through a busy axis."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.collections import LineCollection

    units = np.column_stack([found.unit()[:count] for found in scales])
    height = np.where(np.isnan(units), _MISSING_AT, units)
    share = np.linspace(0, 1, _CURVE_POINTS)
    ease = share * share * (3 - 2 * share)
    x = np.concatenate([place + share for place in range(len(scales) - 1)]) if len(scales) > 1 else np.zeros(1)
    y = np.concatenate(
        [left[:, None] + (right - left)[:, None] * ease for left, right in zip(height.T[:-1], height.T[1:], strict=True)],
        axis=1,
    ) if len(scales) > 1 else height  # fmt: skip
    last = units[:, -1] if has_metric else np.full(count, np.nan)
    colours = mpl.colormaps[COLOURMAP]
    rgba = [colours(value) if np.isfinite(value) else UNKNOWN if has_metric else "#0072B2" for value in last]
    order = np.argsort(np.where(np.isfinite(last), last, -1.0), kind="stable")
    faint = float(np.clip(24 / max(count, 1) ** 0.75, 0.18, 0.9))
    segments = [np.column_stack([x, y[row]]) for row in order]
    lines = LineCollection(segments, colors=[rgba[row] for row in order], linewidths=1.4, alpha=faint, zorder=2)
    axis.add_collection(lines)


def _axis(axis: Axes, place: int, found: Scale) -> None:
    """A vertical line with its ticks and their labels. The ticks are on the other side: beside a number one is a minus."""
    import numpy as np

    axis.plot([place, place], [0, 1], color="0.35", linewidth=1.0, zorder=3, solid_capstyle="butt")
    for height, text in _ticks(found):
        axis.plot([place - 0.024, place], [height, height], color="0.35", linewidth=1.0, zorder=3)
        _write(axis, place + 0.03, height, text)
    if np.isnan(found.places).any():
        _write(axis, place + 0.03, _MISSING_AT, "not set" if not found.name.startswith("metrics.") else "no number")


def _write(axis: Axes, x: float, y: float, text: str) -> None:
    box = {"boxstyle": "round,pad=0.12", "facecolor": axis.get_facecolor(), "edgecolor": "none", "alpha": 0.75}
    axis.text(x, y, printable(text, 18), fontsize="small", va="center", ha="left", zorder=4, bbox=box, parse_math=False)


def _ticks(found: Scale) -> list[tuple[float, str]]:
    import numpy as np
    from matplotlib import ticker

    known = found.places[~np.isnan(found.places)]
    if not len(known):
        return []
    low, high = float(known.min()), float(known.max())
    if found.kind == "words":
        step = max(1, round(len(found.words) / 12))
        words = short_words(found.words, 18)
        return [(_unit(at, low, high), word) for at, word in enumerate(words) if at % step == 0]
    if found.kind == "log":
        inner = [float(power) for power in range(int(np.ceil(low)), int(np.floor(high)) + 1)]
    else:
        inner = [float(value) for value in ticker.MaxNLocator(5, integer=found.is_whole).tick_values(low, high)]
        inner = [value for value in inner if low < value < high]
    room = (high - low) * 0.06
    values = [low, *(value for value in inner if low + room < value < high - room), high] if high > low else [low]
    exact = [10.0**value for value in values] if found.kind == "log" else values
    return [(_unit(at, low, high), format_value(float(number))) for at, number in zip(values, exact, strict=True)]


def _unit(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _label(name: str) -> str:
    return name.partition(".")[2] or name
