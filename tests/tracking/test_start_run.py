"""How a run begins and how it ends: a block, bare, a decorator; well, badly, or not at all."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, RunFinishedError

# -- a block ----------------------------------------------------------------------------------------------------------


def test_a_block_that_ends_well_is_finished(store):
    with store.start_run("churn", name="first", params={"lr": 0.1}, tags={"team": "a"}, group="sweep") as run:
        run.log(loss=0.5)
        assert run.status == "running"
        assert run.ended_at is None
        assert run.duration_s is None
        assert run.is_open
    assert (run.status, run.experiment, run.name, run.group, run.error) == ("finished", "churn", "first", "sweep", None)
    assert run.started_at <= run.ended_at
    assert run.duration_s >= 0
    assert not run.is_open
    assert "churn/first" in repr(run)
    assert "finished" in repr(run)


def test_a_block_that_raises_is_failed_with_the_traceback(store):
    with pytest.raises(ZeroDivisionError), store.start_run("churn") as run:
        run.log(loss=0.5)
        _ = 1 / 0
    assert run.status == "failed"
    assert "ZeroDivisionError: division by zero" in run.error
    assert "_ = 1 / 0" in run.error
    assert run.metrics == {"loss": 0.5}


def test_an_error_that_is_no_unicode_is_kept_and_reaches_the_caller(store):
    with pytest.raises(ValueError, match="odd"), store.start_run() as run:
        raise ValueError("odd \udc80 \0")
    assert run.status == "failed"
    assert "\\udc80" in run.error


def test_the_end_of_a_very_long_error_is_kept(store):
    with pytest.raises(ValueError), store.start_run() as run:
        raise ValueError("x" * 1_000_000 + "the end")
    assert len(run.error) == 100_000
    assert run.error.rstrip().endswith("the end")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(0), "finished"),
        (SystemExit(), "finished"),
        (SystemExit(3), "failed"),
    ],
    ids=["Ctrl-C", "exit(0)", "exit()", "exit(3)"],
)
def test_a_block_that_is_left_early(store, error, status):
    with pytest.raises(type(error)), store.start_run() as run:
        raise error
    assert run.status == status
    assert ("KeyboardInterrupt" in (run.error or "")) == isinstance(error, KeyboardInterrupt)


def test_a_generator_that_is_closed_finishes_its_run(store):
    def train():
        with store.start_run() as run:
            yield run
            yield run

    training = train()
    run = next(training)
    training.close()
    assert run.status == "finished"


def test_two_blocks_of_one_run_end_with_the_outer_one(store):
    with store.start_run() as run:
        with store.start_run(resume=run) as again:
            assert again is run
            again.log(a=1)
        run.log(a=2)
        assert mm.active_run() is run
    assert run.status == "finished"
    assert list(run.series("a").values) == [1, 2]


# -- bare -------------------------------------------------------------------------------------------------------------


def test_bare(store):
    run = store.start_run("churn")
    run.log(loss=0.5)
    mm.log(loss=0.25)
    run.finish()
    run.finish()
    assert run.status == "finished"
    assert list(run.series("loss").values) == [0.5, 0.25]


def test_finish_as_failed(store):
    run = store.start_run()
    run.finish("failed", error="diverged")
    assert (run.status, run.error) == ("failed", "diverged")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"status": "crashed"}, InvalidValueError),
        ({"status": ""}, InvalidValueError),
        ({"error": 3}, InvalidTypeError),
    ],
)
def test_a_wrong_end_leaves_the_run_open(store, arguments, error):
    run = store.start_run()
    with pytest.raises(error):
        run.finish(**arguments)
    run.log(a=1)
    run.finish()
    assert run.status == "finished"


def test_without_keeping_the_result(store):
    mm.start_run("churn", store=store)
    gc.collect()
    mm.log(loss=0.5)
    mm.active_run().finish()
    (run,) = store.runs()
    assert run.metrics == {"loss": 0.5}
    assert mm.active_run() is None


def test_a_block_does_not_end_the_bare_run_before_it(store):
    mm.start_run("outer", store=store)
    with mm.start_run("inner", store=store):
        mm.log(loss=1)
    gc.collect()
    mm.log(loss=2)
    assert mm.active_run().experiment == "outer"
    assert store.runs("run.experiment = 'outer'")[0].metrics == {"loss": 2}
    assert store.runs("run.experiment = 'inner'")[0].metrics == {"loss": 1}


def test_run_end_and_run_again(store):
    for number in range(3):
        with store.start_run() as run:
            run.log(n=number)
    for number in range(3):
        run = store.start_run()
        run.log(n=number)
        run.finish()
    assert [run.status for run in store.runs()] == ["finished"] * 6


def test_a_cell_that_is_run_again_finishes_the_run_before(store):
    cell = "run = store.start_run('cell')\nrun.log(n=1)"
    names = {"store": store}
    for _ in range(3):
        exec(cell, names)
    gc.collect()
    assert [run.status for run in store.runs()] == ["running", "finished", "finished"]
    assert [run.metrics for run in store.runs()] == [{"n": 1}] * 3
    names["run"].finish()


def test_two_bare_runs_side_by_side(store):
    one, two = store.start_run("one"), store.start_run("two")
    one.log(a=1)
    two.log(a=2)
    assert mm.active_run() is two
    two.finish()
    assert mm.active_run() is one
    one.finish()
    assert (one.metrics, two.metrics) == ({"a": 1}, {"a": 2})


def test_runs_that_start_within_one_millisecond_keep_their_order(store, monkeypatch):
    monkeypatch.setattr("modelmgmt.tracking.record.now_us", lambda: 1_767_268_800_000_000)
    started = [store.start_run("sweep").id for _ in range(20)]
    assert store.runs().ids == started[::-1]


# -- a decorator ------------------------------------------------------------------------------------------------------


def test_decorator_without_parentheses(monkeypatch, store):
    monkeypatch.setenv("MODELMGMT_STORE", str(store.path))

    @mm.start_run
    def train(rate, run):
        run.log(rate=rate)
        return rate * 2

    assert train(0.5) == 1.0
    assert train(rate=0.25) == 0.5
    assert train.__name__ == "train"
    assert [run.metrics for run in store.runs()] == [{"rate": 0.25}, {"rate": 0.5}]
    assert [run.status for run in store.runs()] == ["finished"] * 2


def test_decorator_with_arguments_makes_a_run_a_call(store):
    @mm.start_run("churn", params={"lr": 0.1}, store=store)
    def train():
        mm.log(loss=1)
        return mm.active_run().id

    assert len(store.runs()) == 0, "decorating is not running"
    ids = [train(), train()]
    assert store.runs().ids == ids[::-1]
    assert all(run.params == {"lr": 0.1} and run.experiment == "churn" for run in store.runs())


def test_decorator_leaves_a_run_that_the_caller_gives(store):
    @mm.start_run("churn", store=store)
    def train(run=None):
        return run

    assert train("mine") == "mine"
    assert train(run="mine") == "mine"
    assert isinstance(train(), mm.Run)


def test_decorated_function_that_raises(store):
    @store.start_run("churn")
    def train():
        raise OSError("no data")

    with pytest.raises(OSError, match="no data"):
        train()
    assert "no data" in store.runs()[0].error


def test_decorated_coroutine(store):
    @mm.start_run("churn", store=store)
    async def train(run):
        run.log(a=1)
        await asyncio.sleep(0)
        run.log(a=2)
        return run.id

    assert store.runs[asyncio.run(train())].status == "finished"
    assert list(store.runs()[0].series("a").values) == [1, 2]


def test_decorator_goes_on_with_a_run(store):
    with store.start_run() as first:
        first.log(a=1)

    @mm.start_run(resume=first.id, store=store)
    def train(run):
        run.log(a=2)

    train()
    train()
    assert first.status == "finished"
    assert list(first.series("a").values) == [1, 2, 2]
    assert len(store.runs()) == 1


def test_what_can_not_be_decorated(store):
    def rows():
        yield 1

    with pytest.raises(InvalidTypeError, match="generator"):
        mm.start_run("churn", store=store)(rows)
    with pytest.raises(InvalidTypeError, match="function"):
        mm.start_run("churn", store=store)(3)
    run = store.start_run("churn")
    run.log(a=1)
    with pytest.raises(InvalidTypeError, match="before anything is logged"):
        run(rows)
    assert run.metrics == {"a": 1}


# -- inside another ---------------------------------------------------------------------------------------------------


def test_nested_runs_know_their_parent_and_share_its_experiment(store):
    with store.start_run("sweep") as outer:
        with store.start_run(group="fold") as inner:
            assert mm.active_run() is inner
            with store.start_run("other") as deepest:
                pass
        assert mm.active_run() is outer
    assert (inner.parent, inner.experiment, inner.group) == (outer.id, "sweep", "fold")
    assert (deepest.parent, deepest.experiment) == (inner.id, "other")
    assert outer.parent is None


def test_a_parent_that_is_named(store):
    parent = store.start_run("sweep", name="the-sweep")
    parent.finish()
    for reference in (parent, parent.id, "the-sweep"):
        with store.start_run(parent=reference) as child:
            assert (child.parent, child.experiment) == (parent.id, "sweep")


def test_a_run_in_another_store_is_no_child(store, tmp_path):
    with mm.Store(tmp_path / "other") as other, store.start_run("a") as outer:
        with other.start_run() as inner:
            assert (inner.parent, inner.experiment) == (None, "default")
        with pytest.raises(NotFoundError):
            other.start_run(parent=outer)
        assert len(other.runs()) == 1


def test_a_parent_that_is_not_there(store):
    with pytest.raises(NotFoundError, match="nobody"):
        store.start_run(parent="nobody")
    with pytest.raises(InvalidTypeError, match="parent"):
        store.start_run(parent=7)
    assert len(store.runs()) == 0


# -- who is active ----------------------------------------------------------------------------------------------------


def test_nobody_is_active(store):
    assert mm.active_run() is None
    with pytest.raises(RunFinishedError, match="needs a run"):
        mm.log(a=1)


def test_each_thread_has_its_own_active_run(store):
    seen = {}
    barrier = threading.Barrier(4)

    def work(number):
        with store.start_run(f"thread-{number}") as run:
            barrier.wait()
            mm.log(n=number)
            seen[number] = mm.active_run() is run
            barrier.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == dict.fromkeys(range(4), True)
    assert {run.experiment: run.metrics["n"] for run in store.runs()} == {f"thread-{n}": n for n in range(4)}


def test_a_worker_thread_logs_to_the_only_run(store):
    with store.start_run() as run:
        worker = threading.Thread(target=mm.log, kwargs={"a": 1})
        worker.start()
        worker.join()
    assert run.metrics == {"a": 1}


def test_each_task_has_its_own_active_run(store):
    async def work(number):
        with store.start_run(f"task-{number}"):
            await asyncio.sleep(0)
            mm.log(n=number)
            await asyncio.sleep(0)
            return mm.active_run().experiment

    async def main():
        with store.start_run("outer") as outer:
            names = await asyncio.gather(*(work(number) for number in range(5)))
            assert mm.active_run() is outer
        return names

    assert asyncio.run(main()) == [f"task-{number}" for number in range(5)]
    runs = store.runs("run.experiment != 'outer'")
    assert {run.experiment: run.metrics["n"] for run in runs} == {f"task-{n}": n for n in range(5)}
    assert len({run.parent for run in runs}) == 1


# -- the process ends -------------------------------------------------------------------------------------------------


def test_leaving_the_interpreter_finishes(script, store):
    done = script("run = mm.start_run('bare')\nfor i in range(100): run.log(i=i)\nmm.start_run('lost'); mm.log(a=1)")
    assert (done.returncode, done.stderr) == (0, "")
    bare, lost = store.runs(order_by="run.experiment")
    assert (bare.status, len(bare.series("i"))) == ("finished", 100)
    assert (lost.status, lost.metrics) == ("finished", {"a": 1})


def test_a_script_that_ends_with_an_error_has_failed(script, store):
    script("run = mm.start_run()\nrun.log(a=1)\nraise ValueError('diverged')")
    (run,) = store.runs()
    assert (run.status, run.metrics) == ("failed", {"a": 1})
    assert "ValueError: diverged" in run.error


def test_sys_exit_in_a_script(script, store):
    assert script("with mm.start_run('block') as run:\n    run.log(a=1)\n    sys.exit(3)").returncode == 3
    assert script("with mm.start_run('fine') as run:\n    run.log(a=1)\n    sys.exit(0)").returncode == 0
    assert [(run.experiment, run.status) for run in store.runs(order_by="run.experiment")] == [
        ("block", "failed"),
        ("fine", "finished"),
    ]


@pytest.mark.parametrize("ending", ["os._exit(1)", "os.kill(os.getpid(), 9)"], ids=["_exit", "SIGKILL"])
def test_a_process_that_is_gone_has_crashed_and_all_points_are_there(script, store, ending):
    script(
        f"""
        with mm.start_run("doomed", params={{"lr": 0.1}}, tags={{"team": "a"}}) as run:
            run.note("before")
            run.log_text("kept", "log.txt")
            for i in range(20_000):
                run.log(i=i, half=i / 2)
            run.log_series("bulk", range(5_000))
            {ending}
        """
    )
    (run,) = store.runs()
    assert run.status == "crashed"
    assert store.runs("run.status = 'crashed'").ids == [run.id]
    assert list(run.series("i").values) == list(range(20_000))
    assert list(run.series("half").steps) == list(range(20_000))
    assert len(run.series("bulk")) == 5_000
    assert run.summaries["i"].last_step == 19_999
    assert (run.params, run.tags, run.notes[0].text) == ({"lr": 0.1}, {"team": "a"}, "before")
    assert run.artifact("log.txt").load() == "kept"
    assert run.ended_at >= run.started_at
    assert store.check(deep=True) == []
