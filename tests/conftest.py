"""What every test stands on: a working folder of its own, and no settings from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import modelmgmt as mm
from modelmgmt.tracking import lifecycle

# How fast a machine is proves nothing about the library: an example may take as long as it takes.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith("MODELMGMT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "config"))  # keys of the test's own
    monkeypatch.chdir(tmp_path)
    yield
    for run in list(lifecycle._open_runs):
        run.finish()


@pytest.fixture
def store(tmp_path: Path):
    with mm.Store(tmp_path / "store") as store:
        yield store
