"""The stages of a model: which there are, which hold one version at a time, who may go where. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError
from modelmgmt.models.registry.naming import check_label
from modelmgmt.store.names import did_you_mean
from modelmgmt.store.rows import from_json


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a model, in order.

    A new version begins in the first. The last is for what is out of use: whoever is displaced or archived goes there.
    A stage in `single` holds one version at a time: a version that enters it displaces the current one, which moves to the
    last stage. `transitions` says for each stage where a promotion may lead from it; None allows every move. Displacing,
    archiving and rolling back are always allowed.
    """

    names: tuple[str, ...] = ("development", "staging", "production", "archived")
    single: tuple[str, ...] = ("production",)
    transitions: Mapping[str, tuple[str, ...]] | None = None

    @property
    def first(self) -> str:
        return self.names[0]

    @property
    def last(self) -> str:
        return self.names[-1]

    @property
    def main(self) -> str | None:
        """The stage whose version is in use: the last that holds one, else the last before the end; None with two stages.

        >>> Stages().main
        'production'
        """
        return next(
            (name for name in reversed(self.names) if name in self.single),
            self.names[-2:-1][0] if self.names[2:] else None,
        )

    def check(self, stage: object) -> str:
        """The name of one of these stages. Raises InvalidValueError."""
        if stage not in self.names:
            hint = did_you_mean(stage, self.names) if isinstance(stage, str) else ""
            raise InvalidValueError(f"There is no stage {stage!r}; the stages are {', '.join(self.names)}.{hint}")
        return str(stage)

    def check_move(self, start: str, end: str) -> None:
        """Raises InvalidValueError unless a promotion may lead from one stage to the other."""
        if start == end:
            raise InvalidValueError(f"The version is already in {end}.")
        allowed = self.names if self.transitions is None else self.transitions.get(start, ())
        if end not in allowed:
            there = ", ".join(allowed) or "no other stage"
            raise InvalidValueError(
                f"A version cannot move from {start} to {end}; from {start} it can move to {there}."
            )

    def encode(self) -> str:
        """JSON, as the table keeps it."""
        moves = None if self.transitions is None else {key: list(ends) for key, ends in self.transitions.items()}
        content = {"names": list(self.names), "single": list(self.single), "transitions": moves}
        return json.dumps(content, ensure_ascii=False, sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Stages:
        """What `encode` wrote. Raises CorruptDataError."""
        shape = {"names": [str], "single": [str], "transitions": (None, {str: [str]})}
        content = from_json("models.stages", text, shape)
        moves = content["transitions"]
        kept = None if moves is None else {key: tuple(ends) for key, ends in moves.items()}
        return cls(tuple(content["names"]), tuple(content["single"]), kept)


def checked_stages(
    names: Sequence[str] | None, single: Sequence[str] | None, transitions: Mapping[str, Sequence[str]] | None
) -> Stages:
    """Stages as a caller describes them. Raises InvalidNameError, InvalidValueError, InvalidTypeError.

    >>> checked_stages(["new", "live", "old"], ["live"], {"new": ["live"], "live": ["old"]}).last
    'old'
    """
    listed = Stages().names if names is None else _listed(names, "stages")
    if len(listed) < 2 or len({name.casefold() for name in listed}) < len(listed):
        raise InvalidValueError(f"A model has two or more different stages, and {list(listed)} was given.")
    alone = tuple(name for name in Stages().single if name in listed[1:-1]) if single is None else tuple(single)
    for name in alone:
        if name not in listed[1:-1]:
            raise InvalidValueError(f"{name!r} cannot be limited to one version: it is the first or the last stage.")
    return Stages(listed, alone, None if transitions is None else _checked_transitions(listed, transitions))


def _listed(names: Any, what: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidTypeError(f"{what} is a list of names, and {type(names).__name__} was given.")
    return tuple(check_label(name, "stage") for name in names)


def _checked_transitions(names: Sequence[str], transitions: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(transitions, Mapping):
        raise InvalidTypeError(
            f"transitions is a mapping of stage to stages, and {type(transitions).__name__} was given."
        )
    kept = {start: _listed(ends, f"transitions[{start!r}]") for start, ends in transitions.items()}
    unknown = [name for start, ends in kept.items() for name in (start, *ends) if name not in names]
    if unknown:
        raise InvalidValueError(f"transitions names {unknown[0]!r}, and the stages are {', '.join(names)}.")
    return kept
