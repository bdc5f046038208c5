"""Profiles and differences of data, and loaded models, that show themselves. Loads numpy: imported when one is."""

from __future__ import annotations

from modelmgmt.models.load import LoadedModel
from modelmgmt.versions.data.diff import DataDiff
from modelmgmt.versions.data.profile import Profile
from modelmgmt.view.data import data_diff_table, profile_table
from modelmgmt.view.models import package_table
from modelmgmt.view.tables import as_html, as_text


class ShownProfile(Profile):
    """A profile that prints as a table."""

    def __repr__(self) -> str:
        return as_text(profile_table(self), 140)

    def _repr_html_(self) -> str:
        return as_html(profile_table(self))


class ShownDiff(DataDiff):
    """A difference that prints as a table."""

    def __repr__(self) -> str:
        return as_text(data_diff_table(self), 140)

    def _repr_html_(self) -> str:
        return as_html(data_diff_table(self))


class ShownModel(LoadedModel):
    """A loaded model that prints as a table."""

    def _repr_html_(self) -> str:
        return as_html(package_table(self.package))
