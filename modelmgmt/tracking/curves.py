"""Curve data: what a plot of a metric shows, as arrays. Pure: arrays in, values out; it reads and writes no disk.

The drawing itself is in `modelmgmt.view.plots`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from modelmgmt.errors import InvalidValueError
from modelmgmt.versions.data.values import floats

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

XAxis = Literal["step", "time", "relative_time_s"]
X_AXES: tuple[XAxis, ...] = ("step", "time", "relative_time_s")

# Long enough that the loop over blocks is short, small enough that the block's matrix stays in the cache.
_BLOCK = 256


class RunRow(Protocol):
    """What tables, plots and reports need to know of one run."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def experiment(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def duration_s(self) -> float | None: ...


class RunCollection(Protocol):
    """What tables, plots and reports need of a collection of runs.

    `to_frame()` is one row per run, indexed by run id: `name, experiment, status, started_at, duration_s, group,
    parent`, then `params.KEY`, `metrics.KEY` (the last value) and `tags.KEY`. `history(key)` is one row per logged
    point: `run, name, step, value, time`, sorted by run, then step.
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[RunRow]: ...
    def to_frame(self) -> pd.DataFrame: ...
    def history(self, key: str, /) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One run's line: three arrays of shape (points,).

    `x` is steps (int64), times (datetime64[us], UTC) or seconds (float64), never descending. `raw` is what was
    logged. `y` is its smoothed value, NaN wherever `raw` is not a finite number.
    """

    run: str
    label: str
    x: NDArray[Any]
    y: Floats
    raw: Floats

    def __len__(self) -> int:
        return len(self.x)


def curves(history: pd.DataFrame, *, x: XAxis = "step", smoothing: float = 0.0) -> list[Curve]:
    """Each run of a history frame as a `Curve`, in the frame's order of runs.

    `history` has the columns `run, name, step, value, time`. `x` is what to lay the points along: `"step"`, `"time"`
    (UTC) or `"relative_time_s"` (seconds since that run's first point). Points that share a step are all kept.
    A label is the run's name, with the end of its id added when two runs have the same name.

    Raises InvalidValueError for another `x`, or a `smoothing` outside 0 <= smoothing < 1.

    >>> import pandas as pd
    >>> when = pd.to_datetime(["2026-01-01 00:00:00", "2026-01-01 00:00:30"], utc=True)
    >>> points = {"run": "r1", "name": "calm-otter-17", "step": [0, 1], "value": [1.0, 3.0], "time": when}
    >>> [curve] = curves(pd.DataFrame(points), x="relative_time_s", smoothing=0.5)
    >>> curve.label, curve.x.tolist(), curve.y.round(3).tolist()
    ('calm-otter-17', [0.0, 30.0], [1.0, 2.333])
    """
    import numpy as np
    import pandas as pd

    if x not in X_AXES:
        raise InvalidValueError(f"x={x!r} is no axis for a curve: use one of {', '.join(map(repr, X_AXES))}.")
    _check_smoothing(smoothing)
    if len(history) == 0:
        return []
    codes, runs = pd.factorize(history["run"])
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    names = [str(name) for name in history["name"].iloc[order[starts]]]
    axis = _axis_values(history, x)[order]
    values = history["value"].to_numpy(dtype=np.float64, na_value=np.nan)[order]
    bounds = [*starts.tolist(), len(order)]
    return [
        _curve(
            str(run), label, axis[start:end], values[start:end], relative=x == "relative_time_s", smoothing=smoothing
        )
        for run, label, start, end in zip(runs, _labels(runs, names), bounds[:-1], bounds[1:], strict=True)
    ]


def smooth(values: ArrayLike, smoothing: float) -> Floats:
    """The debiased exponential moving average of `values`, shape (n,), as a new array of shape (n,).

    The average starts at zero, `m[t] = smoothing * m[t-1] + (1 - smoothing) * v[t]`, and is divided by
    `1 - smoothing ** t`, so that the first points are not drawn towards zero: the bias correction of Adam (Kingma and
    Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 3), as training curves commonly use it. NaN
    and infinities are NaN in the result and do not touch the average; `t` counts the finite values only.

    Raises InvalidValueError unless 0 <= smoothing < 1. A million points take well under a second.

    >>> smooth([1.0, float("nan"), 3.0], 0.5).round(3).tolist()
    [1.0, nan, 2.333]
    """
    import numpy as np

    _check_smoothing(smoothing)
    raw = floats(values)
    finite = np.isfinite(raw)
    result = np.where(finite, raw, np.nan)
    if smoothing > 0.0 and finite.any():
        kept = raw[finite]
        # Scaled first: values near the largest float would overflow in the division below.
        scale = float(np.abs(kept).max()) or 1.0
        # expm1, since 1 - smoothing ** t loses its digits when smoothing is close to 1.
        weight = -np.expm1(np.arange(1, len(kept) + 1) * np.log(smoothing))
        result[finite] = np.clip(_moving_average(kept / scale, smoothing) / weight, -1.0, 1.0) * scale
    return result


