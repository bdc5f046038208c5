"""What every test stands on: a working folder of its own, and no settings from outside."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import modelmgmt as mm
from modelmgmt.tracking import lifecycle
from modelmgmt.versions import project

# How fast a machine is proves nothing about the library: an example may take as long as it takes.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# The modules of the tests are no code of what a test runs in this process.
project._foreign_roots()
project._roots[0] = (*project._roots[0], f"{Path(__file__).resolve().parent}{os.sep}")


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith("MODELMGMT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "config"))  # keys of the test's own
    monkeypatch.setenv("MODELMGMT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    # Bytecode is told apart by a time in seconds and a size: a module that a test writes twice would stay the first.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for run in list(lifecycle._open_runs):
        run.finish()
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")  # which shows a figure as long as nobody closes it


@pytest.fixture
def store(tmp_path: Path):
    with mm.Store(tmp_path / "store") as store:
        yield store
