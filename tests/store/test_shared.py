"""A store on a network mount: no map, no shared memory, no file lock, and everybody agrees on that."""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_tools import add_run, log, steps

from modelmgmt.errors import InvalidValueError, RunInUseError, StoreBusyError, StorePathError, StoreWriteError
from modelmgmt.store import filesystem, turn
from modelmgmt.store.database import SHARED
from modelmgmt.store.kernel import Kernel
from modelmgmt.store.process import Process, current
from modelmgmt.store.shared import SharedDatabase, _forget_name
from modelmgmt.store.turn import Turn


@pytest.fixture
def shared(monkeypatch):
    monkeypatch.setenv("MODELMGMT_FILESYSTEM", "shared")


def journal_mode(path):
    with (path / "store.db").open("rb") as file:
        return {1: "rollback", 2: "log"}[file.read(20)[18]]


# -- which it is


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs", "lustre", "ceph"])
def test_file_systems_of_several_machines(kind):
    assert filesystem.is_network(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs", ""]
)
def test_file_systems_of_one_machine(kind):
    assert not filesystem.is_network(kind)


def test_the_innermost_mount_that_is_on_top_counts(monkeypatch, tmp_path):
    place = str(tmp_path.resolve())
    mounts = [
        ("/", "ext4"),
        (place, "nfs4"),
        (place + "/in", "xfs"),
        (place + "/in", "9p"),
        (place + "/inner", "tmpfs"),
    ]
    monkeypatch.setattr(filesystem, "_mounts", lambda: iter(mounts))
    assert filesystem.kind_of(tmp_path / "store") == "nfs4"
    assert filesystem.kind_of(tmp_path / "in" / "not there yet") == "9p"
    assert filesystem.kind_of(Path("/elsewhere")) == "ext4"


def test_the_mounts_of_this_machine_are_read():
    assert filesystem.kind_of(Path("/proc/self")) == "proc"
    assert filesystem._unescaped(r"/a\040b\134c") == "/a b\\c"


def test_a_network_mount_is_noticed_and_remembered(monkeypatch, tmp_path):
    monkeypatch.setattr(filesystem, "_mounts", lambda: iter([("/", "nfs4")]))
    Kernel(tmp_path / "store").close()
    monkeypatch.undo()
    kernel = Kernel(tmp_path / "store")  # a machine that has the disk under the mount
    assert kernel.is_shared
    kernel.close()


def refuse(number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize(
    ("module", "name", "number", "is_shared"),
    [
        (mmap, "mmap", errno.ENODEV, True),
        (fcntl, "lockf", errno.ENOLCK, True),
        (fcntl, "lockf", errno.EOPNOTSUPP, True),
        (fcntl, "lockf", errno.EIO, False),
        (os, "ftruncate", errno.ENOSPC, False),
    ],
)
def test_what_a_file_system_can_not_do_is_found_out(monkeypatch, tmp_path, module, name, number, is_shared):
    Kernel(tmp_path / "store").close()
    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuse(number))
        assert filesystem.is_shared(tmp_path / "store") == is_shared
    assert not list((tmp_path / "store" / "journal").iterdir())


def test_a_wrong_word_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELMGMT_FILESYSTEM", "nfs")
    with pytest.raises(InvalidValueError, match="'shared' or 'local', and 'nfs'"):
        Kernel(tmp_path / "store")


# -- what it is then


