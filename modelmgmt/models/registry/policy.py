"""A model's policy: for each stage, what must hold before a version may enter it. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any, Literal, get_args

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.store.names import check_name
from modelmgmt.store.rows import from_json

PRODUCTION = "production"
"""The stage whose versions must load unless the policy says otherwise."""

SignatureRule = Literal["any", "compatible"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a metric of the version's run must be: at least, at most, both included; None for no bound."""

    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold before a version may enter one stage."""

    results: tuple[str, ...] = ()
    """Scans and tests that must have been logged, and passed."""
    metrics: Mapping[str, Bounds] = field(default_factory=dict)
    no_worse: Mapping[str, float] = field(default_factory=dict)
    """Losses by name -> margin: by how much the mean loss may be worse than that of the current version."""
    confidence: float = 0.95
    """Of the interval that is set against the margins."""
    signature: SignatureRule = "any"
    approvals: int = 0
    """By how many people other than the author."""
    loadable: bool | None = None
    """Whether the machine that promotes must load the version; None is yes for `production`, and no for other stages."""

    def asks_to_load(self, stage: str) -> bool:
        """Whether it asks for that, as the rule of this stage."""
        return stage == PRODUCTION if self.loadable is None else self.loadable

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "results": list(self.results)}


Policy = Mapping[str, Rule]
"""By stage; one that is missing asks for nothing, but that of `production` for a version that loads."""


_SHAPE = {
    "results": [str],
    "metrics": {str: {"least": (float, None), "most": (float, None)}},
    "no_worse": {str: float},
    "confidence": float,
    "signature": str,
    "approvals": int,
    "loadable": (bool, None),
}


def encode(policy: Policy) -> str:
    """JSON, as the table keeps it."""
    return json.dumps({stage: rule.to_dict() for stage, rule in policy.items()}, ensure_ascii=False, sort_keys=True)


def decode(text: str) -> dict[str, Rule]:
    """What `encode` wrote. Raises CorruptDataError."""
    return {stage: _rule(content) for stage, content in from_json("models.policy", text, {str: _SHAPE}).items()}


def _rule(content: Mapping[str, Any]) -> Rule:
    return Rule(
        results=tuple(content["results"]),
        metrics={key: Bounds(**bounds) for key, bounds in content["metrics"].items()},
        no_worse=dict(content["no_worse"]),
        confidence=content["confidence"],
        signature=content["signature"],
        approvals=content["approvals"],
        loadable=content.get("loadable"),
    )


def checked_rule(
    *,
    results: Sequence[str],
    metrics: Mapping[str, tuple[float | None, float | None]],
    no_worse: Mapping[str, float],
    confidence: float,
    signature: str,
    approvals: int,
    loadable: bool | None = None,
) -> Rule:
    """A rule as a caller describes it. Raises InvalidTypeError, InvalidValueError, InvalidNameError.

    >>> options = {"no_worse": {}, "confidence": 0.95, "signature": "any", "approvals": 1}
    >>> checked_rule(results=["scan"], metrics={"acc": (0.9, None)}, **options).metrics["acc"]
    Bounds(least=0.9, most=None)
    """
    if isinstance(results, str) or not isinstance(results, Sequence):
        raise InvalidTypeError(f"results is a list of names, and {type(results).__name__} was given.")
    if signature not in get_args(SignatureRule):
        raise InvalidValueError(f"signature is 'any' or 'compatible', and {signature!r} was given.")
    if type(approvals) is not int or not 0 <= approvals <= 100:
        raise InvalidValueError(f"approvals is a count of people, and {approvals!r} was given.")
    if loadable is not None and not isinstance(loadable, bool):
        raise InvalidTypeError(f"loadable is True, False or None, and {loadable!r} was given.")
    if not 0.5 <= _number(confidence, "confidence") < 1:
        raise InvalidValueError(f"confidence is 0.5 or more and below 1, and {confidence!r} was given.")
    return Rule(
        results=tuple(dict.fromkeys(check_name(name, "result") for name in results)),
        metrics={check_name(key, "metric"): _bounds(key, pair) for key, pair in _mapping(metrics, "metrics").items()},
        no_worse={check_name(key, "losses"): _margin(key, v) for key, v in _mapping(no_worse, "no_worse").items()},
        confidence=float(confidence),
        signature="compatible" if signature == "compatible" else "any",
        approvals=approvals,
        loadable=loadable,
    )


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidTypeError(f"{what} is a mapping by name, and {type(value).__name__} was given.")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidValueError(f"{what} is a finite number, and {value!r} was given.")
    return float(value)


def _bounds(key: str, pair: Any) -> Bounds:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or pair[0] is pair[1] is None:
        raise InvalidValueError(
            f"The bounds of {key!r} are (at least, at most), of which one may be None, and {pair!r} was given."
        )
    least, most = (None if value is None else _number(value, f"a bound of {key!r}") for value in pair)
    if least is not None and most is not None and least > most:
        raise InvalidValueError(f"No value meets the bounds of {key!r}: at least {least} and at most {most}.")
    return Bounds(least, most)


def _margin(key: str, value: Any) -> float:
    margin = _number(value, f"the margin of {key!r}")
    if margin < 0:
        raise InvalidValueError(
            f"The margin of {key!r} is how much worse is allowed, 0 or more, and {value!r} was given."
        )
    return margin
