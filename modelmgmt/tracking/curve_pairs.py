"""Two curves of one metric: how far apart they are, and where they cross. Pure: arrays in, values out."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.store.chunk import Points

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LISTED = 20


@dataclass(frozen=True, slots=True)
class CurvePair:
    """A metric in two runs, `a` and `b`. Steps are those of the runs; what is not finite is left out.

    Between its steps a curve is a straight line. Gaps and crossings are over the steps that both curves span, and NaN or
    empty where they span none together.
    """

    key: str
    a: str
    b: str
    """The ids of the runs."""
    points: tuple[int, int]
    last: tuple[float, float]
    min: tuple[float, float]
    min_step: tuple[int | None, int | None]
    max: tuple[float, float]
    max_step: tuple[int | None, int | None]
    span: tuple[float, float] | None
    """The first and the last step that both have."""
    mean_gap: float
    """The mean of |a - b|, over the steps."""
    max_gap: float
    max_gap_step: float | None
    crossings: tuple[float, ...]
    """The steps at which the higher curve becomes the lower one."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; of many crossings, how many there are, and the first ones."""
        values = asdict(self)
        return {**values, "crossings": list(self.crossings[:_LISTED]), "crossing_count": len(self.crossings)}


def compare_curves(key: str, a: tuple[str, Points], b: tuple[str, Points]) -> CurvePair:
    """Two series of one metric, each with the id of its run.

    >>> import numpy as np
    >>> steps, times = np.arange(3), np.zeros(3, np.int64)
    >>> pair = compare_curves("loss", ("a", Points(steps, 1.0 - steps, times)), ("b", Points(steps, steps - 1.0, times)))
    >>> pair.crossings, pair.max_gap, pair.mean_gap
    ((1.0,), 2.0, 1.0)
    """
    first, second = _finite(a[1]), _finite(b[1])
    lows, highs = (_extreme(first, low=True), _extreme(second, low=True)), (_extreme(first), _extreme(second))
    shared = _shared(first, second)
    return CurvePair(
        key=key,
        a=a[0],
        b=b[0],
        points=(len(a[1].steps), len(b[1].steps)),
        last=(_last(a[1]), _last(b[1])),
        min=(lows[0][0], lows[1][0]),
        min_step=(lows[0][1], lows[1][1]),
        max=(highs[0][0], highs[1][0]),
        max_step=(highs[0][1], highs[1][1]),
        span=None if shared is None else (float(shared[0][0]), float(shared[0][-1])),
        **_gaps(shared),
    )


def _gaps(shared: tuple[Floats, Floats] | None) -> dict[str, Any]:
    import numpy as np

    if shared is None:
        return {"mean_gap": math.nan, "max_gap": math.nan, "max_gap_step": None, "crossings": ()}
    steps, gap = shared
    size = np.abs(gap)
    widest = int(size.argmax())
    return {
        "mean_gap": _mean_size(steps, gap),
        "max_gap": float(size[widest]),
        "max_gap_step": float(steps[widest]),
        "crossings": tuple(_crossings(steps, gap).tolist()),
    }


def _finite(points: Points) -> tuple[Floats, Floats]:
    """Steps and values, each step once: the later of two points at one step."""
    import numpy as np

    solid = np.isfinite(points.values)
    steps, values = points.steps[solid].astype(np.float64), points.values[solid]
    last = np.append(steps[1:] != steps[:-1], True) if len(steps) else np.empty(0, bool)
    return steps[last], values[last]


def _shared(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> tuple[Floats, Floats] | None:
    """The steps of either curve where both are, and a - b there."""
    import numpy as np

    if not len(a[0]) or not len(b[0]):
        return None
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    if low > high:
        return None
    steps = a[0] if np.array_equal(a[0], b[0]) else np.union1d(a[0], b[0])
    steps = steps[(steps >= low) & (steps <= high)]
    return steps, np.interp(steps, *a) - np.interp(steps, *b)


def _mean_size(steps: Floats, gap: Floats) -> float:
    """The area between the curves over the length, exact also where they cross between two steps."""
    import numpy as np

    if len(steps) == 1:
        return float(abs(gap[0]))
    left, right = gap[:-1], gap[1:]
    size = np.abs(left) + np.abs(right)
    crossed = left * right < 0
    # Two triangles instead of a trapezium.
    area = np.where(crossed, (left**2 + right**2) / np.where(size > 0, size, 1.0), size) / 2
    width = np.diff(steps)
    return float((area * width).sum() / width.sum())


def _crossings(steps: Floats, gap: Floats) -> Floats:
    import numpy as np

    apart = np.flatnonzero(gap)
    left, right = apart[:-1], apart[1:]
    here = np.sign(gap[left]) != np.sign(gap[right])
    left, right = left[here], right[here]
    share = gap[left] / (gap[left] - gap[right])
    crossing: Floats = steps[left] + share * (steps[right] - steps[left])
    # Where they run as one for a while, the first step of that is where they meet.
    touching = right - left > 1
    crossing[touching] = steps[left[touching] + 1]
    return crossing


def _last(points: Points) -> float:
    return float(points.values[-1]) if len(points.values) else math.nan


def _extreme(curve: tuple[Floats, Floats], *, low: bool = False) -> tuple[float, int | None]:
    if not len(curve[1]):
        return math.nan, None
    place = int(curve[1].argmin() if low else curve[1].argmax())
    return float(curve[1][place]), int(curve[0][place])
