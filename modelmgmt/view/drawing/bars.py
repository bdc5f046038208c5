"""The importance of params as bars. The data comes from `modelmgmt.tracking.importance`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelmgmt.errors import NotFoundError
from modelmgmt.store.names import counted
from modelmgmt.tracking import importance as data
from modelmgmt.view.drawing.look import PALETTE, UNKNOWN, dress
from modelmgmt.view.figures import new_figure, printable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from modelmgmt.tracking.curves import RunCollection
    from modelmgmt.tracking.run import Run

_MOST_BARS = 20
_SURE = 0.05


def importance(
    runs: RunCollection | Run | Sequence[Run],
    metric: str,
    *,
    params: Sequence[str] | None = None,
    permutations: int = 999,
    rng: np.random.Generator | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much each param has to do with a metric: the share of the variance of its ranks, param by param.

    A grey bar is one that chance gives as well in more than 5% of `permutations` shuffled orders. Beside a bar stands the
    direction, for params of numbers: Spearman's correlation. It is about these runs: a param that was tried at two close
    values looks unimportant, and what two params do only together is not seen. `modelmgmt.tracking.importance` has the
    numbers and the method.

    Raises NotFoundError when no run has the metric, or no param differs; InvalidValueError for fewer than four runs.
    """
    from modelmgmt.tracking.runs import collection

    runs = collection(runs)
    if len(runs) == 0:
        raise NotFoundError("There are no runs to draw: the filter matched none. Loosen it, or log a run.")
    found = data.importance(runs.to_frame(), metric, params=params, permutations=permutations, rng=rng)
    if not found:
        raise NotFoundError("No param differs among these runs, so none can be important.")
    shown = found[:_MOST_BARS]
    axis = ax if ax is not None else new_figure((7.2, 0.34 * len(shown) + 1.5)).subplots()
    places = range(len(shown))
    colours = [PALETTE[0] if one.p_value <= _SURE else UNKNOWN for one in shown]
    axis.barh(places, [one.share for one in shown], color=colours, height=0.66, zorder=2)
    for place, one in zip(places, shown, strict=True):
        axis.text(one.share + 0.01, place, _beside(one), va="center", fontsize="small", color="0.35", zorder=3)
    axis.set_yticks(places, [printable(one.param, 32) for one in shown])
    for text in axis.get_yticklabels():
        text.set_parse_math(False)
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlim(0, max(1.0 if shown[0].share > 0.5 else 0.6, shown[0].share + 0.25))
    axis.set_xlabel(
        printable(f"share of the variance of {metric} (ranks), {counted(shown[0].runs, 'run')}", 90), parse_math=False
    )
    if ax is None:
        dress(axis, grid="x")
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        if len(found) > len(shown):
            axis.set_title(f"{len(shown)} of {counted(len(found), 'param')}", loc="left", fontsize="medium")
    return axis


def _beside(one: data.Importance) -> str:
    parts = [f"{one.share:.2f}"]
    if not math.isnan(one.correlation):
        word = "falls" if one.correlation < 0 else "grows"
        parts.append(f"{word} with it ({one.correlation:+.2f})" if abs(one.correlation) >= 0.2 else "no direction")
    if one.p_value > _SURE:
        parts.append(f"may be chance (p = {one.p_value:.2f})")
    return ", ".join(parts)