def test_no_log_and_no_lock(shared, tmp_path):
    kernel = Kernel(tmp_path / "store")
    add_run(kernel)
    log(kernel, "loss", 1)
    assert isinstance(kernel.database, SharedDatabase)
    with kernel.database.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert (tmp_path / "store" / turn.NAME).is_dir()
    assert not (tmp_path / "store" / turn.NAME).exists()
    assert steps(kernel) == [1]
    kernel.close()
    names = {path.name for path in (tmp_path / "store").iterdir()}
    assert names == {"store.db", "store.shared", ".gitignore", "journal", "tmp"}
    assert not list((tmp_path / "store" / "tmp").iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_blocks_inside_one_another_are_one(shared, tmp_path, durable):
    kernel = Kernel(tmp_path / "store")
    database = kernel.database
    with database.reading() as outer:
        with database.writing(durable=durable) as inner:
            inner.execute("INSERT INTO folds VALUES ('a', 1, 'now')")
        with pytest.raises(ZeroDivisionError), database.writing() as inner:
            inner.execute("INSERT INTO folds VALUES ('b', 1, 'now')")
            raise ZeroDivisionError
        with database.reading() as inner:
            inner.execute("INSERT INTO folds VALUES ('by mistake', 1, 'now')")
        assert outer.execute("SELECT segment FROM folds").fetchall() == [("a",)]
    with database.writing() as outer:
        outer.execute("INSERT INTO folds VALUES ('c', 1, 'now')")
        with database.reading() as inner:
            assert inner.execute("SELECT count(*) FROM folds").fetchone() == (2,)
    with database.reading() as connection:
        assert connection.execute("SELECT segment FROM folds").fetchall() == [("a",), ("c",)]
    kernel.close()


def test_what_is_no_store_is_refused_before_anything_is_written(shared, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "store.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorePathError, match="not a modelmgmt store"):
        Kernel(folder)
    assert [path.name for path in folder.iterdir()] == ["store.db"]


# -- there and back

KILLED = """
    kernel = open_kernel_at(sys.argv[1])
    add_run(kernel)
    for step in range(50):
        log(kernel, "loss", step)
        if step == 20:
            kernel.fold()
    say("ready")
    die()
"""


def test_a_store_is_moved_to_a_network_mount_and_back(child, tmp_path, monkeypatch):
    """Each time by one who is killed, with points in the journal and rows in the write-ahead log or under way."""
    path = tmp_path / "store"
    expected = []
    for mode in ("local", "shared", None, "local", "shared", "local", None):
        if mode is None:
            monkeypatch.delenv("MODELMGMT_FILESYSTEM")
        else:
            monkeypatch.setenv("MODELMGMT_FILESYSTEM", mode)
            last = mode
        child(KILLED, path).process.wait()
        expected += range(50)
        kernel = Kernel(path)
        assert kernel.is_shared == (last == "shared")
        assert (path / SHARED).exists() == kernel.is_shared
        assert journal_mode(path) == ("rollback" if kernel.is_shared else "log")
        assert sorted(steps(kernel)) == sorted(expected)
        kernel.close()


HOLDER = """
    kernel = open_kernel_at(sys.argv[1])
    add_run(kernel)
    log(kernel, "loss", 1)
    say("ready")
    wait()
    if sys.argv[2:] == ["noticed"]:
        kernel.database.release()
        try:
            add_run(kernel, "run-2")
        except Exception as error:
            say(type(error).__name__, error)
    os._exit(0)
"""


def test_nobody_changes_the_mode_while_another_has_the_store_open(child, tmp_path, monkeypatch):
    path = tmp_path / "store"
    monkeypatch.setattr("modelmgmt.store.shared.BUSY_S", 0.2)
    for mode, other, message in (
        ("local", "shared", "open as a local store"),
        ("shared", "local", "is writing to the shared"),
    ):
        monkeypatch.setenv("MODELMGMT_FILESYSTEM", mode)
        holder = child(HOLDER, path)
        assert holder.hear() == "ready"
        monkeypatch.setenv("MODELMGMT_FILESYSTEM", other)
        with pytest.raises(RunInUseError, match=message):
            Kernel(path)
        holder.go_on()
        holder.end()
        Kernel(path).close()


def test_a_local_process_notices_that_the_store_is_shared_now(child, tmp_path, monkeypatch):
    path = tmp_path / "store"
    holder = child(HOLDER, path, "noticed")
    assert holder.hear() == "ready"
    (path / SHARED).touch()
    holder.go_on()
    assert "was made a shared store" in holder.end()


# -- turns


def other(**changes):
    owner = current()
    values = {name: getattr(owner, name) for name in ("host", "boot_id", "pid", "start")}
    return {**values, **changes}


def held(path, owner):
    (path / turn.NAME).mkdir(parents=True)
    (path / turn.NAME / "owner-x").write_text(json.dumps(owner))


@pytest.mark.parametrize("change", [{"start": "1"}, {"boot_id": "before"}, {"pid": 4_000_000}])
def test_the_turn_of_a_process_that_is_gone_is_taken_back(tmp_path, change):
    held(tmp_path, other(**change))
    mine = Turn(tmp_path)
    with mine.taken():
        assert (tmp_path / turn.NAME).exists()
    mine.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_turn_of_another_machine_is_not_taken_and_a_person_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(turn, "TIMEOUT_S", 0.1)
    held(tmp_path, other(host="elsewhere", pid=17))
    with pytest.raises(
        StoreBusyError,
        match=r"the process 17 on elsewhere has held the store's lock.*'modelmgmt store check --gone elsewhere:17'",
    ):
        Turn(tmp_path).taken().__enter__()
    (tmp_path / turn.NAME / "owner-x").write_text("{")
    with pytest.raises(
        StoreBusyError, match=f"an unknown process has held the store's lock.*remove the folder {tmp_path}"
    ):
        Turn(tmp_path).taken().__enter__()
    assert (tmp_path / turn.NAME).exists()


def test_who_sees_an_owner_of_before_takes_nothing_back(tmp_path, monkeypatch):
    """A network mount may show for seconds what is gone: the name of the file says whose turn is meant."""
    with Turn(tmp_path).taken():
        gone = Process(**other(pid=4_000_000))
        monkeypatch.setattr(turn, "_owners", lambda path: [(path / "owner-before", gone)])
        turn._take_back(tmp_path / turn.NAME)
        assert len(list((tmp_path / turn.NAME).iterdir())) == 1


def test_a_turn_that_a_person_removed_is_not_given_up_for_another(tmp_path):
    with Turn(tmp_path).taken():
        (tmp_path / turn.NAME).rename(tmp_path / "removed")
        held(tmp_path, other(host="elsewhere"))
    assert (tmp_path / turn.NAME / "owner-x").exists()


def test_the_file_is_opened_anew_in_each_turn(tmp_path):
    """Of what another machine has written, a network mount shows no more than who opens the file has to see."""
    database = SharedDatabase(tmp_path / "store.db")
    for block in (database.reading, database.writing):
        with block() as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    database.close()


def test_a_name_that_only_seems_to_be_there_is_forgotten(tmp_path):
    journal = tmp_path / "store.db-journal"
    _forget_name(journal, tmp_path / "tmp" / "x")
    assert journal.read_bytes() == b""
    journal.write_bytes(b"of one who was killed")
    _forget_name(journal, tmp_path / "tmp" / "x")
    assert journal.read_bytes() == b"of one who was killed"


TURNS = """
    from modelmgmt.store.turn import Turn
    folder = Path(sys.argv[1])
    mine = Turn(folder)
    say("ready")
    wait()
    for _ in range(100):
        with mine.taken(), mine.taken():
            count = int((folder / "count").read_text())
            (folder / "count").write_text(str(count + 1))
    mine.close()
"""


def test_six_processes_take_turns(child, tmp_path):
    (tmp_path / "count").write_text("0")
    children = [child(TURNS, tmp_path) for _ in range(6)]
    assert {one.hear() for one in children} == {"ready"}
    for one in children:
        one.go_on()
    for one in children:
        one.end()
    assert (tmp_path / "count").read_text() == "600"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_kills_in_a_shared_store_lose_nothing(tmp_path):
    torture = Path(__file__).parents[1] / "faults" / "torture.py"
    command = [sys.executable, str(torture), "--kills", "8", "--seed", "3", "--folder", str(tmp_path)]
    environment = {**os.environ, "MODELMGMT_FILESYSTEM": "shared"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 faults" in done.stdout


# -- what is cut off, and what is gone


CUT_OFF = """
    kernel = open_kernel_at(sys.argv[1])
    for step in range(5):
        log(kernel, "loss", step)
    say(kernel.journal.path)
    wait()
"""


def test_a_journal_that_ends_within_a_record_is_folded_without_it(child, shared, tmp_path):
    path = tmp_path / "store"
    kernel = Kernel(path)
    add_run(kernel)
    writer = child(CUT_OFF, path)
    journal = Path(writer.hear())
    writer.kill()
    os.truncate(journal, journal.stat().st_size - 10)
    assert steps(kernel) == [0, 1, 2, 3]
    kernel.close()
    again = Kernel(path)
    assert steps(again) == [0, 1, 2, 3]
    assert not journal.exists()
    again.close()


def test_a_database_that_is_gone_is_an_error_of_the_store(shared, tmp_path):
    """Which a run takes for a failing environment: training goes on."""
    kernel = Kernel(tmp_path / "store")
    (tmp_path / "store" / "store.db").unlink()
    with pytest.raises(StoreWriteError), kernel.database.reading():
        pass
    with pytest.raises(StoreWriteError), kernel.database.writing():
        pass
    kernel.close()
