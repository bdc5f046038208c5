"""Versions of small packages, as `log_model` leaves them behind: a tree with model.json, named by the run."""

from __future__ import annotations

import json
import sys

import pytest

from modelmgmt.store.trees import Entry, Tree, Trees
from modelmgmt.tracking import artifacts


def make_package(kernel, content=None, weights=b"weights"):
    """The digest of a package's tree."""
    files = {"model.json": json.dumps(content or {}).encode(), "weights.bin": weights}
    entries = {}
    for path, data in files.items():
        stored = kernel.objects.put_bytes(data)
        entries[path] = Entry(stored.digest, stored.size)
    return Trees(kernel.objects).put(Tree(entries))


@pytest.fixture
def package(store):
    return lambda *args, **options: make_package(store._kernel, *args, **options)


@pytest.fixture
def logged(store, package):
    """A run with metrics, which has logged a model called "classifier"; returns the run."""

    def log(content=None, weights=b"weights", params=None, **metrics):
        digest = package(content, weights)
        with store.start_run("churn", params=params) as run:
            if metrics:
                run.log(metrics)
        with store._kernel.database.writing() as connection:
            artifacts.write(connection, run.id, artifacts.Kept("classifier", "model", digest, len(weights)))
        return run

    return log


@pytest.fixture
def register(store, logged):
    """A version of "churn", from a run of its own."""

    def make(name="churn", **options):
        run = logged(**options)
        return store.models.register_from(f"run:{run.id}/classifier", name)

    return make


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Somebody's module, which a new process does not find: it comes out of the package."""
    estimators = sys.modules["estimators"]  # of the test that asks for it
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shop_steps.py").write_text(estimators.PROJECT)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("shop_steps", None)
