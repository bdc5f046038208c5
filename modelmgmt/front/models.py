"""Registered models, their versions, logged models, as people get them: they show themselves as tables.

What they are is said where they come from: `help` shows it.
"""

from __future__ import annotations

from typing import Any

from modelmgmt.models import run_models
from modelmgmt.models.registry import model, registry, versions


class ModelVersion(versions.ModelVersion):
    def _repr_html_(self) -> str:
        from modelmgmt.view.models import version_table
        from modelmgmt.view.tables import as_html

        return as_html(version_table(self))


class ModelVersions(list[versions.ModelVersion]):
    """Versions, as a list."""

    def _repr_html_(self) -> str:
        from modelmgmt.view.models import versions_table
        from modelmgmt.view.tables import as_html

        return as_html(versions_table(self))


class Model(model.Model):
    _version_type = ModelVersion

    @property
    def versions(self) -> ModelVersions:
        """All versions, oldest first."""
        return ModelVersions(super().versions)

    def _repr_html_(self) -> str:
        from modelmgmt.view.models import model_table
        from modelmgmt.view.tables import as_html

        return as_html(model_table(self)) + self.versions._repr_html_()


class Registry(registry.Registry):
    _model_type = Model
    _version_type = ModelVersion

    def search(self, *args: Any, **kwargs: Any) -> ModelVersions:
        return ModelVersions(super().search(*args, **kwargs))

    def _repr_html_(self) -> str:
        from modelmgmt.view.models import models_table
        from modelmgmt.view.tables import as_html

        return as_html(models_table(self.values()))


class LoggedModel(run_models.LoggedModel):
    def _repr_html_(self) -> str:
        from modelmgmt.view.models import logged_table
        from modelmgmt.view.tables import as_html

        return as_html(logged_table(self))
