"""Few values per group, as seeds give them: means with intervals, tests, corrections. Pure: arrays in, values out.

numpy does the intervals and the corrections; the p-values of tests come from scipy, which is an extra.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from modelmgmt.errors import InvalidValueError, MissingExtraError
from modelmgmt.store.names import counted
from modelmgmt.versions.data.values import floats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

TestName = Literal["t", "wilcoxon"]
Correction = Literal["holm", "bh"]

FEW = 10
"""Values: intervals of the mean of fewer are too narrow."""
_BLOCK_VALUES = 1 << 22  # of resampled values at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the mean is, with this confidence. NaN at both ends when one value, or none, cannot say."""

    low: float
    high: float
    confidence: float

    @property
    def is_known(self) -> bool:
        return not math.isnan(self.low)


@dataclass(frozen=True, slots=True)
class Summary:
    """The values of one group. `missing` counts what was not logged or is not finite; the rest leaves that out."""

    count: int
    missing: int
    mean: float
    std: float
    """The sample's, with n - 1; NaN for one value."""
    median: float
    min: float
    max: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Difference:
    """One group less another."""

    count: int
    """Pairs, or values of both groups together."""
    mean: float
    interval: Interval
    p_value: float
    """Two-sided; NaN when it cannot be computed, and `note` says why."""
    test: str
    """paired t, Wilcoxon signed rank, Welch's t, Mann-Whitney U."""
    effect: float
    """Paired: Cohen's d_z, the mean difference over its standard deviation. Else Hedges' g."""
    note: str = ""


def summarise(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 9999, rng: np.random.Generator | None = None
) -> Summary:
    """Mean, spread and interval of `values`, `(n_values,)`; what is not finite is counted as missing.

    >>> summary = summarise([0.8, 0.9, float("nan")])
    >>> summary.count, summary.missing, round(summary.mean, 3)
    (2, 1, 0.85)
    """
    import numpy as np

    given = floats(values)
    finite = given[np.isfinite(given)]
    missing = len(given) - len(finite)
    interval = bootstrap_interval(finite, confidence=confidence, resamples=resamples, rng=rng)
    if not len(finite):
        return Summary(0, missing, *(math.nan,) * 5, interval)
    return Summary(
        len(finite), missing, float(finite.mean()), std(finite), float(np.median(finite)), float(finite.min()),
        float(finite.max()), interval,
    )  # fmt: skip


def caveat(counts: Iterable[int]) -> str:
    """What is to be known of bootstrap intervals of so few values; empty where they are many enough.

    Of 400 samples of a normal distribution, 95 % intervals held the true mean in 76 % with 3 values, 84 % with 5, 87 % with
    8, 91 % with 10 and 93 % with 20.

    >>> caveat([3, 12])
    'An interval from fewer than 10 runs is too narrow: from 3 runs, a 95 % interval misses the true mean 1 time in 4.'
    """
    if not any(1 < count < FEW for count in counts):
        return ""
    how = "from 3 runs, a 95 % interval misses the true mean 1 time in 4"
    return f"An interval from fewer than {FEW} runs is too narrow: {how}."


