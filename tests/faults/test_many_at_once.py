"""Many at once: nothing lost, nothing twice, no lock that is not waited for, no hang at exit.

Each test is a script of its own, so that a hang is seen, and so that what ends is a whole process. The long forms
(`pytest -m long tests/faults/test_many_at_once.py`) do the same with more of everything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import modelmgmt as mm

HERE = Path(__file__).parent
HANG_S = 600

PRELUDE = """
import os, random, signal, sys, threading, time, warnings
from pathlib import Path
sys.path.insert(0, {here!r})
from torture import forked, read_all
import modelmgmt as mm
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
PATH, SIZE = Path(sys.argv[1]), int(sys.argv[2])

def at_once(count, work):
    \"\"\"Fork `count` processes that begin at one moment; each must end well, and say nothing on the way.\"\"\"
    reading, writing = os.pipe()
    children = []
    def one(number):
        def task(out):
            os.close(writing)
            os.read(reading, 1)
            work(number)
            os.write(out, b"done")
        return task
    for number in range(count):
        children.append(forked(one(number)))
    os.close(reading), os.close(writing)
    for pid, pipe in children:
        assert read_all(pipe) == b"done"
        assert os.waitpid(pid, 0)[1] == 0
"""

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.timeout(HANG_S + 30),
]


@pytest.fixture
def script(tmp_path):
    """Run code in a process of its own; gives the path of its store."""

    def run(code: str, size: int = 1, **variables: str) -> Path:
        path = tmp_path / "script.py"
        path.write_text(PRELUDE.format(here=str(HERE)) + textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, "-W", "error", str(path), str(tmp_path / "store"), str(size)],
            env={**os.environ, **variables}, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "locked" not in done.stderr
        assert done.stderr == ""
        return tmp_path / "store"

    return run


sizes = pytest.mark.parametrize("size", [1, pytest.param(10, marks=pytest.mark.long)])
modes = pytest.mark.parametrize("mode", ["local", "shared"])  # a local disk, and one that is used as a network mount


# -- processes

OPENERS = """
    def work(number):
        store = mm.Store(PATH)
        for place in range(SIZE):
            with store.start_run("many", name=f"run {number} {place}", params={"number": number}) as run:
                run.log(loss=number)
                run.log_text(f"text {number % 4}", "a.txt")
        store.close()

    at_once(32, work)
