"""How much each param has to do with a metric, over many runs. Pure: a frame in, values out.

The measure is the share of the variance of the metric's ranks that lies between the values of one param, less what
chance alone would put there: Kelley's epsilon squared ("An unbiased correlation ratio measure", Proceedings of the
National Academy of Sciences 21, 1935, 554-559) on ranks, so that a diverged run counts as the worst and not as
millions. Numbers are cut into bins of about equal counts. It is the main effect of functional ANOVA (F. Hutter, H. Hoos,
K. Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML 2014); what two params do only
together is not in it. The p-value is that of permuting the metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.store.names import among
from modelmgmt.tracking.scales import as_numbers, is_nothing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_PER_BIN = 5  # runs, at least, in a bin of a number
_MOST_BINS = 8


@dataclass(frozen=True, slots=True)
class Importance:
    """One param."""

    param: str
    share: float
    """Of the variance of the metric's ranks, 0 to 1."""
    p_value: float
    """How often metrics in any other order would give as much."""
    correlation: float
    """Spearman's, for a param of numbers: above 0 when the metric grows with it. NaN for others."""
    levels: int
    """Values of the param, or bins of numbers."""
    runs: int


def importance(
    frame: pd.DataFrame,
    metric: str,
    *,
    params: Sequence[str] | None = None,
    permutations: int = 999,
    rng: np.random.Generator | None = None,
) -> list[Importance]:
    """The params of a `runs.to_frame()`, the most important first. Params that never differ are left out.

    Runs whose metric is not a number count as lower than all others only when it is an infinity; NaN is left out. A param
    that a run lacks is a value of its own. Raises NotFoundError, InvalidValueError for fewer than four runs.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"params.a": [1, 2] * 6, "params.b": [1, 1, 2, 2] * 3, "metrics.acc": [.1, .9, .2, .8] * 3})
    >>> [(found.param, round(found.share, 2)) for found in importance(frame, "acc")]
    [('a', 0.78), ('b', 0.0)]
    """  # fmt: skip
    import numpy as np

    column = f"metrics.{metric}"
    if column not in frame.columns:
        known = among(metric, (str(name)[8:] for name in frame.columns if str(name).startswith("metrics.")))
        raise NotFoundError(f"No run has a metric {metric!r}; there are: {known}")
    values = frame[column].to_numpy(np.float64)
    there = ~np.isnan(values)
    if there.sum() < 4:
        raise InvalidValueError(
            f"The importance of params needs four runs with {metric!r}, and there are {there.sum()}."
        )
    ranks = _ranks(values[there])
    rng = rng or np.random.default_rng(0)
    shuffled = rng.permuted(np.tile(ranks, (permutations, 1)), axis=1)
    found = []
    for name in _chosen(frame, params):
        cells = frame[name].astype(object).to_numpy()[there]
        codes = _codes(cells)
        if codes.max() > 0:
            found.append(_importance(name.removeprefix("params."), cells, codes, ranks, shuffled))
    return sorted(found, key=lambda one: (-one.share, one.p_value, one.param))


def _importance(
    name: str, cells: NDArray[Any], codes: NDArray[Any], ranks: NDArray[Any], shuffled: NDArray[Any]
) -> Importance:
    import numpy as np

    share = float(_share(ranks[None, :], codes)[0])
    by_chance = _share(shuffled, codes)
    # One more on both sides: the order as it is belongs to the orders that were possible.
    p_value = (int((by_chance >= share - 1e-12).sum()) + 1) / (len(by_chance) + 1)
    numbers = as_numbers(cells)
    correlation = math.nan
    if numbers is not None:
        known = np.isfinite(numbers)
        if known.sum() > 2 and np.ptp(numbers[known]) > 0 and np.ptp(ranks[known]) > 0:
            correlation = float(np.corrcoef(_ranks(numbers[known]), _ranks(ranks[known]))[0, 1])
    return Importance(name, min(1.0, max(0.0, share)), p_value, correlation, int(codes.max()) + 1, len(ranks))


def _share(ranks: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Epsilon squared of each row of `ranks`, `(n_orders, n_runs)`."""
    import numpy as np

    count, levels = len(codes), int(codes.max()) + 1
    member = np.zeros((count, levels))
    member[np.arange(count), codes] = 1.0
    sizes = member.sum(axis=0)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    between = ((centred @ member) ** 2 / sizes).sum(axis=1)
    if count == levels:
        return np.zeros(len(ranks))  # every run has a value of its own: nothing can be told
    within = (total - between) / (count - levels)
    return np.where(total > 0, (between - (levels - 1) * within) / np.where(total > 0, total, 1.0), 0.0)


def _chosen(frame: pd.DataFrame, params: Sequence[str] | None) -> list[str]:
    known = [str(name) for name in frame.columns if str(name).startswith("params.")]
    if params is None:
        return known
    names = [name if name.startswith("params.") else f"params.{name}" for name in params]
    for name in names:
        if name not in known:
            there = among(name[7:], (column[7:] for column in known))
            raise NotFoundError(f"No run has the param {name[7:]!r}; there are: {there}")
    return names


def _codes(cells: NDArray[Any]) -> NDArray[np.int64]:
    """The level of each run, from 0: a bin of a number that has many values, else the value itself."""
    import numpy as np

    numbers = as_numbers(cells)
    bins = min(_MOST_BINS, len(cells) // _PER_BIN)
    if numbers is not None and len(np.unique(numbers[np.isfinite(numbers)])) > max(bins, 2):
        known = np.isfinite(numbers)
        edges = np.quantile(numbers[known], np.linspace(0, 1, max(bins, 2) + 1)[1:-1])
        levels = np.searchsorted(np.unique(edges), numbers, side="right")
        levels = np.where(known, levels, levels.max() + 1)
    else:
        texts = [f"{type(cell).__name__} {cell!r}" if not is_nothing(cell) else "" for cell in cells]
        levels = np.unique(np.array(texts), return_inverse=True)[1]
    return np.unique(levels, return_inverse=True)[1].astype(np.int64)


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + 1 + ends) / 2.0)[places]