def thin(curve: Curve, max_points: int, *, log_x: bool = False) -> Curve:
    """The curve with at most `max_points` points, among them every extreme that an eye would look for.

    The points are cut into buckets, and each keeps the places of its lowest and highest finite `raw` value, so that
    a spike one point wide survives; the first and the last point stay too. `log_x=True` makes the buckets grow, for
    a logarithmic axis. A curve that is short enough is returned as it is.

    Raises InvalidValueError if `max_points` is below 4.
    """
    import numpy as np

    if max_points < 4:
        raise InvalidValueError(f"max_points={max_points} is too few to draw a curve: use 4 or more.")
    count = len(curve)
    if count <= max_points:
        return curve
    buckets = (max_points - 2) // 2
    edges = np.geomspace(1, count + 1, buckets + 1) - 1 if log_x else np.linspace(0, count, buckets + 1)
    starts = np.unique(edges[:-1].astype(np.int64))
    extremes = [_lowest(curve.raw, starts), _lowest(-curve.raw, starts)]
    keep = np.unique(np.concatenate([np.array([0, count - 1]), *extremes]))
    return Curve(curve.run, curve.label, curve.x[keep], curve.y[keep], curve.raw[keep])


def _check_smoothing(smoothing: float) -> None:
    if not 0.0 <= smoothing < 1.0:
        raise InvalidValueError(
            f"smoothing={smoothing!r} is not between 0 and 1: use 0 for none, 0.9 for much, and less than 1."
        )


def _axis_values(history: pd.DataFrame, x: XAxis) -> NDArray[Any]:
    import numpy as np
    import pandas as pd

    if x == "step":
        return cast("Indices", history["step"].to_numpy(dtype=np.int64))
    times = pd.DatetimeIndex(pd.to_datetime(history["time"], utc=True))
    return cast("NDArray[Any]", times.tz_localize(None).to_numpy().astype("datetime64[us]"))


def _curve(run: str, label: str, x: NDArray[Any], raw: Floats, *, relative: bool, smoothing: float) -> Curve:
    """One run's points, put in the order of the axis: a resumed run may log an old step at a later time."""
    import numpy as np

    if np.any(x[1:] < x[:-1]):
        order = np.argsort(x, kind="stable")
        x, raw = x[order], raw[order]
    if relative:
        x = (x - x[0]) / np.timedelta64(1, "s")
    return Curve(run, label, x, smooth(raw, smoothing), raw)


def _labels(runs: Any, names: list[str]) -> list[str]:
    taken = Counter(names)
    return [name if taken[name] == 1 else f"{name} ({str(run)[-4:]})" for run, name in zip(runs, names, strict=True)]


def _moving_average(values: Floats, smoothing: float) -> Floats:
    """The recursion from zero, a block at a time: inside a block it is one product with a triangular matrix."""
    import numpy as np

    size = min(_BLOCK, len(values))
    lag = np.arange(size)[:, None] - np.arange(size)[None, :]
    matrix = np.where(lag >= 0, (1.0 - smoothing) * smoothing ** np.maximum(lag, 0), 0.0)
    padded = np.zeros(-(-len(values) // size) * size)
    padded[: len(values)] = values
    blocks = padded.reshape(-1, size) @ matrix.T
    decay = smoothing ** np.arange(1, size + 1)
    carried = 0.0
    for row in range(len(blocks)):
        blocks[row] += decay * carried
        carried = blocks[row, -1]
    return blocks.reshape(-1)[: len(values)]


def _lowest(values: Floats, starts: Indices) -> Indices:
    """The index of the lowest finite value in each bucket; a bucket without one gives its first index."""
    import numpy as np

    ranked = np.where(np.isfinite(values), values, np.inf)
    bucket = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
    hits = np.flatnonzero(ranked == np.minimum.reduceat(ranked, starts)[bucket])
    _, first = np.unique(bucket[hits], return_index=True)
    return hits[first]
