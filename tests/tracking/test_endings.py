"""Which status a run has when its block, its script or its process ends, in processes that really end so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import pytest

import modelmgmt as mm


@pytest.fixture
def ended(tmp_path, store):
    """Run code in a process of its own, by `python script.py`, `-m` or `-c`: its exit code, and its runs by experiment."""

    def run(code, mode="script"):
        text = "import argparse, os, signal, sys, threading\nimport modelmgmt as mm\n" + textwrap.dedent(code)
        (tmp_path / "ends.py").write_text(text)
        words = {"script": ["ends.py"], "-m": ["-m", "ends"], "-c": ["-c", text]}[mode]
        variables = {"MODELMGMT_STORE": str(store.path), "MODELMGMT_CODE": "0"}
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = {run.experiment: run for run in mm.Store(store.path).runs(order_by="run.started_at")}
        assert found, done.stderr
        return done.returncode, {name: run.status for name, run in found.items()}, found["default"].error

    return run


BARE = "run = mm.start_run()\nrun.log(loss=1.0)\n"

ENDINGS = {
    "sys.exit(0)": (0, "finished", None),
    "sys.exit()": (0, "finished", None),
    "sys.exit(False)": (0, "finished", None),
    "sys.exit(True)": (1, "failed", "exit code 1"),
    "sys.exit(255)": (255, "failed", "exit code 255"),
    "sys.exit('no data')": (1, "failed", "no data"),
    "sys.exit('')": (1, "failed", "exit code 1 ('')"),
    "sys.exit(0.0)": (1, "failed", "0.0"),
    "sys.exit(130)": (130, "interrupted", "exit code 130"),
    "sys.exit(143)": (143, "interrupted", "exit code 143"),
    "quit(4)": (4, "failed", "exit code 4"),
    "raise SystemExit": (0, "finished", None),
    "raise SystemExit(3)": (3, "failed", "exit code 3"),
    "raise SystemExit('stop')": (1, "failed", "stop"),
    "error = SystemExit(3)\ndef main():\n    mine = SystemExit(5)\n    raise mine\nmain()": (
        5,
        "failed",
        "exit code 5",
    ),
    "argparse.ArgumentParser().parse_args(['--unknown'])": (2, "failed", "exit code 2"),
    "argparse.ArgumentParser().parse_args(['--help'])": (0, "finished", None),
    "import unittest\nunittest.main(argv=['x', 'no_such_test'])": (1, "failed", "exit code 1"),
    "import click\nclick.command()(lambda: click.get_current_context().exit(7))([])": (7, "failed", "exit code 7"),
    "os._exit(0)": (0, "crashed", None),
    "os.abort()": (-6, "crashed", None),
    "import ctypes\nctypes.string_at(0)": (-11, "crashed", None),
    "os.kill(os.getpid(), signal.SIGTERM)": (-15, "crashed", None),
}


@pytest.mark.parametrize(("ending", "expected"), ENDINGS.items(), ids=ENDINGS)
def test_the_exit_code_of_a_script_decides(ended, ending, expected):
    code, statuses, error = ended(BARE + ending)
    assert (code, statuses, error) == (expected[0], {"default": expected[1]}, expected[2])


@pytest.mark.parametrize("mode", ["-m", "-c"])
def test_the_exit_code_of_a_module_or_command_decides(ended, mode):
    assert ended(BARE + "sys.exit(3)", mode) == (3, {"default": "failed"}, "exit code 3")


def test_runs_in_functions_and_threads_end_with_the_script(ended):
    code = """
        def main():
            run = mm.start_run()
            child = mm.start_run("child", parent=run)
            threading.Thread(target=mm.start_run, args=("thread",)).start()
            parser = argparse.ArgumentParser()
            parser.error("no")
        main()
        """
    statuses = {"default": "failed", "child": "failed", "thread": "failed"}
    assert ended(code) == (2, statuses, "exit code 2")


CAUGHT = {
    "and the script ends": ("", 0, "finished"),
    "and held": ("kept = error", 0, "finished"),
    "and another code is given": ("kept = error\n    sys.exit(0)", 0, "finished"),
    "and raised again": ("raise", 3, "failed"),
}


@pytest.mark.parametrize("ends", ["run.finish()", "mm.finish()", "mm.active_run().finish()"])
def test_whoever_ends_it_in_a_signal_handler_interrupts_it(ended, ends):
    code = f"signal.signal(signal.SIGUSR1, lambda *_: {ends})\nsignal.raise_signal(signal.SIGUSR1)"
    assert ended(BARE + code)[1] == {"default": "interrupted"}
    assert ended(BARE + ends)[1] == {"default": "finished"}


@pytest.mark.parametrize("raised", ["sys.exit(3)", "raise SystemExit(3)"])
@pytest.mark.parametrize(("then", "code", "status"), CAUGHT.values(), ids=CAUGHT)
def test_an_exit_that_was_caught(ended, raised, then, code, status):
    found = ended(BARE + f"try:\n    {raised}\nexcept SystemExit as error:\n    print(error)\n    {then}")
    assert found[:2] == (code, {"default": status})


def test_what_threads_do_ends_no_script(ended):
    code = """
        for work in (lambda: 1 / 0, lambda: sys.exit(3)):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        """
    assert ended(BARE + textwrap.dedent(code)) == (0, {"default": "finished"}, None)


@pytest.mark.parametrize(
    ("ending", "status"),
    [("1 / 0", "failed"), ("sys.excepthook = print\n1 / 0", "failed"), ("raise KeyboardInterrupt", "interrupted")],
)
def test_an_exception_that_ends_the_script(ended, ending, status):
    _, statuses, error = ended(BARE + ending)
    assert statuses == {"default": status}
    assert ending.splitlines()[-1] in error


def test_others_may_wrap_what_is_wrapped(ended):
    code = """
        before = sys.exit
        run = mm.start_run("first")
        ours = sys.exit
        sys.exit = lambda *status: ours(*status)
        theirs = sys.exit
        run.finish()
        assert sys.exit is theirs
        run = mm.start_run()
        second = mm.start_run("second")
        second.finish()
        try:
            sys.exit(9)
        except SystemExit as error:
            assert error.code == 9
        sys.exit(4)
        """
    assert ended(code)[:2] == (4, {"first": "finished", "second": "finished", "default": "failed"})


def test_with_the_last_run_what_was_wrapped_is_as_it_was(store):
    before, flush = sys.exit, sys.stderr.__dict__.get("flush")
    one, other = store.start_run(), store.start_run()
    assert sys.exit is not before
    one.finish()
    assert sys.exit is not before
    other.finish()
    assert sys.exit is before
    assert sys.stderr.__dict__.get("flush") is flush


# -- shells


def test_an_error_in_a_console_within_a_script_is_not_the_scripts(ended):
    console = "import code\nconsole = code.InteractiveConsole()\nsys.ps1 = '>'\nconsole.push('1 / 0')\n"
    assert ended(BARE + console) == (0, {"default": "finished"}, None)
    _, statuses, error = ended(BARE + console + "[][7]")
    assert statuses == {"default": "failed"}
    assert "IndexError" in error
    assert "ZeroDivisionError" not in error


# -- blocks


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "interrupted", "CancelledError"),
        (SystemExit(130), "interrupted", "exit code 130"),
        (SystemExit(143), "interrupted", "exit code 143"),
        (SystemExit(2), "failed", "exit code 2"),
        (SystemExit("no data"), "failed", "no data"),
        (SystemExit(""), "failed", "exit code 1"),
        (SystemExit(None), "finished", ""),
        (SystemExit(False), "finished", ""),
    ],
    ids=repr,
)
def test_what_ends_a_block(store, error, status, text):
    with pytest.raises(type(error)), store.start_run() as outer, store.start_run() as inner:
        raise error
    for run in (outer, inner):
        assert run.status == status
        assert text in (run.error or "")


def test_ctrl_c_in_asyncio(ended):
    code = """
        import asyncio
        async def main():
            with mm.start_run() as run:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
        bare = mm.start_run("bare")
        asyncio.run(main())
        """
    code_, statuses, _ = ended(code)
    assert (code_, statuses) == (-2, {"default": "interrupted", "bare": "interrupted"})


# -- signal handlers

HANDLERS = {
    "a function": "def handler(number, frame):\n    run.finish()",
    "a lambda": "handler = lambda *_: run.finish()",
    "a method": "class A:\n    def stop(self, number, frame):\n        run.finish()\nhandler = A().stop",
    "an object": "class A:\n    def __call__(self, number, frame):\n        run.finish()\nhandler = A()",
    "a partial": "import functools\nhandler = functools.partial(lambda run, number, frame: run.finish(), run)",
    "one that calls another": "def stop():\n    run.finish()\ndef handler(number, frame):\n    stop()",
    "one for once": "def handler(n, frame):\n    signal.signal(n, signal.SIG_IGN)\n    run.note('x')\n    run.finish()",
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_finish_in_a_handler(ended, handler):
    then = "\nsignal.signal(signal.SIGUSR1, handler)\nrun.note('on')\nos.kill(os.getpid(), signal.SIGUSR1)"
    code, statuses, _ = ended(BARE + handler + then + "\nassert not run.is_open")
    assert (code, statuses) == (0, {"default": "interrupted"})


@pytest.fixture
def on_signal():
    """Call something in a handler of this process."""
    import signal

    before = signal.getsignal(signal.SIGUSR2)

    def call(action):
        signal.signal(signal.SIGUSR2, lambda *_: action())
        signal.raise_signal(signal.SIGUSR2)

    yield call
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_a_status_that_is_passed_wins(store, on_signal, status):
    run = store.start_run()
    on_signal(lambda: run.finish(status, error="why"))
    assert (run.status, run.error) == (status, "why")
    run = store.start_run()
    run.finish(status)
    assert run.status == status


def test_a_loop_that_a_flag_ended_is_finished(store, on_signal):
    stopped = []
    with store.start_run() as run:
        while not stopped:
            run.log(a=1)
            on_signal(lambda: stopped.append(1))
        run.finish()
    assert run.status == "finished"


def test_a_handler_of_asyncio(ended):
    code = """
        import asyncio
        async def main():
            stop = asyncio.Event()
            def handler():
                run.finish()
                stop.set()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, handler)
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            asyncio.get_running_loop().call_soon(mm.start_run("other").finish)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        run = mm.start_run()
        asyncio.run(main())
        """
    assert ended(code)[:2] == (0, {"default": "interrupted", "other": "finished"})


# -- processes of multiprocessing

WORKERS = """
    import multiprocessing
    def work(ending):
        run = mm.start_run(ending)
        run.log(loss=1.0)
        if ending == "default":
            sys.exit(3)
        if ending == "error":
            1 / 0
        if ending == "stop":
            raise KeyboardInterrupt
    if __name__ == "__main__":
        context = multiprocessing.get_context("METHOD")
        for ending in ("fine", "default", "error", "stop"):
            process = context.Process(target=work, args=(ending,))
            process.start()
            process.join()
    """


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing(ended, method):
    code, statuses, error = ended(WORKERS.replace("METHOD", method))
    assert (code, error) == (0, "exit code 3")
    assert statuses == {"fine": "finished", "default": "failed", "error": "failed", "stop": "interrupted"}


# -- a status of its own


def test_interrupted_is_a_status_everywhere(store, tmp_path):
    import pandas as pd

    run = store.start_run("a", name="stopped")
    run.log(loss=0.5)
    run.finish("interrupted", error="exit code 143")
    store.start_run("a").finish()
    runs = store.runs("run.status = 'interrupted'")
    assert runs.ids == [run.id]
    frame = runs.to_frame()
    assert list(frame["status"]) == ["interrupted"]
    assert isinstance(frame, pd.DataFrame)
    page = tmp_path / "page.html"
    mm.report.write_report(store.runs(), page, now=datetime.now(UTC))
    assert 'class="status-interrupted"' in page.read_text()
    assert "exit code 143" in page.read_text()
    with mm.Store(tmp_path / "other") as other:
        other.merge(store.path)
        assert other.runs("run.status = 'interrupted'").ids == [run.id]
    assert store.check(deep=True) == []
