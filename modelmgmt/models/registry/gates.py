"""What a policy asks for, set against what is known of a version. Pure: evidence in, conditions out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError, MissingExtraError
from modelmgmt.models.registry.policy import Bounds, Rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a policy asks for, and what was found."""

    what: str
    is_met: bool
    found: str

    def __str__(self) -> str:
        return f"{self.what}: {self.found}"


@dataclass(frozen=True, slots=True)
class Losses:
    """One loss per row of a dataset, `(n_rows,)`; smaller is better."""

    values: NDArray[np.float64]
    dataset: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a version, and of the one in place."""

    results: Mapping[str, tuple[bool | None, str]]
    """By name: whether it passed, and what it said."""
    metrics: Mapping[str, float]
    losses: Mapping[str, Losses]
    approvers: frozenset[str]
    author: frozenset[str]
    """Who registered the version, and who ran its run."""
    in_place: int | None = None
    losses_in_place: Mapping[str, Losses] | None = None
    signature_breaks: Sequence[str] = ()
    """What a caller of the version in place would have to change."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the interval around it."""

    mean: float
    low: float
    high: float


def conditions(rule: Rule, evidence: Evidence) -> list[Condition]:
    """Every condition of a rule, met or not."""
    return [
        *(_result(name, evidence) for name in rule.results),
        *(_metric(key, bounds, evidence.metrics) for key, bounds in rule.metrics.items()),
        *(_no_worse(name, margin, rule.confidence, evidence) for name, margin in rule.no_worse.items()),
        *_signature(rule, evidence),
        *_approvals(rule, evidence),
    ]


def paired_improvement(before: NDArray[np.float64], after: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """How much smaller the losses became, row by row: the mean and its t interval (Student, 1908).

    `before` and `after` are `(n_rows,)`, of the same rows in the same order; what varies from row to row cancels out,
    which is why two models on one dataset can be told apart where two bare means can not. Needs scipy.

    >>> import numpy as np
    >>> before = np.array([1.0, 2.0, 3.0, 4.0])
    >>> found = paired_improvement(before, before - [0.5, 0.3, 0.4, 0.4])
    >>> [round(value, 3) for value in (found.mean, found.low, found.high)]
    [0.4, 0.27, 0.53]
    """
    import numpy as np

    if before.shape != after.shape or before.ndim != 1 or len(before) < 2:
        raise InvalidValueError(
            f"Paired losses are of the same rows, two or more: {len(before)} and {len(after)} given."
        )
    differences = np.asarray(before, float) - np.asarray(after, float)
    count = len(differences)
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    reach = error * _t_quantile((1 + confidence) / 2, count - 1)
    return Interval(mean, mean - reach, mean + reach)


def _t_quantile(probability: float, freedom: int) -> float:
    try:
        from scipy.special import stdtrit
    except ImportError as error:
        raise MissingExtraError("An interval needs scipy: pip install 'modelmgmt[compare]'.") from error
    return float(stdtrit(freedom, probability))


def _result(name: str, evidence: Evidence) -> Condition:
    what = f"result {name!r}"
    if name not in evidence.results:
        return Condition(what, is_met=False, found="it was not logged")
    passed, detail = evidence.results[name]
    if passed is None:
        return Condition(what, is_met=False, found="losses are under that name, not a result")
    return Condition(what, passed, ("passed" if passed else "failed") + (f" ({detail})" if detail else ""))


def _metric(key: str, bounds: Bounds, metrics: Mapping[str, float]) -> Condition:
    asked = " and ".join(
        f"at {word} {value:g}" for word, value in (("least", bounds.least), ("most", bounds.most)) if value is not None
    )
    what = f"metric {key!r} {asked}"
    if key not in metrics:
        known = ", ".join(sorted(metrics)[:8]) or "none"
        return Condition(what, is_met=False, found=f"the run has no such metric; it has: {known}")
    value = metrics[key]
    is_met = (bounds.least is None or value >= bounds.least) and (bounds.most is None or value <= bounds.most)
    return Condition(what, is_met and not math.isnan(value), f"it is {value:g}")


def _no_worse(name: str, margin: float, confidence: float, evidence: Evidence) -> Condition:
    what = f"losses {name!r} at most {margin:g} worse than in place"
    mine = evidence.losses.get(name)
    if mine is None:
        return Condition(what, is_met=False, found="no losses of that name were logged for the version")
    if evidence.in_place is None:
        return Condition(what, is_met=True, found="no version is in place to compare with")
    theirs = (evidence.losses_in_place or {}).get(name)
    if theirs is None:
        found = f"version {evidence.in_place}, which is in place, has no losses of that name"
        return Condition(what, is_met=False, found=found)
    if mine.dataset != theirs.dataset or len(mine.values) != len(theirs.values):
        found = (
            f"they are not of the same rows: {len(mine.values):,} of {mine.dataset} here, {len(theirs.values):,} of "
            f"{theirs.dataset} for version {evidence.in_place}"
        )
        return Condition(what, is_met=False, found=found)
    if len(mine.values) < 2:
        return Condition(what, is_met=False, found="one row tells nothing")
    change = paired_improvement(theirs.values, mine.values, confidence)
    moved, mean, low, high = "fell", change.mean, change.low, change.high
    if mean < 0:
        moved, mean, low, high = "rose", -mean, -high, -low
    found = (
        f"the mean loss {moved} by {mean:.4g} over {len(mine.values):,} rows, {confidence:.0%} interval "
        f"{low:.4g} to {high:.4g}, against version {evidence.in_place}"
    )
    return Condition(what, change.low >= -margin, found)


def _signature(rule: Rule, evidence: Evidence) -> Iterator[Condition]:
    if rule.signature == "compatible":
        found = "; ".join(evidence.signature_breaks)
        yield Condition("signature compatible", not found, found or "nothing that callers rely on has changed")


def _approvals(rule: Rule, evidence: Evidence) -> Iterator[Condition]:
    if rule.approvals:
        others = sorted(evidence.approvers - evidence.author)
        own = sorted(evidence.approvers & evidence.author)
        found = f"by {', '.join(others)}" if others else "by nobody"
        found += f"; {', '.join(own)} made the version, and does not count" if own else ""
        what = f"{rule.approvals} approval{'s' if rule.approvals > 1 else ''} by others than the author"
        yield Condition(what, len(others) >= rule.approvals, found)
