"""Whose child a run is, and whose metrics `mm.log` writes: threads, pools, tasks and forks inside a block."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.pool
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest

import modelmgmt as mm


def trial(number):
    """One run, as people write the objective of a search."""
    with mm.start_run(params={"n": number}) as run:
        mm.log(n=number)
        return run.parent, run.experiment, mm.active_run() is run


def in_threads(numbers):
    found = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: trial(n)})) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[n] for n in numbers]


def in_executor(numbers):
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(trial, numbers))


def in_thread_pool(numbers):
    with multiprocessing.pool.ThreadPool(3) as pool:
        return pool.map(trial, numbers)


def in_joblib(numbers):
    return joblib.Parallel(n_jobs=3, backend="threading")(joblib.delayed(trial)(n) for n in numbers)


def in_tasks(numbers):
    async def main():
        return await asyncio.gather(*(asyncio.to_thread(trial, n) for n in numbers))

    return asyncio.run(main())


def in_loop_executor(numbers):
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(None, trial, n) for n in numbers))

    return asyncio.run(main())


def in_timers(numbers):
    found = {}
    timers = [threading.Timer(0, lambda n=n: found.update({n: trial(n)})) for n in numbers]
    for timer in timers:
        timer.start()
    for timer in timers:
        timer.join()
    return [found[n] for n in numbers]


WAYS = [in_threads, in_executor, in_thread_pool, in_joblib, in_tasks, in_loop_executor, in_timers]


@pytest.mark.parametrize("run_all", WAYS, ids=lambda way: way.__name__)
def test_runs_of_workers_are_children_of_the_block(store, run_all):
    with store.start_run("sweep") as sweep:
        found = run_all(range(8))
    assert found == [(sweep.id, "sweep", True)] * 8
    assert sorted(run.metrics["n"] for run in store.runs(f"run.parent = '{sweep.id}'")) == list(range(8))
    assert sweep.metrics == {}, "each worker logs to its own run"


@pytest.mark.parametrize("run_all", WAYS, ids=lambda way: way.__name__)
def test_what_workers_log_without_a_run_of_their_own_is_the_blocks(store, run_all, monkeypatch):
    monkeypatch.setitem(globals(), "trial", lambda n: mm.log({f"worker/{n}": n}))
    with store.start_run("other") as other, store.start_run("sweep") as sweep:
        run_all(range(8))
    assert sweep.metrics == {f"worker/{n}": n for n in range(8)}
    assert other.metrics == {}


def test_an_experiment_that_is_named_is_the_childs_own(store):
    with store.start_run("sweep") as sweep, ThreadPoolExecutor(1) as pool:
        child = pool.submit(store.start_run, "own").result()
        child.finish()
    assert (child.parent, child.experiment) == (sweep.id, "own")


def test_a_pool_in_a_worker_belongs_to_the_workers_run(store):
    """Two trials at a time, each with folds in threads of its own: no fold is given to the other trial, or to the sweep."""
    together = threading.Barrier(2)

    def fold(number):
        with mm.start_run(params={"fold": number}) as run:
            return run.parent

    def outer(number):
        with mm.start_run(params={"trial": number}) as run:
            together.wait()
            with ThreadPoolExecutor(2) as pool:
                parents = set(pool.map(fold, range(4)))
                pool.submit(mm.log, scored=number).result()
            together.wait()
            return parents == {run.id} and run.metrics == {"scored": number}

    with store.start_run("sweep") as sweep, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(outer, range(2))) == [True, True]
    assert sweep.metrics == {}


def test_two_blocks_in_two_threads_are_not_one_anothers(store):
    inside, done = threading.Event(), threading.Event()
    found = {}

    def first():
        with store.start_run("first") as run:
            found["first"] = run.parent
            inside.set()
            done.wait()

    def second():
        inside.wait()
        with store.start_run("second") as run:
            found["second"] = run.parent
            mm.log(mine=1)
            found["logged"] = run.metrics
        done.set()

    threads = [threading.Thread(target=first)]
    threads[0].start()
    inside.wait()
    threads.append(threading.Thread(target=second))  # started while the first one's block goes on
    threads[1].start()
    for thread in threads:
        thread.join()
    assert found == {"first": None, "second": None, "logged": {"mine": 1}}


def test_the_main_thread_is_not_inside_a_workers_block(store):
    inside, done = threading.Event(), threading.Event()

    def work():
        with store.start_run("worker"):
            inside.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    with store.start_run("main") as run:
        assert run.parent is None
    done.set()
    thread.join()


def test_a_pool_that_is_older_than_the_block(store):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        for name in ("one", "two"):
            with store.start_run(name) as block:
                assert pool.submit(trial, 1).result()[:2] == (block.id, name)
                with store.start_run() as nested:
                    assert pool.submit(trial, 2).result()[0] == nested.id
                assert pool.submit(trial, 3).result()[0] == block.id
        monkey = pool.submit(store.start_run, "after").result()
        assert monkey.parent is None
        monkey.finish()


def test_bare_runs_of_two_threads_do_not_mix(store):
    started = threading.Barrier(2)

    def work(number):
        mm.start_run(f"bare-{number}", store=store)
        started.wait()
        mm.log(n=number)
        started.wait()
        mm.active_run().finish()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.experiment: run.metrics for run in store.runs()} == {f"bare-{n}": {"n": n} for n in range(2)}


def test_bare_runs_of_two_tasks_do_not_mix(store):
    async def work(number):
        run = mm.start_run(f"bare-{number}", store=store)
        await asyncio.sleep(0)
        mm.log(n=number)
        await asyncio.sleep(0)
        run.finish()

    async def main():
        await asyncio.gather(*(work(number) for number in range(3)))

    asyncio.run(main())
    assert {run.experiment: run.metrics for run in store.runs()} == {f"bare-{n}": {"n": n} for n in range(3)}


def test_a_forked_worker_is_in_the_block_that_forked_it(store):
    with store.start_run("sweep") as sweep, multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(trial, range(4)) == [(sweep.id, "sweep", True)] * 4
    with store.start_run("threads") as block:
        children = []

        def fork():
            pid = os.fork()
            if pid == 0:
                parent, _, _ = trial(9)
                os._exit(0 if parent == block.id else 1)
            children.append(os.waitpid(pid, 0)[1])

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    assert children == [0]


def test_tasks_side_by_side_share_a_pool(store):
    """A thread of the loop's pool knows no task: what it is certainly in is the block around all of them."""

    async def work(name, together):
        with mm.start_run(name) as run:
            await together.wait()
            own = await asyncio.to_thread(trial, 1)
            pooled = await asyncio.get_running_loop().run_in_executor(None, trial, 2)
            await together.wait()
            return own[0] == run.id, pooled[0]

    async def main():
        with store.start_run("outer") as outer:
            together = asyncio.Barrier(3)
            return outer.id, await asyncio.gather(*(work(f"task-{n}", together) for n in range(3)))

    outer, found = asyncio.run(main())
    assert found == [(True, outer)] * 3
