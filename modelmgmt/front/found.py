"""Runs, one or many, and comparisons of them, as people get them: they show themselves as tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelmgmt.models.run_models import LoggedModel, ModelsOfRun
from modelmgmt.tracking import comparison
from modelmgmt.tracking.disabled import DisabledRun
from modelmgmt.tracking.run import Run as TrackedRun
from modelmgmt.tracking.runs import Runs as FoundRuns

if TYPE_CHECKING:
    from modelmgmt.view.tables import Table


class Run(ModelsOfRun, TrackedRun):
    __doc__ = TrackedRun.__doc__

    def _repr_html_(self) -> str:
        from modelmgmt.view.details import run_table
        from modelmgmt.view.tables import as_html

        return as_html(run_table(self))


class UnkeptRun(DisabledRun, Run):
    """What `start_run` gives while logging is disabled."""

    def log_model(self, model: Any, name: str, **_: Any) -> LoggedModel:
        """Keep nothing."""
        del model
        return LoggedModel(self.id, str(name))


class Comparison(comparison.Comparison):
    """Two or more runs side by side. `rows` has everything, `differences` only what is not the same in all.

    >>> for name, lr in (("slow", 0.1), ("fast", 0.2)):
    ...     with start_run("doc", name=name, params={"lr": lr}):
    ...         log(loss=lr)
    >>> rows = Store().compare("slow", "fast").differences
    >>> [(row.key, row.values) for row in rows if row.section == "params"]
    [('lr', (0.1, 0.2))]
    """

    def __repr__(self) -> str:
        from modelmgmt.view.details import differences_table
        from modelmgmt.view.tables import as_text

        return as_text(differences_table(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.details import differences_table
        from modelmgmt.view.tables import as_html

        return as_html(differences_table(self))


class Runs(FoundRuns[Run]):
    """The runs that a query found, in its order; shows itself as a table.

    >>> with start_run("doc", name="first"):
    ...     log({"loss": 0.5}, step=7)
    >>> runs = Store().runs("run.name = 'first' and metrics.loss < 1")
    >>> runs.history("loss")[["step", "value"]].values.tolist()
    [[7.0, 0.5]]
    """

    def __repr__(self) -> str:
        from modelmgmt.view.tables import as_text

        return as_text(self._table())

    def _repr_html_(self) -> str:
        from modelmgmt.view.tables import as_html

        return as_html(self._table())

    def _table(self) -> Table:
        from modelmgmt.view.tables import SHOWN_ROWS, runs_table

        # Only what is shown is read: there may be many thousands.
        return runs_table(self[:SHOWN_ROWS].to_frame(), total=len(self), now=datetime.now(UTC))
