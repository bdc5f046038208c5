"""MODELMGMT_DISABLED: every call is free and harmless, and nothing appears on disk."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest

import modelmgmt as mm
from modelmgmt.tracking.run import Run as TrackedRun

ARGUMENTS = {
    "log": ({"a": 1},), "log_series": ("a", [1, 2]), "log_metrics": ({"a": 1},), "log_param": ("a", 1),
    "log_params": ({"a": 1},), "set_tags": ({"a": "1"},),
    "remove_tag": ("a",), "note": ("text",), "log_artifact": ("nothing-there", "name"), "log_text": ("text", "name"),
    "log_dict": ({}, "name"), "log_table": ([], "name"), "log_image": (None, "name"), "log_figure": (None, "name"),
    "series": ("a",), "images": ("a",), "rename": ("a",), "move": ("a",),
}  # fmt: skip


@pytest.fixture(autouse=True)
def disabled(monkeypatch):
    monkeypatch.setenv("MODELMGMT_DISABLED", "1")


@pytest.fixture
def nothing_on_disk(tmp_path):
    yield
    assert list(tmp_path.iterdir()) == []


def _public(kind):
    found = {name: value for name, value in inspect.getmembers(TrackedRun) if not name.startswith("_")}
    return sorted(name for name, value in found.items() if isinstance(value, property) == (kind == "property"))


@pytest.mark.parametrize("name", _public("method"))
def test_every_method_is_harmless(nothing_on_disk, name):
    run = mm.start_run("churn", params={"lr": 0.1}, store="never-made")
    if name == "artifact":
        with pytest.raises(KeyError, match="disabled"):
            run.artifact("a")
        return
    getattr(run, name)(*ARGUMENTS.get(name, ()))
    if name in ("log", "log_artifact", "log_text", "finish", "set_tags"):
        getattr(run, name)(object(), object(), anything="is fine")


@pytest.mark.parametrize("name", _public("property"))
def test_every_property_reads_as_empty(nothing_on_disk, name):
    value = getattr(mm.start_run(), name)
    if name not in ("name", "experiment", "status", "started_at", "command", "host"):
        assert value in (None, {}, [], (), False) or (name == "code" and not value)


def test_it_shows_itself(nothing_on_disk):
    run = mm.start_run()
    assert repr(run) == "<Run disabled>"
    assert "disabled" in run._repr_html_()
    assert len(run.series("loss")) == 0
    assert "no points" in repr(run.series("loss"))
    assert run.series("loss").to_frame().columns.tolist() == ["step", "value", "time"]
    assert run != mm.start_run()
    assert len({run, run}) == 1
    assert isinstance(run, mm.Run)


def test_a_training_script(nothing_on_disk):
    @mm.start_run("churn", params={"bad": object()})
    def train(run):
        run.log(loss=np.ones(3), step="x")
        mm.log(loss=1)
        mm.active_run().log_text("text", "name")
        with mm.start_run(resume="nobody", parent="nobody") as inner:
            inner.log_figure(object(), "..")
        return run.status

    assert train() == "disabled"
    with pytest.raises(ZeroDivisionError), mm.start_run() as run:
        _ = 1 / 0
    run.finish("failed", error="x")


def test_bare_decorator(nothing_on_disk):
    @mm.start_run
    def train(run):
        run.log(loss=1)
        return 3

    assert train() == 3


@pytest.mark.parametrize("text", ["1", "true", "YES", "on ", "True"])
def test_what_means_yes(monkeypatch, nothing_on_disk, text):
    monkeypatch.setenv("MODELMGMT_DISABLED", text)
    assert mm.start_run().status == "disabled"


@pytest.mark.parametrize("text", ["", "0", "false", "no", "off"])
def test_what_means_no(monkeypatch, tmp_path, text):
    monkeypatch.setenv("MODELMGMT_DISABLED", text)
    with mm.start_run(store=tmp_path / "store") as run:
        assert run.status == "running"


def test_disable_and_a_store_to_read(monkeypatch, store):
    monkeypatch.delenv("MODELMGMT_DISABLED")
    with store.start_run() as kept:
        kept.log(a=1)
    mm.disable()
    assert os.environ["MODELMGMT_DISABLED"] == "1"
    store.start_run().log(a=2)
    assert store.runs().ids == [kept.id]
    assert store.runs()[0].metrics == {"a": 1}
