"""What the environment sets: the store, the experiment, the run that a subprocess joins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import modelmgmt as mm
from modelmgmt.errors import NotFoundError, StorePathError


def test_the_store_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELMGMT_STORE", str(tmp_path / "named"))
    with mm.start_run() as run:
        run.log(a=1)
    assert mm.Store().path == tmp_path / "named"
    assert mm.Store(tmp_path / "named").runs().ids == [run.id]
    assert not (tmp_path / ".modelmgmt").exists()


def test_a_home_in_the_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MODELMGMT_STORE", "~/kept")
    assert mm.Store().path == tmp_path / "kept"
    assert mm.Store("~/kept").path == tmp_path / "kept"


def test_without_a_name_it_is_the_nearest_above_else_here(monkeypatch, tmp_path):
    deep = tmp_path / "project" / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    assert mm.Store().path == tmp_path / "project" / ".modelmgmt"
    monkeypatch.chdir(deep)
    assert mm.Store().path == tmp_path / "project" / ".modelmgmt"
    monkeypatch.setenv("MODELMGMT_STORE", "")
    assert mm.Store().path == tmp_path / "project" / ".modelmgmt", "an empty variable is none"


def test_a_name_that_can_be_none(monkeypatch):
    monkeypatch.setenv("MODELMGMT_STORE", "x" * 10_000)
    with pytest.raises(StorePathError, match="choose another"):
        mm.start_run()


def test_the_experiment(monkeypatch, store):
    monkeypatch.setenv("MODELMGMT_EXPERIMENT", "nightly")
    with store.start_run() as run, store.start_run("other") as other, store.start_run() as inner:
        pass
    assert (run.experiment, other.experiment, inner.experiment) == ("nightly", "other", "other")
    assert store.experiments == ["nightly", "other"]


CHILD = """
import modelmgmt as mm
with mm.start_run("ignored", params={"child": True}) as run:
    mm.log(child=1)
    with mm.start_run() as inner:
        inner.log(inner=1)
print(run.id, inner.id, inner.parent)
"""


def test_a_subprocess_joins_the_run(store):
    with store.start_run("parent") as run:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CHILD],
            env={**os.environ, **run.variables()}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        joined, inner, above = done.stdout.split()
        assert joined == above == run.id
        assert run.status == "running"
        run.log(parent=1)
    assert run.metrics == {"child": 1, "parent": 1}
    assert run.params == {"child": True}
    assert store.runs[inner].metrics == {"inner": 1}
    assert run.status == "finished"
    assert len(store.runs()) == 2


def test_a_decorated_function_joins_as_well(store):
    code = "import modelmgmt as mm\n@mm.start_run('x')\ndef train(run):\n  run.log(child=1)\ntrain(); train()"
    parenthesised = code + "\n@mm.Store().start_run('y')\ndef other(run):\n  run.log(other=1)\nother()"
    with store.start_run() as run:
        environment = {**os.environ, **run.variables()}
        subprocess.run([sys.executable, "-W", "error", "-c", parenthesised], env=environment, check=True)
        assert run.status == "running"
    assert len(run.series("child")) == 2
    assert run.metrics == {"child": 1, "other": 1}
    assert len(store.runs()) == 1


def test_a_run_that_is_not_there(monkeypatch, store):
    monkeypatch.setenv("MODELMGMT_RUN_ID", "nobody")
    with pytest.raises(NotFoundError, match="nobody"):
        store.start_run()
    assert len(store.runs()) == 0
