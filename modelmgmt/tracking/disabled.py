"""A run that keeps nothing: what `start_run` gives while `$MODELMGMT_DISABLED` is set. Every call is free and harmless."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modelmgmt.errors import NotFoundError
from modelmgmt.store.times import to_iso
from modelmgmt.tracking.decorator import decorate
from modelmgmt.tracking.record import COLUMNS, RunRecord
from modelmgmt.tracking.run import Run
from modelmgmt.versions.kept_code import Code

if TYPE_CHECKING:
    from modelmgmt.tracking.series import SeriesView

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

    log = log_metrics = log_series = log_param = log_params = set_tags = remove_tag = note = _ignore
    log_artifact = log_text = log_dict = log_table = log_image = log_figure = _ignore
    flush = finish = snapshot_code = rename = move = _ignore
    _disown = _restart_with = _captured = _resumed_code = _ignore

    def _open(self, *_: Any, **__: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: F) -> F:
        return decorate(lambda: self, function)

    def __del__(self) -> None:
        pass

    name = property(lambda _: "disabled")
    experiment = property(lambda _: "disabled")
    status = property(lambda _: "disabled")
    parent = property(_ignore)
    group = property(_ignore)
    error = property(_ignore)
    environment = property(_ignore)
    code = property(lambda _: Code(None, "disabled"))
    started_at = property(lambda self: self._now)
    ended_at = property(_ignore)
    duration_s = property(_ignore)
    number = property(lambda _: 0)
    command = host = property(lambda _: "disabled")
    user = property(_ignore)
    lost_points = property(lambda _: 0)
    is_open = property(lambda _: False)
    params = property(lambda _: {})
    config = property(lambda _: {})
    tags = property(lambda _: {})
    metrics = property(lambda _: {})
    summaries = property(lambda _: {})
    diverged = property(lambda _: ())
    artifacts = property(lambda _: {})

    def images(self, name: str) -> list[Any]:
        """No images."""
        del name
        return []

    notes = property(lambda _: [])
    endings = property(lambda _: [])
    steps = property(lambda _: ())

    datasets = property(lambda _: {})

    def datasets_by_role(self) -> dict[str, list[Any]]:
        return {}

    def log_dataset(self, *arguments: Any, **options: Any) -> Any:
        """Take it, keep nothing."""
        name = arguments[1] if len(arguments) > 1 else options.get("name", "disabled")
        return self._dataset_type._lost(str(name))

    @property
    def _row_now(self) -> RunRecord:
        """What the row would be, were there one."""
        values: dict[str, Any] = dict.fromkeys(COLUMNS, "disabled")
        values |= {"started_at": to_iso(int(self._now.timestamp() * 1e6)), "number": 0, "pid": 0, "lost_points": 0}
        values |= dict.fromkeys(("ended_at", "parent", "group_name", "error", "user"))
        return RunRecord(**values)

    def series(self, key: str) -> SeriesView:
        """A series without points."""
        import numpy as np

        from modelmgmt.store.chunk import Points
        from modelmgmt.tracking.series import SeriesView

        return SeriesView(self.id, key, Points(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)))

    def artifact(self, name: str) -> Any:
        raise NotFoundError(f"Logging is disabled (MODELMGMT_DISABLED): there is no artifact {name!r}.")

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def variables(self, *, child: bool = False) -> dict[str, str]:
        del child
        return {"MODELMGMT_DISABLED": "1"}

    def _namesakes(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "<Run disabled>"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)
