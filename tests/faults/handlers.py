"""SIGTERM at any moment of each kind of write, with a handler that tags, logs, ends the run and exits, as in a SLURM job.

    python tests/faults/handlers.py --signals 200

Each signal goes to a process of its own, which is forked and is writing when it comes. What the handler's calls returned for
has to be in the store when the process is gone, and the run is interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from torture import read_all

import modelmgmt as mm

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
LONGEST_S = 0.08
"""The signal comes at a random time up to here: a few turns of each loop."""


def writes(store: mm.Store, run: mm.Run, begun: Callable[[mm.Run], None]) -> dict[str, Callable[[int], object]]:
    """Each kind of write, for its turn."""

    def another(turn: int) -> None:
        with store.start_run("other", params={"turn": turn}, code=False) as other:
            other.log(loss=turn)

    def with_code(turn: int) -> None:
        store.start_run("other", parent=run).finish()

    def own_end(turn: int) -> None:
        mine = store.start_run("signals", name=f"{run.name} {turn}", code=False)
        begun(mine)
        mine.log(loss=turn)
        mine.finish()

    def several(turn: int) -> None:
        run.set_tags({"turn": turn})
        run.log_params({f"p{turn}": turn})
        run.log_text(str(turn), f"{turn}.txt")
        run.log(loss=turn)

    folder = Path(tempfile.mkdtemp(dir=store.path.parent))
    (folder / "a.bin").write_bytes(os.urandom(200_000))
    return {
        "log": lambda turn: run.log(loss=turn, accuracy=turn / 2),
        "new keys": lambda turn: run.log({f"key/{turn}": turn}),
        "series": lambda turn: run.log_series("bulk", range(2_000)),
        "params": lambda turn: run.log_params({f"p{turn}/{place}": place for place in range(20)}),
        "tags": lambda turn: run.set_tags({f"t{turn}": turn}),
        "note": lambda turn: run.note(f"turn {turn}"),
        "artifact": lambda turn: run.log_artifact(folder / "a.bin", f"{turn}/a.bin"),
        "folder": lambda turn: run.log_artifact(folder, f"folder {turn}"),
        "text": lambda turn: run.log_text(str(turn), f"{turn}.txt"),
        "flush": lambda turn: (run.log(loss=turn), run.flush()),
        "code": lambda turn: run.snapshot_code(f"turn {turn}"),
        "start and end": another,
        "start with code": with_code,
        "its own end": own_end,
        "several": several,
        "a fork": lambda turn: _forked(),
        "threads": lambda turn: _threads(run),
    }


KINDS = (
    "log", "new keys", "series", "params", "tags", "note", "artifact", "folder", "text", "flush", "code", "start and end",
    "start with code", "its own end", "several", "a fork", "threads",
)  # fmt: skip


def _forked() -> None:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os._exit(0)
    os.waitpid(pid, 0)


def _threads(run: mm.Run) -> None:
    import threading

    threads = [threading.Thread(target=run.log, args=({"thread": 1.0},)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def write_until_signal(path: Path, kind: str, name: str, out: int, *, block: bool) -> None:
    """In a child: write for ever. The handler says through `out` for which run it has done what, as `id` and a new line."""
    store = mm.Store(path)
    run = store.start_run("signals", name=name, code=False)
    current = [run]

    def handler(number: int, frame: object) -> None:
        mine = current[0] if current[0].is_open else run
        mine.set_tags({"reason": "preempted"})
        mine.log_params({"preempted": True})
        mine.note("preempted")
        mine.log(preempted=1.0)
        mine.log_artifact(b"state", "state.bin")
        mine.finish()
        if mine is not run:
            run.finish()
        os.write(out, f"{mine.id}\n".encode())
        sys.exit(143)

    turn, write = 0, writes(store, run, lambda begun: current.__setitem__(0, begun))[kind]
    signal.signal(signal.SIGTERM, handler)
    os.write(out, b"ready\n")
    with run if block else contextlib.nullcontext():
        while run.is_open:
            write(turn)
            turn += 1
    sys.exit(143)  # Python ignores what a handler raises while the process forks


def one(path: Path, kind: str, place: int, rng: random.Random) -> list[str]:
    """Signal one process while it writes; returns what is wrong."""
    reading, writing = os.pipe()
    name = f"{kind} {place}"
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.close(reading)
            os.chdir(path.parent)
            write_until_signal(path, kind, name, writing, block=place % 2 == 0)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 98
        except RuntimeError as error:
            # A signal while a thread starts: the lock of CPython's threading.Condition is released before the handler ends
            # the wait, and released again after it.
            ends = str(error) == "release unlocked lock" and isinstance(error.__context__, SystemExit)
            code = error.__context__.code if ends else 99
            if not ends:
                traceback.print_exc()
        except BaseException:  # noqa: BLE001 - of a child that must not go on as the parent
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    said = os.read(reading, len(b"ready\n"))
    time.sleep(rng.random() * LONGEST_S)
    os.kill(pid, signal.SIGTERM)
    ids = read_all(reading).decode().split()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    wrong = [] if (said, code, len(ids)) == (b"ready\n", 143, 1) else [f"{name}: exit code {code}, said {said!r} {ids}"]
    store = mm.Store(path)
    for run_id in ids:
        run = store.runs[run_id]
        ends = ("interrupted", "finished") if kind == "its own end" else ("interrupted",)  # the first end counts
        found = {
            "status": run.status in ends,
            "tag": run.tags.get("reason") == "preempted",
            "param": run.params.get("preempted") is True,
            "note": [note.text for note in run.notes][-1:] == ["preempted"],
            "metric": run.metrics.get("preempted") == 1.0,
            "artifact": "state.bin" in run.artifacts,
        }
        wrong += [f"{name}: {what} of {run.id} ({run.status})" for what, is_right in found.items() if not is_right]
    return wrong


def signals(
    count: int, seed: int, kinds: tuple[str, ...] = KINDS, report: Callable[[str], object] = print
) -> Iterator[str]:
    """Signal `count` processes in each kind of write."""
    rng = random.Random(seed)
    for kind in kinds:
        wrong = 0
        path = Path(tempfile.mkdtemp(), "store")  # no TemporaryDirectory: a forked process would remove it at its end
        mm.Store(path).close()
        for place in range(count):
            for fault in one(path, kind, place, rng):
                wrong += 1
                yield fault
        with mm.Store(path) as store:
            for problem in store.check(deep=True):
                wrong += 1
                yield f"{kind}: {problem}"
        shutil.rmtree(path.parent)
        report(f"{kind}: {count} signals, {wrong} faults")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=200, help="in each kind of write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS)
    chosen = parser.parse_args()
    kinds = tuple(chosen.kind or KINDS)
    faults = 0
    for fault in signals(chosen.signals, chosen.seed, kinds):
        faults += 1
        print(fault)
    print(f"{chosen.signals} SIGTERMs with a handler in each of {len(kinds)} kinds of write: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
