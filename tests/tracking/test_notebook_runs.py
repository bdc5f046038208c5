"""Runs that are started in a notebook: real kernels, cells that are executed again, references that are held."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from jupyter_client.manager import start_new_kernel

import modelmgmt as mm


class Notebook:
    """A kernel, and cells with ids as editors give them."""

    def __init__(self, folder) -> None:
        self.manager, self.client = start_new_kernel(
            startup_timeout=600, kernel_name="python3", cwd=str(folder), env=dict(os.environ)
        )
        self.run("import os, modelmgmt as mm", "imports")

    def use(self, store) -> None:
        self.run(f"os.environ['MODELMGMT_STORE'] = {str(store)!r}", "use")

    def run(self, code: str, cell: str | None = None, *, fails: bool = False) -> None:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                   "stop_on_error": False}  # fmt: skip
        # With True the kernel aborts what comes within 0.1 s after a cell that failed, as "Run all" wants it.
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else None)
        self.client.shell_channel.send(message)
        while True:
            reply = self.client.get_shell_msg(timeout=600)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                break
        assert (reply["content"]["status"] == "error") == fails, "\n".join(reply["content"].get("traceback", ()))

    def close(self, *, now: bool = False) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("notebook"))
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel, tmp_path) -> Notebook:
    """One kernel for all tests, as it takes seconds to start; each has a store of its own."""
    kernel.use(tmp_path / "store")
    return kernel


HOLDERS = {
    "displayed": "run = mm.start_run('x')\nrun.log(n=1)\nrun",
    "only displayed": "mm.start_run('x')",
    "in a list": "kept = globals().setdefault('kept', [])\nkept.append(mm.start_run('x'))",
    "in a callback": "import functools\nhooks = globals().setdefault('hooks', [])\nrun = mm.start_run('x')\n"
    "hooks.append(functools.partial(run.log, n=1))",
    "in a cycle": "class Trainer: pass\nt = Trainer(); t.me = t; t.run = mm.start_run('x')",
    "in a function": "k = globals().setdefault('k', [])\ndef train():\n    run = mm.start_run('x')\n"
    "    k.append(lambda: run)\ntrain()",
    "nowhere": "mm.start_run('x');",
    "entered by hand": "import contextlib\nstack = globals().setdefault('stack', contextlib.ExitStack())\n"
    "run = stack.enter_context(mm.start_run('x'))",
    "two of them": "runs = globals().setdefault('runs', []) + [mm.start_run('x') for _ in range(2)]",
}


@pytest.mark.parametrize("cell", ["the-cell", None], ids=["by id", "by text"])
def test_a_cell_that_is_run_again_ends_what_it_began_before(notebook, tmp_path, cell):
    for number, (name, code) in enumerate(HOLDERS.items()):
        experiment = f"experiment-{number}"
        for _ in range(3):
            notebook.run(code.replace("'x'", repr(experiment)), cell and f"{cell}-{number}")
        runs = mm.Store(tmp_path / "store").runs(f"run.experiment = '{experiment}'")
        count = len(runs) // 3
        expected = ["running"] * count + ["finished"] * 2 * count
        assert [run.status for run in runs] == expected, name
    notebook.run("stack.close()", "close")


def test_a_cell_that_failed_and_is_run_again(notebook, tmp_path):
    """The traceback of the cell holds its frame, and the frame the run."""
    code = "def train():\n    run = mm.start_run('x')\n    run.log(n=1)\n    raise ValueError('diverged')\ntrain()"
    for _ in range(3):
        notebook.run(code, "cell", fails=True)
    assert [run.status for run in mm.Store(tmp_path / "store").runs()] == ["running", "finished", "finished"]


BLOCK = "with mm.start_run('x') as run:\n    run.log(n=1)\n    "
BARE = "import time\nrun = mm.start_run('x')\nrun.log(n=1)\n"
WAIT = "open({began!r}, 'w').close()\n{indent}while True: time.sleep(0.01)"


@pytest.mark.parametrize(("begin", "indent", "status"), [
    ("import time\n" + BLOCK, "    ", "interrupted"), (BARE, "", "running"),
], ids=["block", "bare"])  # fmt: skip
def test_a_cell_that_is_interrupted_and_run_again(notebook, tmp_path, begin, indent, status):
    """A block ends with its cell; a bare run goes on, until its cell is run again."""
    store = mm.Store(tmp_path / "store")
    for number in range(2):
        began = tmp_path / f"began-{number}"
        stop = threading.Thread(target=interrupt_after, args=(notebook, began))
        stop.start()
        notebook.run(begin + WAIT.format(began=str(began), indent=indent), "cell", fails=True)
        stop.join()
        assert store.runs()[0].status == status
    ended = status if indent else "finished"
    assert [(run.status, run.metrics["n"]) for run in store.runs()] == [(status, 1), (ended, 1)]


def interrupt_after(notebook, began):
    while not began.exists():
        time.sleep(0.01)
    # What interrupt_kernel does, without an event loop of this thread.
    os.kill(notebook.manager.provisioner.pid, signal.SIGINT)


def test_a_cell_that_was_edited_is_the_same_cell(notebook, tmp_path):
    notebook.run("kept = [mm.start_run('x', params={'lr': 0.1})]", "cell")
    notebook.run("kept.append(mm.start_run('x', params={'lr': 0.2}))", "cell")
    assert [(run.params["lr"], run.status) for run in mm.Store(tmp_path / "store").runs()] == [
        (0.2, "running"), (0.1, "finished"),
    ]  # fmt: skip


def test_other_cells_leave_it_open(notebook, tmp_path):
    notebook.run("a = mm.start_run('a')", "one")
    notebook.run("b = mm.start_run('b')", "two")
    notebook.run("a.log(n=1); b.log(n=2); mm.log(active=1)", "three")
    notebook.run("a.log(n=3)", "three")
    notebook.run("with mm.start_run('c') as c: c.log(n=1)", "four")
    store = mm.Store(tmp_path / "store")
    assert {run.experiment: run.status for run in store.runs()} == {"a": "running", "b": "running", "c": "finished"}
    assert store.runs("run.experiment = 'b'")[0].metrics == {"n": 2, "active": 1}
    assert store.runs("run.experiment = 'a'")[0].series("n").values.tolist() == [1, 3]


def test_a_run_that_goes_on_is_not_ended_by_its_own_cell(notebook, tmp_path):
    with mm.Store(tmp_path / "store").start_run("x", name="long") as first:
        first.log(n=0)
    for _ in range(3):
        notebook.run("run = mm.start_run(resume='long')\nrun.log(n=1)", "cell")
    assert first.status == "running"
    assert first.series("n").steps.tolist() == [0, 1, 2, 3]


def test_a_task_of_an_earlier_execution_keeps_its_run(notebook, tmp_path):
    code = (
        "import asyncio\nstop = globals().setdefault('stop', asyncio.Event())\n"
        "async def work():\n    with mm.start_run('x') as run:\n        run.log(n=1)\n        await stop.wait()\n"
        "        run.log(n=2)\n"
        "tasks = globals().setdefault('tasks', [])\ntasks.append(asyncio.create_task(work()))\nawait asyncio.sleep(0)"
    )
    for _ in range(2):
        notebook.run(code, "cell")
    assert [run.status for run in mm.Store(tmp_path / "store").runs()] == ["running"] * 2
    notebook.run("stop.set()\nawait asyncio.gather(*tasks)", "other")
    assert [(run.status, run.metrics["n"]) for run in mm.Store(tmp_path / "store").runs()] == [("finished", 2)] * 2


def test_a_kernel_that_is_shut_down_or_killed(tmp_path):
    for number, (now, status) in enumerate([(False, "finished"), (True, "crashed")]):
        notebook = Notebook(tmp_path)
        notebook.use(tmp_path / "store")
        notebook.run(f"run = mm.start_run('x{number}')\nrun.log(n=1)\nrun", "cell")
        notebook.close(now=now)
        (run,) = mm.Store(tmp_path / "store").runs(f"run.experiment = 'x{number}'")
        assert (run.status, run.metrics) == (status, {"n": 1})
