"""The processes of a distributed training: each is recorded, and in a run that they share they are told apart."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

import modelmgmt as mm

LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "mpiexec": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
}
EVERY = [name for names in LAUNCHERS.values() for name in names] + ["SLURM_NTASKS", "MODELMGMT_RANK"]


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in EVERY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path):
    return mm.Store(tmp_path / "store")


def launch(script, count, launcher="torchrun", **variables):
    """Start `count` ranks at once, and wait for all."""
    rank, size, local = LAUNCHERS[launcher]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script],
            env={**os.environ, rank: str(n), size: str(count), local: str(n % 2), **variables},
            stderr=subprocess.PIPE, text=True,
        )
        for n in range(count)
    ]  # fmt: skip
    errors = [process.communicate()[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0] * count, errors


OWN = """
import modelmgmt as mm
with mm.start_run("own", store="store", tags={"team": "a"}):
    mm.log(loss=1.0)
    mm.log(loss=2.0)
"""


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_rank_is_recorded(store, launcher):
    launch(OWN, 3, launcher)
    runs = sorted(store.runs, key=lambda run: run.tags["rank"])
    assert [run.tags for run in runs] == [
        {"rank": str(n), "local_rank": str(n % 2), "world_size": "3", "team": "a"} for n in range(3)
    ]
    assert [list(run.series("loss").steps) for run in runs] == [[0, 1]] * 3
    assert store.runs("tags.rank = 2").ids == [runs[2].id]


SHARED = """
import os
import modelmgmt as mm
rank = int(os.environ["RANK"])
with mm.start_run("shared", store="store", id="job-42", resume="allow", params={"lr": 0.1}) as run:
    for step in range(5):
        run.log(loss=rank + step / 10)
    run.log_series("grads", range(rank, rank + 3))
    run.log_series("long", range(2_000))
    run.log({"at": 1.0}, step=100)
"""


def check_shared(run, ranks):
    for n in range(ranks):
        prefix = f"rank{n}/" if n else ""
        loss = run.series(f"{prefix}loss")
        assert list(loss.values) == [n + step / 10 for step in range(5)]
        assert list(loss.steps) == [0, 1, 2, 3, 4], "each counts its own steps"
        assert list(run.series(f"{prefix}grads").values) == [n, n + 1, n + 2]
        assert list(run.series(f"{prefix}grads").steps) == [5, 6, 7]
        assert len(run.series(f"{prefix}long").values) == 2_000
        assert list(run.series(f"{prefix}at").steps) == [100]
        assert run.tags[f"rank{n}"] == run.host
    assert len(run.metrics) == 4 * ranks


def test_ranks_share_a_run_that_they_name(store):
    with store.start_run("shared", id="job-42", params={"lr": 0.1}):
        launch(SHARED, 4)
    check_shared(store.runs["job-42"], 4)
    assert len(store.runs) == 1
    assert store.runs["job-42"].status == "finished"
    assert store.check(deep=True) == []


def test_ranks_share_the_run_of_their_launcher(store):
    script = SHARED.replace(', id="job-42", resume="allow"', "")
    with store.start_run("shared", params={"lr": 0.1}) as run:
        launch(script, 3, **run.variables())
        assert run.status == "running"
    check_shared(run, 3)
    assert len(store.runs) == 1


def test_a_second_launch_goes_on_where_each_rank_was(store):
    for _ in range(2):
        launch("""
import os
import modelmgmt as mm
with mm.start_run(store="store", id="job", resume="allow") as run:
    for _ in range(1 + int(os.environ["RANK"])):
        run.log(loss=1.0)
""", 1, WORLD_SIZE="2", RANK="1")  # fmt: skip
    assert list(store.runs["job"].series("rank1/loss").steps) == [0, 1, 2, 3]


ALONE = {
    "nothing": {}, "one process": {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, "no size": {"RANK": "3"},
    "no number": {"RANK": "x", "WORLD_SIZE": "4"},
    "a batch script": {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"},
    "one process of torch in a step of several": {
        "RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4",
    },
}  # fmt: skip


@pytest.mark.parametrize("variables", ALONE.values(), ids=ALONE)
def test_one_process_alone_is_no_rank(store, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with store.start_run(id="mine") as run:
        run.log({"loss": 1.0, "rank1/loss": 2.0})
    with store.start_run(resume="mine") as run:
        run.log(loss=1.0)
    assert run.tags == {}
    assert list(run.series("loss").steps) == [0, 1]
    assert "MODELMGMT_RANK" not in run.variables()


def test_a_rank_goes_on_with_its_own_run(store, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with store.start_run() as run:
        run.log(loss=1.0)
    with store.start_run(resume=run.id) as again:
        again.log(loss=2.0)
    assert again.series("loss").steps.tolist() == [0, 1]
    assert list(again.metrics) == ["loss"]


def work(run):
    run.log(inside=1.0)


def work_without_a_run():
    mm.log(inside=1.0)
    mm.log(inside=2.0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(("options", "key"), [({}, "inside"), ({"id": "job"}, "rank3/inside")], ids=["own", "shared"])
def test_workers_of_a_rank_log_as_that_rank(store, monkeypatch, method, options, key):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))
    with store.start_run(**options) as run, ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        pool.submit(work_without_a_run).result()
    assert list(run.metrics) == [key]
    assert list(run.series(key).values) == [1.0, 2.0]


@pytest.mark.parametrize(("options", "key"), [({}, "inside"), ({"id": "job"}, "rank3/inside")], ids=["own", "shared"])
def test_what_a_rank_starts_logs_as_that_rank(store, monkeypatch, options, key):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with store.start_run(**options) as run:
        code = "import modelmgmt as mm\nwith mm.start_run() as run: run.log(inside=2.0)"
        subprocess.run([sys.executable, "-c", code], env={**os.environ, **run.variables()}, check=True)
        with ProcessPoolExecutor(1) as pool:
            pool.submit(work, run).result()
    assert list(run.metrics) == [key]
    assert sorted(run.series(key).values) == [1.0, 2.0]
