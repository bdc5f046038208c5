"""A process of another machine is declared gone: what it left is taken in, and nothing waits for it any more."""

from __future__ import annotations

import os
import re
import signal
import warnings

import pytest
from click.testing import CliRunner

import modelmgmt as mm
from modelmgmt.cli import cli
from modelmgmt.errors import InvalidValueError, NotFoundError, RunInUseError
from modelmgmt.store import process, turn
from modelmgmt.tracking.gone import TakenIn, declare_gone

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
POINTS = 20


@pytest.fixture(params=["local", "shared"])
def filesystem(request, monkeypatch):
    monkeypatch.setenv("MODELMGMT_FILESYSTEM", request.param)
    return request.param


def elsewhere(task):
    """Run `task` in a process that looks as if it were one of another machine, and is killed; returns its pid."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        process._host = lambda: "node7/pid:[4026531836]"
        process._describe.cache_clear()
        task()
        os.write(writing, b".")
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        done = pipe.read()
    os.waitpid(pid, 0)
    assert done == b"."
    return pid


def train(path):
    run = mm.Store(path).start_run("a", name="lost")
    for step in range(POINTS):
        run.log(loss=0.5, step=step)
    return run


def train_with_turn(path):
    run = train(path)
    holding = run._kernel.database.writing()
    holding.__enter__()
    kept.append(holding)


kept = []


def in_tables(store):
    with store._kernel.database.reading() as connection:
        return connection.execute("SELECT sum(count) FROM chunks").fetchone()[0] or 0


@pytest.mark.parametrize("host", ["node7", "node7/pid:[4026531836]"])
def test_what_a_process_elsewhere_left_is_taken_in_on_a_word(tmp_path, filesystem, host):
    path = tmp_path / "store"
    pid = elsewhere(lambda: train(path))
    with mm.Store(path) as store:
        assert (store.runs["lost"].status, in_tables(store)) == ("running", 0)
        assert len(store.runs["lost"].series("loss")) == POINTS
        assert declare_gone(path, f"{host}:{pid}") == TakenIn(f"{host}:{pid}", ("lost",), 1, had_turn=False)
        run = store.runs["lost"]
        assert (run.status, in_tables(store)) == ("crashed", POINTS)
        assert run._record.ended_at >= run._record.started_at
        assert [note.text for note in run.notes] == [f"The process {host}:{pid} was declared gone."]
        assert list((path / "journal").glob("*.journal")) == []
        assert store.check(deep=True) == []
        store.delete_run("lost")


def test_the_turn_of_a_machine_that_is_gone_is_free(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELMGMT_FILESYSTEM", "shared")
    path = tmp_path / "store"
    pid = elsewhere(lambda: train_with_turn(path))
    monkeypatch.setattr(turn, "TIMEOUT_S", 0.1)
    said = f"modelmgmt store check --gone node7/pid:[4026531836]:{pid}"
    with pytest.raises(mm.errors.StoreBusyError, match=re.escape(said)):
        mm.Store(path)
    answer = CliRunner().invoke(
        cli, ["store", "check", "--gone", f"node7:{pid}", "--store", str(path)], standalone_mode=False
    )
    assert answer.return_value == 0
    assert answer.stderr == f"node7:{pid}: 1 journal read; crashed: lost; its lock is released.\n"
    with mm.Store(path) as store:
        assert (store.runs["lost"].status, in_tables(store)) == ("crashed", POINTS)


def test_what_is_there_is_named_when_something_else_is_asked_for(tmp_path, filesystem):
    path = tmp_path / "store"
    pid = elsewhere(lambda: train(path))
    with pytest.raises(NotFoundError, match=re.escape(f"journals and runs of node7/pid:[4026531836]:{pid}")):
        declare_gone(path, f"node7:{pid + 1}")
    with pytest.raises(InvalidValueError, match="HOST:PID"):
        declare_gone(path, "node7")
    with mm.Store(path) as store:
        assert store.runs["lost"].status == "running"


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFoundError, match="There is no store at"):
            declare_gone(path, "node7:1234")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFoundError, match="There is no store at"):
        CliRunner().invoke(
            cli,
            ["store", "check", "--gone", "node7:1", "--store", str(tmp_path / "none")],
            standalone_mode=False,
            catch_exceptions=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_who_can_be_seen_alive_is_not_gone(tmp_path, filesystem):
    path = tmp_path / "store"
    run = train(path)
    here = process.current()
    with pytest.raises(RunInUseError, match="is alive on this machine"):
        declare_gone(path, f"{here.host}:{here.pid}")
    run.finish()
    assert run.status == "finished"


def test_a_run_whose_points_a_live_process_still_holds_is_not_deleted(tmp_path):
    path = tmp_path / "store"
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        train(path).finish()
        other = mm.start_run("a", name="other", store=path)
        other.log(loss=0.5)
        os.write(writing, b".")
        signal.pause()
    assert os.read(reading, 1) == b"."
    with mm.Store(path) as store:
        with pytest.raises(RunInUseError, match=rf"process {pid} on .* has points of the run lost .*: end its runs"):
            store.delete_run("lost")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with warnings.catch_warnings(), mm.Store(path) as store:
        assert store.delete_run("lost").leftovers == ()
    os.close(reading)
    os.close(writing)
