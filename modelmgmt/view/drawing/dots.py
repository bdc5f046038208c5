"""Runs as dots: one column over another. The data comes from `modelmgmt.tracking.scales`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import NotFoundError
from modelmgmt.tracking.scales import Scale, scale
from modelmgmt.view.drawing.look import COLOURMAP, PALETTE, UNKNOWN, dress, dress_axis, suggest, whole_ticks
from modelmgmt.view.figures import figure_of, new_figure, plain, printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from modelmgmt.tracking.curves import RunCollection
    from modelmgmt.tracking.run import Run

_FEW = len(PALETTE)


def scatter(
    runs: RunCollection | Run | Sequence[Run], x: str, y: str, *, colour: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw each run as a dot: `x` and `y` are columns of `runs.to_frame()`, such as `"params.lr"` and `"metrics.acc"`.

    Numbers of many sizes, all above zero, get a logarithmic axis; words stand side by side, their
    dots moved a little apart. `colour` is a third column: a colour each for a few words, a colour scale for numbers.
    Runs that lack `x` or `y` are counted in the title; those that lack the colour are grey.

    Raises NotFoundError when there are no runs, or no run has a column.
    """
    import numpy as np

    from modelmgmt.tracking.runs import collection

    runs = collection(runs)
    frame = _frame(runs)
    across, up = (column(runs, frame, name) for name in (x, y))
    shade = column(runs, frame, colour) if colour else None
    drawn = ~(np.isnan(across.places) | np.isnan(up.places))
    axis = ax if ax is not None else new_figure((7.2 if shade is None else 8.4, 4.6)).subplots()
    horizontal, vertical = _spread(across, drawn), _spread(up, drawn)
    size = 36 if drawn.sum() <= 200 else 16
    style: dict[str, Any] = {"s": size, "alpha": 0.8, "linewidths": 0, "zorder": 2}
    _dots(axis, horizontal, vertical, drawn, shade, style)
    for which, found, name in (("x", across, x), ("y", up, y)):
        dress_axis(axis, which, found, _short(name))  # type: ignore[arg-type]  # one of the two words
    if ax is None:
        dress(axis, grid="both")
        _say_missing(axis, int((~drawn).sum()), len(drawn))
    return axis


def column(runs: RunCollection, frame: pd.DataFrame, name: str) -> Scale:
    """One column of the frame of runs as a scale. Raises NotFoundError."""
    if name not in frame.columns:
        prefix = name.partition(".")[0] + "." if "." in name else "params."
        raise NotFoundError(f"No run has {name!r}. {suggest(runs, prefix, name.removeprefix(prefix))}")
    return scale(name, frame[name].astype(object).tolist())


def _frame(runs: RunCollection) -> pd.DataFrame:
    if len(runs) == 0:
        raise NotFoundError("There are no runs to draw: the filter matched none. Loosen it, or log a run.")
    return runs.to_frame()


def _spread(found: Scale, drawn: Any) -> Any:
    """Where the dots stand: the numbers, or the places of the words with a little noise, always the same."""
    import numpy as np

    places = np.where(drawn, found.places, np.nan)
    if found.kind == "log" and not found.is_extreme:
        return 10.0**places
    if found.kind == "words":
        return places + np.random.default_rng(0).uniform(-0.16, 0.16, len(places))
    return places


def _dots(axis: Axes, x: Any, y: Any, drawn: Any, shade: Scale | None, style: dict[str, Any]) -> None:
    import numpy as np

    if shade is None:
        axis.scatter(x[drawn], y[drawn], color=PALETTE[0], **style)
        return
    unknown = drawn & np.isnan(shade.places)
    known = drawn & ~np.isnan(shade.places)
    if unknown.any():
        axis.scatter(x[unknown], y[unknown], color=UNKNOWN, label="not set", **style)
    if shade.kind == "words" and len(shade.words) <= _FEW:
        for place, word in enumerate(shade.words):
            here = known & (shade.places == place)
            axis.scatter(x[here], y[here], color=PALETTE[place], label=printable(word), **style)
    elif known.any():
        _scaled(axis, x[known], y[known], shade, shade.places[known], style)
        return
    legend = axis.legend(title=printable(_short(shade.name)), frameon=False, fontsize="small", loc="center left",
                         bbox_to_anchor=(1.01, 0.5), alignment="left")  # fmt: skip
    plain(legend)


def _scaled(axis: Axes, x: Any, y: Any, shade: Scale, places: Any, style: dict[str, Any]) -> None:
    from matplotlib.colors import LogNorm, Normalize

    powers = shade.kind == "log" and not shade.is_extreme
    values = 10.0**places if powers else places
    norm = (LogNorm if powers else Normalize)(values.min(), values.max())
    dots = axis.scatter(x, y, c=values, cmap=COLOURMAP, norm=norm, **style)
    bar = figure_of(axis).colorbar(dots, ax=axis, pad=0.015, aspect=30)
    bar.set_label(printable(_short(shade.name)), parse_math=False)
    if shade.is_whole:
        bar.locator = whole_ticks()
        bar.update_ticks()
    if shade.kind == "words":
        step = max(1, len(shade.words) // 12)
        bar.set_ticks(list(range(0, len(shade.words), step)), labels=[printable(word) for word in shade.words[::step]])


def _say_missing(axis: Axes, missing: int, total: int) -> None:
    if missing:
        axis.set_title(f"{total - missing:,} of {total:,} runs have both", loc="left", fontsize="medium")


def _short(name: str) -> str:
    """`params.lr` is called `lr`; `name` and `duration_s` keep theirs."""
    group, _, rest = name.partition(".")
    return rest if group in ("params", "metrics", "tags") and rest else name
