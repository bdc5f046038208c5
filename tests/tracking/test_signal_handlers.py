"""What a signal handler says arrives, at whatever call of a write it comes."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress

import pytest

import modelmgmt as mm
from modelmgmt.errors import RunFinishedError
from modelmgmt.store import signals
from modelmgmt.tracking import lifecycle

# Python drops what a handler raises while a generator, a weak reference or an object is being let go.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MOMENTS = 12
"""Of each kind of write: the calls of Python functions in it at which a signal comes, spread over all of them."""


def say(run: mm.Run) -> None:
    run.set_tags({"reason": "preempted"})
    run.log_params({"stop": {"signal": 15}})
    run.note("preempted")
    run.log(preempted=1.0)
    run.log_artifact(b"state", "state.bin")
    run.log_text("state", "state.txt")


def check_said(run: mm.Run) -> None:
    assert run.tags["reason"] == "preempted"
    assert run.params["stop.signal"] == 15
    assert [note.text for note in run.notes] == ["preempted"]
    assert list(run.series("preempted").values) == [1.0]
    assert run.artifact("state.bin").read_bytes() == b"state"
    assert run.artifact("state.txt").load() == "state"


class Interrupted:
    """A block in which a signal comes at the `moment`th call of a function."""

    def __init__(self, moment=None):
        self.calls = 0
        self.moment = moment

    def __enter__(self):
        sys.setprofile(self.profile)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)

    def profile(self, frame, event, argument):
        if event == "call":  # not "c_call": Python 3.11 breaks when an exception leaves a profile function there
            self.calls += 1
            if self.calls == self.moment:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGTERM)


def moments(count):
    """The calls at which to interrupt a write of so many."""
    return range(2, count, max(1, count // MOMENTS))


@pytest.fixture
def handle():
    """Set the handler of SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda handler: signal.signal(signal.SIGTERM, lambda number, frame: handler())
    signal.signal(signal.SIGTERM, before)
    assert not signals.waiting


WRITES = {
    "log": lambda store, run: run.log(loss=1.0),
    "series": lambda store, run: run.log_series("bulk", range(2_000)),
    "short series": lambda store, run: run.log_series("short", range(20)),
    "params": lambda store, run: run.log_params({"a": {"b": [1, 2]}}),
    "tags": lambda store, run: run.set_tags(team="a"),
    "remove a tag": lambda store, run: run.remove_tag("old"),
    "artifact": lambda store, run: run.log_artifact(b"x" * 10_000, "x"),
    "file": lambda store, run: run.log_artifact(__file__),
    "table": lambda store, run: run.log_table({"a": [1, 2]}, "t"),
    "data": lambda store, run: run.log_dataset({"a": [1, 2]}, "d"),
    "flush": lambda store, run: run.flush(),
    "code": lambda store, run: run.snapshot_code("x"),
    "start": lambda store, run: store.start_run("other", parent=run).finish(),
    "resume": lambda store, run: store.start_run(resume=store.runs["before"].id).finish(),
    "end": lambda store, run: run.finish("finished"),
}


def prepared(store, kind):
    """The write, and the moments in it."""
    store.start_run(name="before").finish()
    work = WRITES[kind]

    for _ in range(2):  # more is called the first time
        with store.start_run() as run, Interrupted() as found:
            work(store, run)
    return work, moments(found.calls)


@pytest.mark.parametrize("kind", WRITES)
def test_a_handler_says_something_and_returns(store, handle, kind):
    work, places = prepared(store, kind)
    said = []
    for place in places:
        run = store.start_run()
        handle(lambda run=run: (said.append(run), say(run)))
        with Interrupted(place):
            work(store, run)
        run.finish()
        assert run.status == "finished"
    for run in said:
        check_said(run)
    assert len(said) >= 3
    assert store.check(deep=True) == []


class InterruptedAgain(Interrupted):
    """A block in which a second signal comes at the first call that `catch_up` makes after the first one."""

    def profile(self, frame, event, argument):
        if event == "call":
            self.calls += 1
            caller = frame.f_back and frame.f_back.f_code
            if self.calls == self.moment or (self.calls > self.moment and caller is signals.catch_up.__code__):
                if self.calls > self.moment:
                    sys.setprofile(None)
                signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("kind", ["params", "artifact", "table", "resume"])
