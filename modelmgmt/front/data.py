"""Versions of data, profiles and differences as people get them: they show themselves as tables."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from modelmgmt.tracking import datasets

if TYPE_CHECKING:
    from modelmgmt.front.found import Runs
    from modelmgmt.versions.data.diff import DataDiff
    from modelmgmt.versions.data.profile import Profile
    from modelmgmt.versions.data.record import DatasetVersion
    from modelmgmt.view.tables import Table


class Dataset(datasets.Dataset):
    __doc__ = datasets.Dataset.__doc__

    @property
    def profile(self) -> Profile:
        """Per column: type, count, missing, distinct, least, greatest, mean, deviation, quantiles, histogram."""
        from modelmgmt.front.shown import ShownProfile

        shown: Profile = _as(ShownProfile, super().profile)
        return shown

    def diff(self, other: DatasetVersion, key: Any = None, *, max_rows: int = 1_000) -> DataDiff:
        from modelmgmt.front.shown import ShownDiff

        shown: DataDiff = _as(ShownDiff, super().diff(other, key, max_rows=max_rows))
        return shown

    diff.__doc__ = datasets.Dataset.diff.__doc__

    def runs(self) -> Runs:
        """The runs that used this version, oldest first."""
        from modelmgmt.front.found import Run, Runs

        return Runs(self._store(), Run, self._run_records())

    def _repr_html_(self) -> str:
        from modelmgmt.view.data import version_table

        return _html(version_table(self))


def _as(kind: Any, value: Any) -> Any:
    return kind(**{one.name: getattr(value, one.name) for one in fields(value)})


def _html(table: Table) -> str:
    from modelmgmt.view.tables import as_html

    return as_html(table)
