"""A run that keeps nothing: what `start_run` gives while `$MODELMGMT_DISABLED` is set. Every call is free and harmless."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from modelmgmt.errors import NotFoundError
from modelmgmt.tracking.run import Run

F = TypeVar("F", bound=Callable[..., Any])


def is_disabled() -> bool:
    """Whether `$MODELMGMT_DISABLED` says 1, true, yes or on."""
    return os.environ.get("MODELMGMT_DISABLED", "").strip().lower() in ("1", "true", "yes", "on")


class DisabledRun(Run):
    """Takes everything, keeps nothing, reads as empty."""

    def __init__(self) -> None:
        self.id = "disabled"
        self._guard = None
        self._now = datetime.now(UTC)

    def _ignore(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    log = log_series = log_params = set_tags = remove_tag = note = _ignore
    log_artifact = log_text = log_dict = log_table = log_image = log_figure = _ignore
    flush = finish = disown = _ignore

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: F) -> F:
        from modelmgmt.tracking.run import decorate

        return decorate(lambda: self, function)

    def __del__(self) -> None:
        pass

    name = property(lambda _: "disabled")
    experiment = property(lambda _: "disabled")
    status = property(lambda _: "disabled")
    parent = property(_ignore)
    group = property(_ignore)
    error = property(_ignore)
    started_at = property(lambda self: self._now)
    ended_at = property(_ignore)
    duration_s = property(_ignore)
    is_open = property(lambda _: False)
    params = property(lambda _: {})
    config = property(lambda _: {})
    tags = property(lambda _: {})
    metrics = property(lambda _: {})
    summaries = property(lambda _: {})
    artifacts = property(lambda _: {})
    notes = property(lambda _: [])

    @property
    def record(self) -> Any:
        raise NotFoundError("Logging is disabled (MODELMGMT_DISABLED): this run is not in a store.")

    def series(self, key: str) -> Any:
        raise NotFoundError(f"Logging is disabled (MODELMGMT_DISABLED): there is no metric {key!r}.")

    def artifact(self, name: str) -> Any:
        raise NotFoundError(f"Logging is disabled (MODELMGMT_DISABLED): there is no artifact {name!r}.")

    def environment(self) -> dict[str, str]:
        return {"MODELMGMT_DISABLED": "1"}

    def __repr__(self) -> str:
        return "<Run disabled>"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)