def std(values: Floats) -> float:
    """The sample's standard deviation, with n - 1; NaN for fewer than two values, and 0 when all are the same."""
    if len(values) < 2:
        return math.nan
    if (values == values[0]).all():
        return 0.0  # not the rounding error of their mean
    return float(values.std(ddof=1))


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 9999, rng: np.random.Generator | None = None
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean of `values`, `(n_values,)`, all finite.

    B. Efron, "Better bootstrap confidence intervals", Journal of the American Statistical Association 82 (1987),
    171-185. The interval of equal values is that value; one value or none has no interval. With fewer than about ten
    values any bootstrap interval is too narrow: read it as a picture of the spread. `rng` defaults to a seed of 0.

    >>> interval = bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> round(interval.low, 1), round(interval.high, 1)
    (2.2, 4.8)
    """
    import numpy as np

    if not 0 < confidence < 1:
        raise InvalidValueError(f"confidence={confidence!r} is not between 0 and 1: 0.95 is usual.")
    if resamples < 100:
        raise InvalidValueError(f"resamples={resamples!r} are too few for an interval: use 1000 or more.")
    given = floats(values)
    if len(given) < 2:
        return Interval(math.nan, math.nan, confidence)
    if (given == given[0]).all():
        return Interval(float(given[0]), float(given[0]), confidence)
    means = _resampled_means(given, resamples, rng or np.random.default_rng(0))
    low, high = np.quantile(means, _adjusted_levels(given, means, confidence))
    return Interval(float(low), float(high), confidence)


def _resampled_means(values: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    import numpy as np

    block = max(1, _BLOCK_VALUES // len(values))
    parts = []
    for start in range(0, resamples, block):
        picked = rng.integers(0, len(values), (min(block, resamples - start), len(values)))
        parts.append(values[picked].mean(axis=1))
    return np.concatenate(parts)


def _adjusted_levels(values: Floats, means: Floats, confidence: float) -> list[float]:
    """The quantiles to read off: shifted for bias, and for a spread that grows with the mean."""
    normal = NormalDist()
    mean = values.mean()
    below = ((means < mean).sum() + (means == mean).sum() / 2) / len(means)
    bias = normal.inv_cdf(min(max(below, 1 / len(means)), 1 - 1 / len(means)))
    # Leaving one out moves the mean against the value that is left out.
    moved = values - mean
    largest = abs(moved).max()
    if largest > 0:
        moved /= largest  # the skew has no unit, and powers of what is very small or large are no numbers
    spread = (moved**2).sum()
    skew = float((moved**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0
    levels = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(tail)
        level = normal.cdf(bias + shifted / (1 - skew * shifted))
        levels.append(min(max(level, 0.0), 1.0))
    return levels


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    test: TestName | None = "t",
    confidence: float = 0.95,
    resamples: int = 9999,
    rng: np.random.Generator | None = None,
) -> Difference:
    """`a` less `b`, `(n_pairs,)` each, value by value; a pair with a value that is not finite is left out.

    `"t"` is the paired t test; `"wilcoxon"` the signed-rank test (exact for few pairs without ties), which asks less of
    the values, and whose p cannot be below 2 ** (1 - n) for n pairs. None leaves the test out, and scipy.
    """
    import numpy as np

    first, second = floats(a), floats(b)
    if first.shape != second.shape:
        raise InvalidValueError(
            f"Pairs need as many values on both sides, and there are {len(first)} and {len(second)}."
        )
    whole = np.isfinite(first) & np.isfinite(second)
    gaps = first[whole] - second[whole]
    interval = bootstrap_interval(gaps, confidence=confidence, resamples=resamples, rng=rng)
    scale = float(np.abs([first[whole], second[whole]]).max()) if len(gaps) else 0.0
    p_value, note = (math.nan, "") if test is None else _paired_p(gaps, test, scale)
    if len(whole) > len(gaps):
        left_out = len(whole) - len(gaps)
        note = f"{note}{'; ' if note else ''}{counted(left_out, 'pair')} not whole"
    name = {"t": "paired t", "wilcoxon": "Wilcoxon signed rank", None: ""}[test]
    mean = float(gaps.mean()) if len(gaps) else math.nan
    spread = 0.0 if len(gaps) > 1 and _is_flat(gaps, scale) else std(gaps)
    return Difference(len(gaps), mean, interval, p_value, name, _ratio(mean, spread), note)


def _paired_p(gaps: Floats, test: TestName, scale: float) -> tuple[float, str]:
    _require_scipy()
    if len(gaps) < 2:
        return math.nan, "two pairs or more are needed"
    if not gaps.any():
        return 1.0, "no pair differs"
    if test == "t":
        if _is_flat(gaps, scale):
            return math.nan, "every pair differs by the same: there is no spread to test against"
        return _t_p(float(gaps.mean()), std(gaps) / math.sqrt(len(gaps)), len(gaps) - 1), ""
    from scipy import stats

    least = 2.0 ** (1 - len(gaps))
    note = f"p cannot be below {least:.2g} with {len(gaps)} pairs" if least > 0.05 else ""
    return float(stats.wilcoxon(gaps).pvalue), note


def _t_p(mean: float, error: float, freedom: float) -> float:
    """Two-sided, of Student's distribution."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(mean) / error))


def _is_flat(values: Floats, scale: float) -> bool:
    """Whether values differ by no more than the rounding of numbers of that size."""
    import numpy as np

    return bool(np.ptp(values) <= 8 * np.finfo(np.float64).eps * scale)


