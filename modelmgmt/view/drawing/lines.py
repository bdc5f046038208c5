"""Curves of metrics. The data comes ready from `modelmgmt.tracking.curves`; here matplotlib only draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.tracking import curves as data
from modelmgmt.tracking.curves import Curve, RunCollection, XAxis
from modelmgmt.view.drawing.look import (
    COLOURMAP,
    DASHES,
    PALETTE,
    UNKNOWN,
    is_nothing,
    is_number,
    look_of,
    suggest,
    whole_ticks,
)
from modelmgmt.view.figures import as_array, detached_figure, figure_of, given_axes, new_figure, plain, printable
from modelmgmt.view.text import format_value

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from modelmgmt.tracking.run import Run

_DRAWN_POINTS = 4000
_NAMED = len(PALETTE) * len(DASHES)
_FEW_VALUES = 8
_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (180, 60, "min"), (0, 1, "s"))


@dataclass(frozen=True, slots=True)
class Panel:
    """The lines of one metric. `total` is how many runs have it; fewer may be drawn."""

    key: str
    lines: Sequence[Curve]
    total: int


@dataclass(frozen=True, slots=True)
class _Style:
    """How the lines of each run look, and how a reader finds out which is which."""

    look: dict[str, dict[str, Any]]
    entries: dict[str, dict[str, Any]]
    title: str = ""
    scale: Normalize | None = None
    is_whole: bool = False
    """Whether the scale is one of whole numbers."""


@overload
def curves(
    runs: RunCollection | Run | Sequence[Run],
    key: str,
    *,
    x: XAxis = ...,
    smoothing: float = ...,
    log_x: bool = ...,
    log_y: bool = ...,
    label: str | None = ...,
    max_runs: int = ...,
    ax: Axes | None = ...,
) -> Axes: ...
@overload
def curves(
    runs: RunCollection | Run | Sequence[Run],
    key: list[str] | tuple[str, ...],
    *,
    x: XAxis = ...,
    smoothing: float = ...,
    log_x: bool = ...,
    log_y: bool = ...,
    label: str | None = ...,
    max_runs: int = ...,
    ax: Sequence[Axes] | NDArray[np.object_] | None = ...,
) -> NDArray[np.object_]: ...
def curves(
    runs: RunCollection | Run | Sequence[Run],
    key: str | list[str] | tuple[str, ...],
    *,
    x: XAxis = "step",
    smoothing: float = 0.0,
    log_x: bool = False,
    log_y: bool = False,
    label: str | None = None,
    max_runs: int = 50,
    ax: Any = None,
) -> Any:
    """Draw a metric of every run; returns its Axes, or for several keys an array of Axes, shape (keys,).

    `x` is `"step"`, `"time"` (UTC) or `"relative_time_s"` (since each run's first point). `smoothing`, from 0 to below
    1, draws a debiased moving average over the pale line of what was logged. `label` names the lines: `"name"`, the
    default, or a column such as `"params.lr"`, and then runs of one value look alike, and many numbers become a
    colour scale. Only the first `max_runs` runs that have the metric are drawn, and the title says so. A cross marks
    where a run's values stop being numbers. On a logarithmic axis, zero and what is below it have a place, too.

    Without `ax` a new figure is made: in a notebook, and wherever pyplot is already imported, through pyplot, so that
    it shows by itself; in a plain script without pyplot, so that no window and no global state is left behind. Use
    `save` to keep it.

    Raises NotFoundError when there are no runs, or no run has the metric or the label; InvalidValueError for an
    impossible `x`, `smoothing`, `max_runs` or number of `ax`.
    """
    from modelmgmt.tracking.runs import collection

    runs = collection(runs)
    keys = [key] if isinstance(key, str) else list(key)
    if not keys:
        raise InvalidValueError("No metric was given: pass a key such as 'loss', or several.")
    if max_runs < 1:
        raise InvalidValueError(f"max_runs={max_runs} draws nothing: use 1 or more.")
    panels = []
    for name in keys:
        lines = data.curves(_history(runs, name), x=x, smoothing=smoothing)
        panels.append(Panel(name, lines[:max_runs], len(lines)))
    style = _style(runs, panels, label)
    axes = _new_axes(new_figure, len(keys), style) if ax is None else given_axes(ax, len(keys))
    _draw_all(axes, panels, style, x=x, smoothed=smoothing > 0, log_x=log_x, log_y=log_y, own=ax is None)
    return axes[0] if isinstance(key, str) else as_array(axes)


def figures(runs: RunCollection, panels: Sequence[Panel], *, smoothed: bool = False) -> list[Figure]:
    """One figure per panel, along the steps, in which a run looks the same everywhere; pyplot never sees them."""
    style = _style(runs, panels, None)
    drawn = []
    for panel in panels:
        there = {curve.label for curve in panel.lines}
        entries = {name: look for name, look in style.entries.items() if name in there}
        here = replace(style, entries=entries)
        axes = _new_axes(detached_figure, 1, here)
        _draw_all(axes, [panel], here, x="step", smoothed=smoothed, log_x=False, log_y=False, own=True)
        # Two stand side by side on a page: a smaller figure has larger letters there.
        figure = figure_of(axes)
        figure.set_size_inches(6.6, max(3.4, 0.19 * len(entries) + 0.4))
        drawn.append(figure)
    return drawn


# ------------------------------------------------------------------------------------------- what to draw


def _history(runs: RunCollection, key: str) -> pd.DataFrame:
    if len(runs) == 0:
        raise NotFoundError(f"There are no runs to draw {key!r} of: the filter matched none. Loosen it, or log a run.")
    history = runs.history(key)
    if len(history) == 0:
        raise NotFoundError(f"None of the {len(runs)} runs has a metric {key!r}. {suggest(runs, 'metrics.', key)}")
    return history


def _unit(panels: Sequence[Panel]) -> tuple[int, str]:
    """The unit of time in which the longest curve is easy to read."""
    longest = max((float(curve.x[-1]) for panel in panels for curve in panel.lines), default=0.0)
    return next((size, name) for limit, size, name in _UNITS if longest >= limit)


# ------------------------------------------------------------------------------------------- how it looks


def _style(runs: RunCollection, panels: Sequence[Panel], label: str | None) -> _Style:
    """The same look for a run in every panel."""
    first = {curve.run: curve for panel in panels for curve in panel.lines}
    if label is None or label == "name":
        looks = {run: look_of(place) for place, run in enumerate(first)}
        named = {curve.label: looks[run] for run, curve in first.items()}
        return _Style(looks, named if len(first) <= _NAMED else {})
    frame = runs.to_frame()
    if label not in frame.columns:
        prefix = label.partition(".")[0] + "." if "." in label else "params."
        hint = suggest(runs, prefix, label.removeprefix(prefix))
        raise NotFoundError(f"No run has {label!r} to label its line with. {hint}")
    column = frame[label]
    values = {run: column.get(run) for run in first}
    return _by_value(values, label.partition(".")[2] or label)


def _by_value(values: dict[str, Any], title: str) -> _Style:
    """One look per value; numbers in order of size, and as a colour scale when they are many."""
    import numpy as np

    numbers = {run: float(v) for run, v in values.items() if is_number(v) and np.isfinite(v)}
    known = {run: value for run, value in values.items() if not is_nothing(value)}
    if numbers and len(numbers) == len(known) and len(set(numbers.values())) > _FEW_VALUES:
        return _by_scale(values, numbers, title)
    distinct = sorted(set(numbers.values())) if numbers and len(numbers) == len(known) else []
    texts = [format_value(value, 6) for value in distinct] or list(dict.fromkeys(map(format_value, known.values())))
    looks = {text: look_of(place) for place, text in enumerate(texts)}
    unknown = {"color": UNKNOWN, "linestyle": ":"}
    named = {run: format_value(numbers.get(run, value) if distinct else value, 6) for run, value in known.items()}
    look = {run: looks.get(named[run], unknown) if run in named else unknown for run in values}
    entries = {**looks, **({"not set": unknown} if len(known) < len(values) else {})}
    return _Style(look, entries if len(entries) <= _NAMED else {}, title)


def _by_scale(values: dict[str, Any], numbers: dict[str, float], title: str) -> _Style:
    import matplotlib as mpl
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(numbers.values()), max(numbers.values())
    scale = LogNorm(low, high) if low > 0 and high / low >= 30 else Normalize(low, high)
    colours = mpl.colormaps[COLOURMAP]
    look = {run: {"color": colours(scale(numbers[run])) if run in numbers else UNKNOWN} for run in values}
    is_whole = type(scale) is Normalize and all(float(number).is_integer() for number in numbers.values())
    return _Style(look, {}, title, scale, is_whole)


# ------------------------------------------------------------------------------------------- drawing


def _draw_all(
    axes: Sequence[Axes],
    panels: Sequence[Panel],
    style: _Style,
    *,
    x: XAxis,
    smoothed: bool,
    log_x: bool,
    log_y: bool,
    own: bool,
) -> None:
    # On Axes that were given, other lines may follow: there the unit must not depend on these.
    unit = _unit(panels) if own and x == "relative_time_s" else (1, "s")
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel.lines, style, smoothed=smoothed, divide=unit[0], log_x=log_x)
        scale_x = _logarithmic([curve.x / unit[0] for curve in panel.lines]) if log_x and x != "time" else None
        scale_y = _logarithmic([curve.raw for curve in panel.lines]) if log_y else None
        _dress(axis, panel.key, x, unit[1], log_x=scale_x, log_y=scale_y, own=own)
        _say(axis, panel, titled=own, no_log=log_y and scale_y is None)
    _explain(axes, style, own=own)


def _draw(axis: Axes, panel: Sequence[Curve], style: _Style, *, smoothed: bool, divide: int, log_x: bool) -> None:
    import numpy as np

    faint = 1.0 if len(panel) <= 12 else 0.85 if len(panel) <= _NAMED else 0.6
    for place, whole in enumerate(panel):
        curve = data.thin(whole, _DRAWN_POINTS, log_x=log_x)
        x = curve.x if divide == 1 else curve.x / divide
        # A single NaN among numbers would cut the line in two, and a value between two NaN would not show at all.
        solid = np.isfinite(curve.raw)
        look = {**style.look[curve.run], "zorder": 3 - place / (len(panel) + 1)}
        if smoothed:
            pale = {**look, "linestyle": "-", "zorder": 1}
            axis.plot(x[solid], curve.raw[solid], linewidth=0.8, alpha=0.22 * faint, label="_raw", **pale)
        marker = "o" if solid.sum() == 1 else None
        axis.plot(
            x[solid], curve.y[solid], linewidth=1.6, alpha=faint, marker=marker, label=printable(curve.label), **look
        )
        if solid.any() and not np.isfinite(whole.raw[-1]):
            last = np.flatnonzero(solid)[-1:]
            cross: dict[str, Any] = {
                "marker": "X",
                "markersize": 8,
                "markeredgewidth": 0,
                "label": "_stops",
            }
            cross = {**look, "linestyle": "none", "zorder": 4, **cross}
            axis.plot(x[last], curve.y[last], **cross)


def _logarithmic(values: Sequence[NDArray[Any]]) -> dict[str, Any] | None:
    """The logarithmic scale that shows all of these; None where every one is zero, or there is none.

    Where some are zero or below, the axis is logarithmic on both sides of a small linear part around zero.
    """
    import numpy as np

    found = np.concatenate([part[np.isfinite(part)] for part in values]) if values else np.empty(0)
    sizes = np.abs(found[found != 0])
    if not len(sizes):
        return None
    if found.min() > 0:
        return {"value": "log", "nonpositive": "mask"}
    # What is a trillion times smaller than the largest looks like zero anyway.
    linear = max(10.0 ** np.floor(np.log10(sizes.min())), sizes.max() * 1e-12)
    return {"value": "symlog", "linthresh": linear, "linscale": 0.5}


def _dress(
    axis: Axes,
    key: str,
    x: XAxis,
    unit: str,
    *,
    log_x: dict[str, Any] | None,
    log_y: dict[str, Any] | None,
    own: bool,
) -> None:
    from datetime import UTC

    from matplotlib import dates, ticker

    names = {"step": "step", "time": "time (UTC)", "relative_time_s": f"time since the run's first point ({unit})"}
    axis.set_xlabel(names[x])
    axis.set_ylabel(printable(key, 60), parse_math=False)
    for scale, which in ((log_x, axis.set_xscale), (log_y, axis.set_yscale)):
        if scale:
            which(**scale)
    if own:
        # A margin below zero would look as if there were something.
        if log_x and "linthresh" in log_x and axis.dataLim.xmin >= 0:
            axis.set_xlim(left=-0.2 * log_x["linthresh"])
        if log_y and "linthresh" in log_y and axis.dataLim.ymin >= 0:
            axis.set_ylim(bottom=-0.2 * log_y["linthresh"])
    if x == "time":
        locator = dates.AutoDateLocator(tz=UTC, minticks=4, maxticks=8)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    elif x == "step" and not log_x:
        axis.xaxis.set_major_locator(whole_ticks())
        axis.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))  # 200k, 1M
    if own:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(visible=True, axis="y", alpha=0.25, linewidth=0.7)
        axis.margins(x=0.02)


def _say(axis: Axes, panel: Panel, *, titled: bool, no_log: bool) -> None:
    """What the lines alone would hide: runs that are not drawn, and metrics without a single number."""
    import numpy as np

    if len(panel.lines) < panel.total and titled:
        axis.set_title(f"{len(panel.lines):,} of {panel.total:,} runs", loc="left", fontsize="medium")
    empty = not any(np.isfinite(curve.raw).any() for curve in panel.lines)
    if empty or no_log:
        message = "no finite value was logged" if empty else "every value is zero: the axis is not logarithmic"
        axis.text(0.5, 0.5, message, transform=axis.transAxes, ha="center", va="center")


def _explain(axes: Sequence[Axes], style: _Style, *, own: bool) -> None:
    """The legend, beside the plots where the figure is ours; a colour scale for many numbers; nothing for one line."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.lines import Line2D

    title = printable(style.title)
    if style.scale is not None:
        bar = (
            axes[0]
            .get_figure(root=True)
            .colorbar(  # type: ignore[union-attr]  # an Axes that draws has a figure
                ScalarMappable(style.scale, COLOURMAP), ax=list(axes), pad=0.015, aspect=30
            )
        )
        bar.set_label(title, parse_math=False)
        if style.is_whole:
            bar.locator = whole_ticks()
            bar.update_ticks()
        return
    if not style.entries or (len(style.look) == 1 and not title):
        return
    names = [printable(name) for name in style.entries]
    handles = [Line2D([], [], linewidth=1.8, **look) for look in style.entries.values()]
    options: dict[str, Any] = {"title": title or None, "frameon": False, "fontsize": "small", "alignment": "left"}
    if own:
        # One column, beside the plot: it grows downwards, and never covers a line.
        plain(figure_of(axes).legend(handles, names, loc="outside right upper", **options))
    else:
        for axis in axes:
            plain(axis.legend(handles, names, loc="upper right" if len(names) > 8 else "best", **options))


def _new_axes(make: Callable[[tuple[float, float]], Figure], count: int, style: _Style) -> list[Axes]:
    columns = 1 if count == 1 else 2 if count <= 8 else 3
    rows = -(-count // columns)
    beside = 1.8 if style.entries or style.scale is not None else 0.0
    tall = max(4.2 if count == 1 else 3.0 * rows, 0.19 * len(style.entries) + 0.6)
    size = ((7.2 if count == 1 else 4.6 * columns) + beside, tall)
    figure = make(size)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in grid[count:]:
        spare.remove()
    return list(grid[:count])
