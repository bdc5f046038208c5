"""What a filter can name, and the nodes of its syntax tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

STATUSES = ("running", "finished", "failed", "interrupted", "crashed")
RUN_NUMBERS = frozenset({"number", "lost_points", "duration_s"})
"""The attributes of a run that are numbers; the others are text."""
RUN_TIMES = frozenset({"started_at", "ended_at"})
RUN_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "id": "the run's id; ids sort by time",
        "name": "the readable name, as calm-otter-17",
        "experiment": "the experiment's name",
        "status": f"{', '.join(STATUSES[:-1])} or {STATUSES[-1]}, in either case",
        "started_at": "UTC text, 2026-01-31T23:59:59.123456Z; compared as text, so any prefix of it will do",
        "ended_at": "as started_at; null while the run is running",
        "duration_s": "seconds from start to end, exact to the microsecond; null while the run is running",
        "parent": "id of the parent run, or null",
        "group": "name of the group, or null",
        "user": "who started the run, or null",
        "host": "where it ran",
        "number": "counts up within the experiment",
        "command": "the command line",
        "error": "the traceback or exit code that ended the run, or null",
        "lost_points": "points that could not be kept",
    }
)
METRIC_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "last": "the last value; the same as metrics.KEY",
        "first": "the first value",
        "min": "the least value, NaN left out",
        "max": "the greatest value, NaN left out",
        "mean": "the mean, NaN left out",
        "count": "how many points, NaN included",
    }
)
FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "params.KEY": "a param: number, text, bool, or JSON text of a list",
        "metrics.KEY": "the last value of a metric",
        **{f"metrics.KEY.{part}": meaning for part, meaning in METRIC_PARTS.items()},
        "tags.KEY": "a tag: always text",
        **{f"run.{name}": meaning for name, meaning in RUN_ATTRIBUTES.items()},
    }
)
"""Every form of a field, with its meaning."""

Table = Literal["params", "metrics", "tags", "run"]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Field:
    """`params.lr`; `part` is min, max, mean, first, last or count for a metric, and empty otherwise."""

    table: Table
    key: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A literal."""

    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`."""

    left: Field | Value
    operator: Operator
    right: Field | Value


@dataclass(frozen=True, slots=True)
class In:
    """`field in (values)`."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """`field like 'pattern'`."""

    field: Field
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """`field between low and high`, both included."""

    field: Field
    low: Value
    high: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Is:
    """`field is null` or `field is nan`."""

    field: Field
    what: Literal["null", "nan"]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """`not node`."""

    node: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of `nodes`; of none, for an empty filter, every run."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of `nodes`."""

    nodes: tuple[Node, ...]


Comparison = Compare | In | Like | Between | Is
Node = Comparison | Not | And | Or
