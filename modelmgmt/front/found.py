"""Runs, one or many, and comparisons of them, as people get them: they show themselves as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelmgmt.front.data import Dataset
from modelmgmt.front.models import LoggedModel, ModelVersion
from modelmgmt.models.lineage.graph import Lineage as FoundLineage
from modelmgmt.models.run_models import ModelsOfRun
from modelmgmt.tracking import by_commit, comparison, groups
from modelmgmt.tracking.disabled import DisabledRun
from modelmgmt.tracking.run import Run as TrackedRun
from modelmgmt.tracking.runs import Runs as FoundRuns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modelmgmt.view.tables import Table


class Run(ModelsOfRun, TrackedRun):
    __doc__ = TrackedRun.__doc__

    _dataset_type = Dataset
    _logged_type = LoggedModel
    _version_type = ModelVersion

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
        from modelmgmt.view.comparisons import comparison_tables
        from modelmgmt.view.tables import as_text

        return "\n\n".join(as_text(table) for table in comparison_tables(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.comparisons import comparison_tables
        from modelmgmt.view.tables import as_html

        return "".join(as_html(table) for table in comparison_tables(self))


class CommitHistory(by_commit.CommitHistory):
    """A metric by commit, the oldest first; see `Store.by_commit`.

    >>> for acc in (0.8, 0.9):
    ...     with start_run("doc"):
    ...         log(acc=acc)
    >>> [(row.runs, row.value) for row in Store().by_commit("acc").rows]
    [(2, 0.9)]
    """

    def __repr__(self) -> str:
        from modelmgmt.view.comparisons import commits_table
        from modelmgmt.view.tables import as_text

        return as_text(commits_table(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.comparisons import commits_table
        from modelmgmt.view.tables import as_html

        return as_html(commits_table(self))


class GroupComparison(groups.GroupComparison):
    """Groups of runs, such as the seeds of one setting, metric by metric; see `Store.compare_groups`.

    >>> for lr in (0.1, 0.2):
    ...     for seed in range(3):
    ...         with start_run("doc", params={"lr": lr, "seed": seed}):
    ...             log(acc=lr + seed / 100)
    >>> store = Store()
    >>> found = store.compare_groups(store.runs("params.seed >= 0").groupby("params.lr"), ["acc"])
    >>> found.paired_by, [round(s.summary.mean, 2) for s in found.summaries], round(found.differences[0].difference.mean, 2)
    ('params.seed', [0.11, 0.21], 0.1)
    """

    def __repr__(self) -> str:
        from modelmgmt.view.comparisons import group_tables
        from modelmgmt.view.tables import as_text

        return "\n\n".join(as_text(table) for table in group_tables(self))

    def _repr_html_(self) -> str:
        from modelmgmt.view.comparisons import group_tables
        from modelmgmt.view.tables import as_html

        return "".join(as_html(table) for table in group_tables(self))


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
        found = runs_table(self[:SHOWN_ROWS].to_frame(), total=len(self), now=datetime.now(UTC))
        return replace(found, note="\n".join([found.note, *self.unknown]))


class Lineage(FoundLineage):
    """What a model came from and what came of it; prints as text, `plot()` draws it."""

    def plot(self, *, ax: Axes | None = None, max_alike: int = 6) -> Axes:
        """Draw it from left to right; of things alike in a column at most `max_alike`. Returns the Axes."""
        from modelmgmt.view.plots import lineage

        return lineage(self, ax=ax, max_alike=max_alike)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from modelmgmt.view.lineage import lineage_table
        from modelmgmt.view.tables import as_html

        return as_html(lineage_table(self))
