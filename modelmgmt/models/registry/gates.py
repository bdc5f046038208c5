"""What a policy asks for, set against what is known of a version. Pure: evidence in, conditions out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError, MissingExtraError
from modelmgmt.models.registry.policy import Bounds, Rule
from modelmgmt.store.names import among, counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a policy asks for, and a sentence on what was found."""

    what: str
    is_met: bool
    found: str

    def __str__(self) -> str:
        return self.found


@dataclass(frozen=True, slots=True)
class Losses:
    """One loss per row of a dataset, `(n_rows,)`; smaller is better."""

    values: NDArray[np.float64]
    dataset: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a version, and of the current version of the stage."""

    results: Mapping[str, tuple[bool | None, str]]
    """By name: whether it passed, and what it said."""
    metrics: Mapping[str, float]
    losses: Mapping[str, Losses]
    approvers: frozenset[str]
    author: frozenset[str]
    """Who registered the version, and who ran its run."""
    current: int | None = None
    current_losses: Mapping[str, Losses] | None = None
    signature_breaks: Sequence[str] = ()
    """What a caller of the current version would have to change."""
    loads: Condition | None = None
    """Whether it loads here; None where that is not asked."""


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
        *([] if evidence.loads is None else [evidence.loads]),
    ]


def paired_improvement(before: NDArray[np.float64], after: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """How much smaller the losses became, row by row: the mean and its t interval (Student, 1908).

    `before` and `after` are `(n_rows,)`, of the same rows in the same order; what varies from row to row cancels out,
    which is why two models on one dataset can be told apart where two bare means cannot. Needs scipy.

    >>> import numpy as np
    >>> before = np.array([1.0, 2.0, 3.0, 4.0])
    >>> found = paired_improvement(before, before - [0.5, 0.3, 0.4, 0.4])
    >>> [round(value, 3) for value in (found.mean, found.low, found.high)]
    [0.4, 0.27, 0.53]
    """
    import numpy as np

    if before.shape != after.shape or before.ndim != 1 or len(before) < 2:
        raise InvalidValueError(
            f"Paired losses are of the same rows, two or more, and {len(before)} and {len(after)} were given."
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
    what = f"{name!r} passed"
    if name not in evidence.results:
        found = f"no result {name!r} was logged for this version; log it with log_result"
        return Condition(what, is_met=False, found=found)
    passed, detail = evidence.results[name]
    if passed is None:
        found = f"{name!r} has losses, and no result that passed or failed; log one with log_result"
        return Condition(what, is_met=False, found=found)
    return Condition(what, passed, f"{name!r} {'passed' if passed else 'failed'}" + (f": {detail}" if detail else ""))


def _metric(key: str, bounds: Bounds, metrics: Mapping[str, float]) -> Condition:
    pairs = (("least", bounds.least), ("most", bounds.most))
    asked = " and ".join(f"at {word} {_exact(value)}" for word, value in pairs if value is not None)
    what = f"metric {key!r} {asked}"
    if key not in metrics:
        return Condition(what, is_met=False, found=f"the run has no metric {key!r}; it has: {among(key, metrics, 8)}")
    value = metrics[key]
    is_met = (bounds.least is None or value >= bounds.least) and (bounds.most is None or value <= bounds.most)
    found = f"{key!r} is {_rounded(value, bounds.least, bounds.most)}; {asked} is required"
    return Condition(what, is_met and not math.isnan(value), found)


def _no_worse(name: str, margin: float, confidence: float, evidence: Evidence) -> Condition:
    def condition(is_met: bool, found: str) -> Condition:
        return Condition(f"mean loss {name!r} at most {_exact(margin)} worse than the current version", is_met, found)

    mine, current = evidence.losses.get(name), evidence.current
    if mine is None:
        return condition(False, f"no losses {name!r} were logged for this version; log them with log_losses")
    if current is None:
        return condition(True, f"there is no current version to compare {name!r} with")
    theirs = (evidence.current_losses or {}).get(name)
    if theirs is None:
        return condition(
            False, f"the current version {current} has no losses {name!r}; log them for it with log_losses"
        )
    count = len(mine.values)
    if mine.dataset != theirs.dataset or count != len(theirs.values):
        here, there = (f"{counted(len(each.values), 'row')} of {_short(each.dataset)}" for each in (mine, theirs))
        found = (
            f"{name!r} cannot be compared: its losses are of {here}, those of the current version {current} of {there}; "
            "log both for the same rows"
        )
        return condition(False, found)
    if count < 2:
        return condition(False, f"{name!r} has the loss of one row, and a comparison needs two or more")
    change = paired_improvement(theirs.values, mine.values, confidence)
    least, most = -change.high, -change.low  # how much worse
    if most <= 0:
        found = f"is at least {_rounded(-most, 0)} better than" if most else "is not worse than"
    elif least > margin:
        found = f"is at least {_rounded(least, margin)} worse than"
    else:
        found = f"could be up to {_rounded(most, margin)} worse than"
    means = (
        f"mean loss {_rounded(float(mine.values.mean()))}, version {current} {_rounded(float(theirs.values.mean()))}"
    )
    few = ", too few to rely on the interval" if count < 10 else ""
    found = (
        f"{name!r} {found} the current version ({100 * confidence:g} % interval); {_exact(margin)} is allowed "
        f"({means}; {counted(count, 'row')}{few})"
    )
    return condition(most <= margin, found)


def _signature(rule: Rule, evidence: Evidence) -> Iterator[Condition]:
    if rule.signature == "compatible":
        if evidence.signature_breaks:
            found = f"callers of the current version would break: {'; '.join(evidence.signature_breaks)}"
        elif evidence.current is None:
            found = "there is no current version whose callers could break"
        else:
            found = "callers of the current version need no change"
        yield Condition("signature compatible with the current version", not evidence.signature_breaks, found)


def _approvals(rule: Rule, evidence: Evidence) -> Iterator[Condition]:
    if rule.approvals:
        others = sorted(evidence.approvers - evidence.author)
        own = sorted(evidence.approvers & evidence.author)
        noun = f"approval{'s' if rule.approvals > 1 else ''}"
        found = f"{len(others)} of {rule.approvals} required approvals" + (
            f", by {', '.join(others)}" if others else ""
        )
        found += f"; {', '.join(own)} made this version, and does not count" if own else ""
        if len(others) < rule.approvals:
            found += "; others than the author approve with approve(stage, reason)"
        what = f"{rule.approvals} {noun} by others than the author"
        yield Condition(what, len(others) >= rule.approvals, found)


def _exact(value: float) -> str:
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def _rounded(value: float, *bounds: float | None) -> str:
    """With four digits, or with as many as it takes to be on the same side of the bounds as the value itself."""
    for digits in range(4, 18):
        text = f"{value:.{digits}g}"
        shown = float(text)
        if all(
            (shown < bound, shown > bound) == (value < bound, value > bound) for bound in bounds if bound is not None
        ):
            break
    return text


def _short(dataset: str | None) -> str:
    """The name of rows; of a fingerprint as much as tells it from others."""
    return "no data set" if dataset is None else dataset[:16] if len(dataset) == 64 else dataset