def test_a_second_signal_comes_while_what_the_first_said_is_written(store, handle, kind):
    work, places = prepared(store, kind)
    signalled = 0
    for place in places:
        run = store.start_run()
        said = []

        def handler(run=run, said=said):
            said.append(len(said))
            run.log_params({f"stop {said[-1]}": said[-1]})

        handle(handler)
        with InterruptedAgain(place):
            work(store, run)
        run.finish()
        assert run.params == {**run.params, **{f"stop {number}": number for number in said}}
        signalled += len(said)
    assert signalled >= 3


@pytest.mark.parametrize("kind", WRITES)
def test_a_handler_ends_the_run_and_exits(store, handle, kind):
    work, places = prepared(store, kind)
    said = []

    def handler(run):
        said.append(run)
        say(run)
        run.finish()
        sys.exit(143)

    for place in places:
        run = store.start_run()
        handle(lambda run=run: handler(run))
        with suppress(SystemExit), Interrupted(place):
            work(store, run)
        run.finish()
    for run in said:
        check_said(run)
        assert not run.is_open
        assert run.status in (("interrupted", "finished") if kind == "end" else ("interrupted",))
    assert len(said) >= 3
    assert store.check(deep=True) == []


@pytest.mark.parametrize("kind", ["params", "start", "end", "artifact"])
def test_an_exit_in_a_handler_ends_each_run(store, handle, kind):
    work, places = prepared(store, kind)
    handle(lambda: sys.exit(143))
    for place in places:
        with suppress(SystemExit), store.start_run("mine") as run, Interrupted(place):
            work(store, run)
        for left in list(lifecycle._open_runs):
            left.finish("interrupted")  # as the end of the process does, where an end was cut off
    assert {run.status for run in store.runs()} <= {"finished", "interrupted"}
    assert store.check(deep=True) == []


def test_what_is_queued_comes_in_its_order_and_before_what_comes_later(store, handle):
    run = store.start_run()

    def handler():
        for value in ("first", "second"):
            run.set_tags(order=value)
        assert "order" not in run.tags  # the write that was interrupted is under way

    handle(handler)
    with store._kernel.database.writing() as connection:
        signal.raise_signal(signal.SIGTERM)
        connection.execute("SELECT 1")
    assert run.tags == {"order": "second"}
    run.set_tags(order="third")
    assert run.tags == {"order": "third"}
    run.finish()


def test_a_handler_in_the_middle_of_nothing_writes_at_once(store, handle):
    run = store.start_run()
    handle(lambda: (say(run), check_said(run), run.finish(), check_said(run)))
    signal.raise_signal(signal.SIGTERM)
    assert run.status == "interrupted"
    with pytest.raises(RunFinishedError):
        run.log(a=1)


def test_while_a_thread_begins(store, handle):
    """A thread that is beginning or ending waits for a lock that its starter holds."""
    said = []

    def start():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

    start()
    with Interrupted() as found:
        start()
    for place in range(1, found.calls):
        run = store.start_run()
        handle(lambda run=run: (said.append(run), say(run), run.finish()))
        with Interrupted(place):
            start()
        run.finish()
    for run in said:
        check_said(run)
        assert run.status == "interrupted"
    assert len(said) > 5


def test_what_a_handler_calls_is_loaded_when_the_run_has_started(script, store):
    done = script(
        """
        run = mm.start_run("modules")
        run._settle_code()
        before = set(sys.modules)
        for each in (run, mm):
            each.set_tags(a=1)
            each.log(a=1)
            each.log_params(b=2)
            each.log_artifact(__file__, "f")
            each.log_artifact(os.path.dirname(__file__) or ".", "folder")
        run.note("x")
        run.log_text("x", "t")
        run.log_series("q", [1, 2, 3])
        mm.finish()
        assert set(sys.modules) == before, set(sys.modules) - before
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_another_stores_write_is_no_reason_to_wait_for_ever(store, tmp_path, handle):
    with mm.Store(tmp_path / "other") as other:
        run = other.start_run()
        handle(lambda: (say(run), run.finish()))
        with store._kernel.database.writing():
            signal.raise_signal(signal.SIGTERM)
        check_said(run)
        assert run.status == "interrupted"
