"""A project with a git repository of its own, whose scripts run in processes of their own."""

from __future__ import annotations

import pytest
from tests_project import Project


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "project", tmp_path / "store")
