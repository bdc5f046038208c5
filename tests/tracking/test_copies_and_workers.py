"""What holds a run is copied, cloned and pickled; worker processes of pools belong to the run that started them."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import cloudpickle
import joblib
import pytest

import modelmgmt as mm
from modelmgmt.errors import NotFoundError, RunFinishedError


class Callback:
    """What people write to log from inside a trainer."""

    def __init__(self, run):
        self.run = run

    def __call__(self, n):
        self.run.log({f"n/{n}": n})
        self.run.finish()
        return os.getpid(), self.run.status


class Estimator:
    """What scikit-learn takes for an estimator."""

    def __init__(self, run=None):
        self.run = run

    def get_params(self, deep=False):
        return {"run": self.run}


def clone(holder):
    from sklearn.base import clone  # not above: each worker that is spawned imports this module

    return clone(clone(holder))


# -- in one process ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        lambda holder: pickle.loads(pickle.dumps(holder)),
        lambda holder: cloudpickle.loads(cloudpickle.dumps(holder)),
        clone,
    ],
    ids=["copy", "deepcopy", "pickle", "cloudpickle", "clone"],
)
def test_what_is_copied_holds_the_same_run(store, again, ended):
    with store.start_run() as run:
        run.log(a=1)
        if not ended:
            other = again(Estimator(run))
            assert other.run is run
            other.run.log(a=2)
            assert mm.active_run() is run
    if ended:
        other = again(Estimator(run))
        assert other.run == run
        assert other.run.metrics == {"a": 1}
        with pytest.raises(RunFinishedError):
            other.run.log(a=2)
    assert (run.status, len(store.runs())) == ("finished", 1)


def test_the_run_alone_and_the_store(store):
    with store.start_run() as run:
        assert copy.copy(run) is copy.deepcopy([run])[0] is pickle.loads(pickle.dumps(run)) is run
        assert pickle.loads(pickle.dumps(store)).runs().ids == [run.id]


def test_a_disabled_run(monkeypatch):
    monkeypatch.setenv("MODELMGMT_DISABLED", "1")
    run = mm.start_run("x")
    assert copy.deepcopy(run) is run
    assert pickle.loads(pickle.dumps(run)).status == "disabled"
    assert run.variables(child=True) == {"MODELMGMT_DISABLED": "1"}


def test_a_pickle_whose_store_is_gone(tmp_path):
    with mm.Store(tmp_path / "moved") as store, store.start_run() as run:
        data = pickle.dumps(run)
    code = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False)
    assert b"NotFoundError" in done.stderr
    assert not (tmp_path / "moved").exists(), "looking never makes a store"


# -- pickled to another process ---------------------------------------------------------------------------------------


def spawned(function, numbers):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(function, numbers))


def forked(function, numbers):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(function, numbers)


def loky(function, numbers):
    return joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(function)(n) for n in numbers)


@pytest.mark.parametrize("run_all", [spawned, forked, loky], ids=["spawn", "fork", "loky"])
def test_a_run_that_is_sent_to_workers_is_joined(store, run_all):
    with store.start_run("sweep") as run:
        found = run_all(Callback(run), range(6))
        assert run.status == "running"
    assert {status for _, status in found} == {"running"}, "its end is not for a worker to say"
    assert os.getpid() not in {pid for pid, _ in found}
    assert run.status == "finished"
    assert run.metrics == {f"n/{n}": n for n in range(6)}
    assert len(store.runs()) == 1


# -- runs that workers start ------------------------------------------------------------------------------------------


def trial(number):
    mm.log({f"before/{number}": number})
    with mm.start_run(params={"n": number}) as run:
        mm.log(n=number)
    mm.log({f"after/{number}": number})
    return run.parent, run.experiment


@pytest.mark.parametrize("run_all", [spawned, forked, loky], ids=["spawn", "fork", "loky"])
def test_runs_of_worker_processes_are_children_of_the_block(tmp_path, run_all):
    """Twice: workers of loky stay, and are not to believe in the first run when the second goes on."""
    store = mm.Store()
    for name in ("one", "two"):
        with store.start_run(name) as sweep:
            assert run_all(trial, range(4)) == [(sweep.id, name)] * 4
        assert sweep.metrics == {f"{when}/{n}": n for n in range(4) for when in ("before", "after")}
    assert [run.status for run in store.runs()] == ["finished"] * 10
    joblib.externals.loky.get_reusable_executor().shutdown()


CHILD = """
import sys, modelmgmt as mm
mm.log(from_child=1)
with mm.start_run() as first, mm.start_run() as nested: pass
with mm.start_run("own") as second: mm.log(n=2)
print(first.parent, first.experiment, nested.parent, second.parent, second.experiment, first.id)
"""


def test_variables_say_which_is_meant(store):
    with store.start_run("sweep") as run:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CHILD],
            env={**os.environ, **run.variables(child=True)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    first, experiment, nested, second, own, first_id = done.stdout.split()
    assert (first, experiment, nested, second, own) == (run.id, "sweep", first_id, run.id, "own")
    assert run.metrics == {"from_child": 1}
    assert [each.status for each in store.runs()] == ["finished"] * 4


def test_a_parent_that_is_not_there(monkeypatch, store):
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    monkeypatch.setenv("MODELMGMT_PARENT_ID", "nobody")
    with pytest.raises(NotFoundError, match="nobody"):
        mm.start_run()
    with mm.Store(store.path.with_name("other")).start_run() as run:
        assert run.parent is None, "the variable speaks of another store"