def unpaired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    test: TestName | None = "t",
    confidence: float = 0.95,
    resamples: int = 9999,
    rng: np.random.Generator | None = None,
) -> Difference:
    """The mean of `a` less that of `b`, `(n_a,)` and `(n_b,)`; what is not finite is left out.

    `"t"` is Welch's test, which lets the spreads differ; `"wilcoxon"` the rank-sum test of Mann and Whitney. The
    interval is that of the difference of the means of both groups, each resampled on its own (percentiles).
    """
    import numpy as np

    first, second = floats(a), floats(b)
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    p_value, note = (math.nan, "") if test is None else _unpaired_p(first, second, test)
    rng = rng or np.random.default_rng(0)
    interval = Interval(math.nan, math.nan, confidence)
    if min(len(first), len(second)) > 1:
        gaps = _resampled_means(first, resamples, rng) - _resampled_means(second, resamples, rng)
        low, high = np.quantile(gaps, [(1 - confidence) / 2, (1 + confidence) / 2])
        interval = Interval(float(low), float(high), confidence)
    mean = float(first.mean() - second.mean()) if min(len(first), len(second)) else math.nan
    name = {"t": "Welch's t", "wilcoxon": "Mann-Whitney U", None: ""}[test]
    return Difference(len(first) + len(second), mean, interval, p_value, name, _hedges(first, second), note)


def _unpaired_p(first: Floats, second: Floats, test: TestName) -> tuple[float, str]:
    _require_scipy()
    counts = (len(first), len(second))
    if min(counts) < 2:
        return math.nan, "two values or more are needed in each group"
    if std(first) == 0 and std(second) == 0:
        same = first[0] == second[0]
        return (1.0, "all values are the same") if same else (math.nan, "there is no spread to test against")
    if test == "t":
        parts = std(first) ** 2 / counts[0], std(second) ** 2 / counts[1]
        freedom = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
        return _t_p(float(first.mean() - second.mean()), math.sqrt(sum(parts)), freedom), ""
    from scipy import stats

    return float(stats.mannwhitneyu(first, second, alternative="two-sided").pvalue), ""


def _hedges(first: Floats, second: Floats) -> float:
    """L. V. Hedges, Journal of Educational Statistics 6 (1981): the difference over the pooled spread, less its bias."""
    free = len(first) + len(second) - 2
    if min(len(first), len(second)) < 2:
        return math.nan
    pooled = math.sqrt(((len(first) - 1) * std(first) ** 2 + (len(second) - 1) * std(second) ** 2) / free)
    return _ratio(float(first.mean() - second.mean()), pooled) * (1 - 3 / (4 * free - 1))


def _ratio(mean: float, spread: float) -> float:
    if math.isnan(mean) or math.isnan(spread):
        return math.nan
    if spread == 0:
        return 0.0 if mean == 0 else math.copysign(math.inf, mean)
    return mean / spread


def corrected(p_values: Sequence[float], method: Correction | None) -> list[float]:
    """The p-values as they are when one has looked so many times; NaN stays NaN and is not counted.

    `"holm"` bounds the chance of one false finding or more: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    `"bh"` bounds the share of false ones among the findings: Y. Benjamini and Y. Hochberg, Journal of the Royal
    Statistical Society B 57 (1995), 289-300.

    >>> [round(p, 3) for p in corrected([0.01, 0.04, 0.03], "holm")]
    [0.03, 0.06, 0.06]
    >>> [round(p, 3) for p in corrected([0.01, 0.04, 0.03], "bh")]
    [0.03, 0.04, 0.04]
    """
    if method not in ("holm", "bh", None):
        raise InvalidValueError(f"correction is 'holm', 'bh' or None, and {method!r} was given.")
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    result = list(p_values)
    if method == "holm":
        highest = 0.0
        for rank, (p, place) in enumerate(known):
            highest = max(highest, min(1.0, p * (len(known) - rank)))
            result[place] = highest
    elif method == "bh":
        lowest = 1.0
        for rank, (p, place) in reversed(list(enumerate(known, start=1))):
            lowest = min(lowest, p * len(known) / rank)
            result[place] = lowest
    return result


def _require_scipy() -> None:
    try:
        import scipy.stats  # noqa: F401 - asked for here, so that a missing one is said once and clearly
    except ImportError as error:
        message = "A test needs scipy: pip install 'modelmgmt[compare]', or pass test=None for intervals alone."
        raise MissingExtraError(message) from error