"""


@sizes
@modes
def test_32_processes_open_a_store_that_does_not_exist(script, size, mode):
    store = mm.Store(script(OPENERS, size, MODELMGMT_FILESYSTEM=mode))
    assert store._kernel.is_shared == (mode == "shared")
    runs = store.runs(order_by="run.name")
    assert len(runs) == 32 * size
    assert sorted(run.params["number"] for run in runs) == sorted([*range(32)] * size)
    assert {(run.status, run.metrics["loss"] == run.params["number"]) for run in runs} == {("finished", True)}
    assert sorted(run.number for run in runs) == list(range(1, 32 * size + 1))
    assert len({run.artifact("a.txt").digest for run in runs}) == 4
    assert store.check(deep=True) == []


LOGGERS = """
    COUNT = 250 * SIZE
    with mm.Store(PATH) as store:
        shared = store.start_run("many", name="shared")
        shared_id = shared.id
        shared.flush()

        def log_all(run, number):
            for step in range(COUNT):
                run.log({f"own/{number}": number + step, "together": number * COUNT + step}, step=step)
                if step % 50 == 0:
                    run.set_tags({f"{number}/{step}": step})
                    run.log_text(f"{step}", f"{number}/{step}.txt")

        def work(number):
            own_store = mm.Store(PATH)
            joined = own_store.start_run(resume=shared_id)
            assert joined.is_open
            log_all(joined, number)
            joined.finish()
            with own_store.start_run("many", name=f"own {number}") as own:
                log_all(own, number)
            own_store.close()

        def by_threads(number):
            log_all(shared, number)
            with store.start_run("many", name=f"own {number}") as own:
                log_all(own, number)

        if os.environ["BY"] == "threads":
            failed = []
            def guarded(number):
                try:
                    by_threads(number)
                except BaseException as error:
                    failed.append(error)
            threads = [threading.Thread(target=guarded, args=(number,)) for number in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failed, failed
        else:
            at_once(16, work)
        shared.finish()
"""


@sizes
@modes
@pytest.mark.parametrize("by", ["processes", "threads"])
def test_16_log_to_one_store_and_to_one_run(script, size, by, mode):
    count = 250 * size
    store = mm.Store(script(LOGGERS, size, BY=by, MODELMGMT_FILESYSTEM=mode))
    shared = store.runs["shared"]
    assert shared.status == "finished"
    together = shared.series("together")
    assert sorted(together.values.tolist()) == list(range(16 * count))
    tags = {f"{number}/{step}": str(step) for number in range(16) for step in range(0, count, 50)}
    assert shared.tags == tags
    assert set(shared.artifacts) == {f"{name}.txt" for name in tags}
    for number in range(16):
        own = store.runs[f"own {number}"]
        assert own.status == "finished"
        for run in (own, shared):
            series = run.series(f"own/{number}")
            assert series.steps.tolist() == list(range(count))
            assert series.values.tolist() == [number + step for step in range(count)]
        assert len(own.tags) == len(own.artifacts) == -(-count // 50)
    assert store.check(deep=True) == []


FORK_AFTER_OPEN = """
    store = mm.Store(PATH)
    run = store.start_run("many", name="loader")
    run.log(before=1.0)
    for epoch in range(4 * SIZE):
        def work(number):
            for step in range(200):
                run.log({f"worker/{number}": epoch * 200 + step}, step=epoch * 200 + step)
            run.set_tags({f"{number}/{epoch}": "done"})
            run.log_text(f"{number}/{epoch}", f"{number}/{epoch}.txt")
        threads = [threading.Thread(target=run.log, args=({"thread": epoch},)) for _ in range(3)]
        for thread in threads:
            thread.start()
        at_once(4, work)
        for thread in threads:
            thread.join()
        run.log(epoch=epoch)
    run.finish()
"""


@sizes
@modes
def test_children_that_are_forked_after_the_store_was_opened(script, size, mode):
    store = mm.Store(script(FORK_AFTER_OPEN, size, MODELMGMT_FILESYSTEM=mode))
    run = store.runs["loader"]
    for number in range(4):
        assert run.series(f"worker/{number}").values.tolist() == list(range(4 * size * 200))
    assert run.series("epoch").values.tolist() == list(range(4 * size))
    assert run.summaries["thread"].count == 3 * 4 * size
    assert len(run.tags) == len(run.artifacts) == 4 * 4 * size
    assert store.check(deep=True) == []


DATA_LOADER = """
    import torch
    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 40
        def __getitem__(self, place):
            run.log({"read": place}, step=place)
            return place
    store = mm.Store(PATH)
    run = store.start_run("many", name="torch")
    for epoch in range(2):
        loader = torch.utils.data.DataLoader(Rows(), batch_size=5, num_workers=2, multiprocessing_context="fork")
        for batch in loader:
            run.log({"batch": float(batch.sum())})
    run.finish()
"""


def test_the_workers_of_a_data_loader(script):
    pytest.importorskip("torch")
    run = mm.Store(script(DATA_LOADER)).runs["torch"]
    assert sorted(run.series("read").values.tolist()) == sorted([*range(40), *range(40)])
    assert run.summaries["batch"].count == 16
    assert run.status == "finished"


SPAWN = """
    import multiprocessing
    def work(number):
        with mm.start_run() as run:
            run.log({f"worker/{number}": number})
            run.set_tags({str(number): "x"})
        return run.id
    if __name__ == "__main__":
        store = mm.Store(PATH)
        with store.start_run("many", name="spawn") as run:
            os.environ.update(run.variables())
            with multiprocessing.get_context("spawn").Pool(3) as pool:
                assert set(pool.map(work, range(6), chunksize=2)) >= {run.id}
                pool.close()
                pool.join()
"""


def test_processes_that_are_spawned(script):
    """The first run that each process starts is the parent's; what it starts later is a run of its own."""
    store = mm.Store(script(SPAWN))
    found = [key for run in store.runs() for key in run.metrics]
    assert sorted(found) == [f"worker/{number}" for number in range(6)]
    assert {run.status for run in store.runs()} == {"finished"}


JOBLIB = """
    import joblib
    def work(path, run_id, number):
        import modelmgmt as mm
        run = mm.Store(path).start_run(resume=run_id)
        run.log({"score": number}, step=number)
        run.log_text(str(number), f"{number}.txt")
        return number
    with mm.Store(PATH).start_run("many", name="joblib") as run:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(str(PATH), run.id, number) for number in range(20))
        assert done == list(range(20))
"""


def test_joblib(script):
    pytest.importorskip("joblib")
    store = mm.Store(script(JOBLIB))
    run = store.runs["joblib"]
    assert run.series("score").steps.tolist() == list(range(20))
    assert len(run.artifacts) == 20
    assert store.check(deep=True) == []


# -- ends of every kind

EXITS = """
    store = mm.Store(PATH)
    run = store.start_run("many", name="parent")
    def leaves(number):
        run.log(child=number)
        own = mm.Store(PATH).start_run("many", name=f"child {number}")
        own.log(loss=number)
        os._exit(0)
    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            leaves(number)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    run.log(parent=1)
    if SIZE == 2:
        os._exit(0)
"""


@pytest.mark.parametrize(("size", "status"), [(1, "finished"), (2, "crashed")])
def test_os_exit_in_children_and_in_the_parent(script, size, status):
    store = mm.Store(script(EXITS, size))
    assert store.runs["parent"].status == status
    assert sorted(store.runs["parent"].series("child").values.tolist()) == [0, 1, 2, 3]
    for number in range(4):
        assert store.runs[f"child {number}"].status == "crashed"
        assert store.runs[f"child {number}"].metrics == {"loss": number}
    assert store.check(deep=True) == []


BUSY_AT_EXIT = """
    store = mm.Store(PATH)
    run = store.start_run("many", name="busy")
    count = 0
    def work():
        while True:
            try:
                run.log(loss=1.0)
                run.set_tags({"a": "b"})
            except mm.errors.RunFinishedError:
                return
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.3)
"""


def test_the_process_ends_while_threads_are_logging(script):
    store = mm.Store(script(BUSY_AT_EXIT))
    assert store.runs["busy"].status == "finished"
    assert store.check(deep=True) == []


INTERRUPTS = """
    from modelmgmt.store.database import BUSY_TIMEOUT_S
    # KeyboardInterrupt at random moments: what had returned is kept, what was under way is kept or not, nothing twice.
    rng = random.Random(SIZE)
    store = mm.Store(PATH)
    run = store.start_run("many", name="interrupted", on_error="raise")
    tried, kept, interrupts = [], [], 0
    step = 0
    while interrupts < 150 * SIZE:
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.choice((0.0003, 0.002, 0.01)) * rng.random() + 1e-6)
            while True:
                step += 1
                kind = rng.choice(["log"] * 6 + ["tag", "text", "flush"])
                tried.append((kind, step))
                if kind == "log":
                    run.log({f"m{step % 3}": step}, step=step)
                elif kind == "tag":
                    run.set_tags({f"t{step}": step})
                elif kind == "text":
                    run.log_text(str(step), f"{step}.txt")
                else:
                    run.flush()
                kept.append((kind, step))
        except KeyboardInterrupt:
            interrupts += 1
            begin_write = time.monotonic()
            run.set_tags({"last": step})  # in the handler, where the traceback still holds every frame
            assert time.monotonic() - begin_write < BUSY_TIMEOUT_S  # which is how long one waits for oneself
    signal.setitimer(signal.ITIMER_REAL, 0)
    import json
    Path("said.json").write_text(json.dumps([tried, kept, interrupts]))
    run.finish()
"""


@sizes
@modes
def test_keyboard_interrupts_in_the_middle_of_calls(script, size, tmp_path, mode):
    import json

    code = "    import signal; signal.signal(signal.SIGALRM, signal.default_int_handler)\n" + INTERRUPTS
    path = script(code, size, MODELMGMT_FILESYSTEM=mode)
    tried, kept, interrupts = json.loads((tmp_path / "said.json").read_text())
    assert interrupts == 150 * size
    store = mm.Store(path)
    run = store.runs["interrupted"]
    assert run.status == "finished"
    found = {
        "log": [step for key in run.metrics for step in run.series(key).steps.tolist()],
        "tag": [int(key[1:]) for key in run.tags if key != "last"],
        "text": [int(name.partition(".")[0]) for name in run.artifacts],
    }
    for kind, steps in found.items():
        assert len(steps) == len(set(steps)), kind
        assert {step for name, step in kept if name == kind} <= set(steps), kind
        assert set(steps) <= {step for name, step in tried if name == kind}, kind
    assert store.check(deep=True) == []
