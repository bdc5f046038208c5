"""Going on with a run: one that has ended, one that has crashed, one that another process is writing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import modelmgmt as mm
from modelmgmt.errors import AmbiguousError, InvalidTypeError, NotFoundError, ParamConflictError


def test_a_finished_run_goes_on_where_it_stopped(store):
    with store.start_run("churn", params={"lr": 0.1}) as first:
        for value in range(5):
            first.log(x=value)
    with store.start_run(resume=first.id, tags={"again": "yes"}) as second:
        assert second == first
        assert second.status == "running"
        assert (second.experiment, second.params, second.name) == ("churn", {"lr": 0.1}, first.name)
        second.log(x=5)
    assert first.status == "finished"
    assert first.series("x").steps.tolist() == list(range(6))
    assert first.series("x").values.tolist() == list(range(6))
    assert first.tags == {"again": "yes"}
    assert len(store.runs()) == 1


def test_a_failed_run_that_goes_on_has_no_error_any_more(store):
    with pytest.raises(ValueError), store.start_run() as run:
        raise ValueError
    with store.start_run(resume=run):
        assert run.error is None
        assert run.ended_at is None
    assert run.status == "finished"


def test_a_crashed_run_goes_on(script, store):
    script("with mm.start_run('a') as run:\n  for i in range(10): run.log(x=i)\n  os._exit(1)")
    (crashed,) = store.runs("run.status = 'crashed'")
    with store.start_run(resume=crashed) as run:
        run.log(x=10)
    assert run.status == "finished"
    assert run.series("x").steps.tolist() == list(range(11))


def test_by_name_and_by_a_part_of_the_id(store):
    with store.start_run(name="the-one") as run:
        pass
    for reference in ("the-one", run.id[:-2], run.id[-8:]):
        with store.start_run(resume=reference) as again:
            assert again.id == run.id


def test_params_may_be_said_again_and_not_changed(store):
    with store.start_run(params={"lr": 0.1}) as run:
        pass
    with store.start_run(resume=run, params={"lr": 0.1, "new": 1}):
        pass
    assert run.params == {"lr": 0.1, "new": 1}
    with pytest.raises(ParamConflictError):
        store.start_run(resume=run, params={"lr": 0.2})


def test_a_run_that_is_open_here_is_the_same_object(store):
    with store.start_run() as run:
        again = store.start_run(resume=run.id, params={"more": 1}, tags={"t": "1"})
        assert again is run
        assert (run.params, run.tags) == ({"more": 1}, {"t": "1"})


def test_steps_go_on_after_the_highest_of_all_metrics(store):
    with store.start_run() as run:
        run.log({"a": 1}, step=100)
        run.log({"b": 1}, step=7)
    with store.start_run(resume=run):
        mm.log(b=2)
    assert run.series("b").steps.tolist() == [7, 101]


def test_nobody_to_resume(store):
    with pytest.raises(NotFoundError, match="nobody"):
        store.start_run(resume="nobody")
    with pytest.raises(InvalidTypeError, match="run"):
        store.start_run(resume=3)
    for _ in range(2):
        store.start_run(name="twin").finish()
    with pytest.raises(AmbiguousError, match="twin"):
        store.start_run(resume="twin")
    assert [run.status for run in store.runs()] == ["finished"] * 2


OWNER = """
import sys, modelmgmt as mm
with mm.start_run("shared", store=sys.argv[1]) as run:
    run.log({"owner": 1}, step=0)
    print(run.id, flush=True)
    sys.stdin.readline()
    run.log({"owner": 2}, step=1)
"""


def test_a_run_that_another_process_writes_is_joined(store):
    command = [sys.executable, "-W", "error", "-c", OWNER, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        run_id = owner.stdout.readline().strip()
        with store.start_run(resume=run_id) as joined:
            joined.log(mine=1)
            joined.log_params(rank=1)
        assert joined.status == "running", "its end is for the owner to say"
        with pytest.raises(RuntimeError, match="resume="):
            joined.log(mine=2)
        owner.communicate("\n")
    assert joined.status == "finished"
    assert joined.metrics == {"owner": 2, "mine": 1}
    assert joined.series("mine").steps.tolist() == [1]
    assert joined.params == {"rank": 1}
