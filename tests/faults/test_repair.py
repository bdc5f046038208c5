"""Repair saves all that is intact, sets the rest aside, deletes nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import re
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bit_rot import _is_subset, build, crash, flip, in_child, read_everything
from workload import forked

import modelmgmt as mm
from modelmgmt.cli import cli
from modelmgmt.errors import CorruptDataError, ModelmgmtError
from modelmgmt.store.turn import Turn
from modelmgmt.tracking.repair import Repaired, rescue


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("repair") / "store"
    in_child(lambda: build(path))
    in_child(lambda: crash(path))
    in_child(lambda: mm.Store(path).close())
    return path


def _state(path: Path):
    reading = read_everything(path)
    return [reading.values, reading.named]


def test_a_sound_store_stays_as_it_is(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    expected = in_child(lambda: _state(tmp_path / "s"))
    with mm.Store(tmp_path / "s") as store:
        repaired = store.repair()
    assert (repaired.problems, repaired.adopted, repaired.artifacts) == ((), (), ())
    assert in_child(lambda: _state(tmp_path / "s")) == expected
    assert not (tmp_path / "s" / "set-aside").exists()


@pytest.mark.parametrize("seed", range(8))
def test_after_a_repair_all_that_is_there_is_right(whole, tmp_path, seed):
    rng = random.Random(seed)
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    expected, _ = in_child(lambda: _state(whole))
    targets = [path / "store.db"] * 2 + sorted(file for file in (path / "objects").rglob("*") if file.is_file())
    for _ in range(3):
        flip(rng.choice(targets), rng)
    repair(path)
    assert_all_that_is_there_is_right(path, expected)


def repair(path: Path) -> Repaired:
    """As `modelmgmt store check --repair` does."""
    try:
        with mm.Store(path) as store:
            return store.repair()
    except CorruptDataError:
        return rescue(path)


def assert_all_that_is_there_is_right(path: Path, expected: dict[str, Any]) -> None:
    values, named = in_child(lambda: _state(path))
    assert named == []
    adopted = {what.split()[0] for what, value in values.items() if what.endswith(" record") and "recovered-" in value}
    for what, value in values.items():
        run, _, kind = what.partition(" ")
        if what not in expected or value == expected[what] or what == "frame":
            continue
        if (run in adopted and kind == "record") or "summaries" in kind or kind in ("notes", "config"):
            continue  # a new row, points that are set aside, a note of the repair, a param that is set aside
        assert _is_subset(value, expected[what]), what


@pytest.mark.parametrize("seed", range(4))
def test_a_store_whose_first_page_is_damaged_stays_as_it_is(whole, tmp_path, seed):
    """The first page is the header, and the root of the list of tables: a rebuild would find no rows at all."""
    rng = random.Random(seed)
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    with (path / "store.db").open("rb+") as file:
        match seed % 4:
            case 0:
                file.write(rng.randbytes(4096))
            case 1:
                file.write(bytes(4096))
            case 2:
                file.write(rng.randbytes(16))
            case 3:
                file.seek(100)
                file.write(rng.randbytes(30))
    damaged = (path / "store.db").read_bytes()
    assert in_child(lambda: cli.main(["store", "check", "--store", str(path)], standalone_mode=False)) == 1
    with pytest.raises(CorruptDataError, match=r"Restore a backup.*\.recover"):
        rescue(path)
    assert (path / "store.db").read_bytes() == damaged
    assert not (path / "set-aside").exists()
    assert list((path / "tmp").glob("rebuild-*")) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_list_of_tables(whole, tmp_path, seed):
    """A flipped bit where SQLite keeps the names and definitions of the tables."""
    rng = random.Random(seed)
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    expected, _ = in_child(lambda: _state(whole))
    content = bytearray((path / "store.db").read_bytes())
    words = [match.start() for match in re.finditer(rb"CREATE TABLE \w+", content)]
    content[rng.choice(words) + rng.randrange(40)] ^= 1 << rng.randrange(7)
    (path / "store.db").write_bytes(content)
    try:
        repair(path)
    except CorruptDataError:
        assert (path / "store.db").read_bytes() == content
        with pytest.raises(CorruptDataError, match=r"\.recover"):
            rescue(path)
    else:
        assert_all_that_is_there_is_right(path, expected)
        assert len(mm.Store(path).runs()) == len(expected["ids"])


def test_points_outlive_the_row_of_their_run(whole, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    with sqlite3.connect(path / "store.db") as connection:
        connection.execute("UPDATE runs SET status = 'failed' WHERE name = 'run-2'")  # the checksum does not fit now
        (run_id,) = connection.execute("SELECT id FROM runs WHERE name = 'run-2'").fetchone()
    connection.close()
    with mm.Store(path) as store:
        with pytest.raises(CorruptDataError, match="runs"):
            store.runs[run_id]
        repaired = store.repair()
        assert repaired.adopted == (run_id,)
        run = store.runs[run_id]
        assert (run.experiment, run.status) == ("recovered", "crashed")
        assert len(run.series("bulk")) == 5000
        assert run.params["seed"] == 2
        assert store.check(deep=True) == []
    assert "run-2" in next((path / "set-aside").glob("rebuilt.*.json")).read_text()
    assert list((path / "set-aside").glob("store.db.*"))


def test_a_broken_page_costs_what_is_on_it(whole, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    break_page(path)
    with mm.Store(path) as store:
        try:
            assert store.check() != []
        except ModelmgmtError:
            pass
        store.repair()
        assert store.check(deep=True) == []
        assert len(store.runs()) >= 4


def test_lost_content_is_named(whole, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    with mm.Store(path) as store:
        digest = store.runs["run-0"].artifact("remarks.txt").digest
        store._kernel.objects.path(digest).unlink()
        repaired = store.repair()
        assert repaired.artifacts == (f"{store.runs['run-0'].id}/remarks.txt",)
        assert "remarks.txt" in store.runs["run-0"].notes[-1].text
        assert store.check(deep=True) == []


# -- where several machines may use the store


@pytest.fixture
def shared(whole, tmp_path, monkeypatch):
    """A copy that is a shared store, on a file system that refuses locks."""
    monkeypatch.setenv("MODELMGMT_FILESYSTEM", "shared")
    path = tmp_path / "s"
    shutil.copytree(whole, path)
    in_child(lambda: mm.Store(path).close())
    assert (path / "store.shared").exists()

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)
    return path


def break_page(path: Path) -> None:
    """One in the middle of the file."""
    with (path / "store.db").open("rb+") as file:
        file.seek((path / "store.db").stat().st_size // 2 // 4096 * 4096)
        file.write(random.Random(1).randbytes(4096))


def lose_first_page(path: Path) -> None:
    with (path / "store.db").open("rb+") as file:
        file.write(bytes(4096))


def test_a_shared_store_is_repaired_without_locks(whole, shared):
    expected, _ = in_child(lambda: _state(whole))
    break_page(shared)
    repair(shared)
    assert_all_that_is_there_is_right(shared, expected)
    assert list((shared / "set-aside").glob("store.db.*"))
    assert not (shared / "store.turn").exists()


def test_a_rebuilt_shared_store_takes_its_place_in_turn(whole, shared):
    """Whoever repaired it was killed, and two others open it: one puts the new tables in their place, once."""
    expected, _ = in_child(lambda: _state(whole))
    shutil.copy(shared / "store.db", shared / "store.db-rebuilt")
    lose_first_page(shared)
    other = Turn(shared)
    with other.taken(), ThreadPoolExecutor(1) as pool:
        opened = pool.submit(lambda: in_child(lambda: len(mm.Store(shared).runs())))
        with pytest.raises(TimeoutError):
            opened.result(timeout=0.5)
        assert (shared / "store.db-rebuilt").exists()
        other._give_up()
        assert opened.result() == len(expected["ids"])
        other._take()
    assert in_child(lambda: _state(shared))[0] == expected
    assert len(list((shared / "set-aside").glob("store.db.*"))) == 1


def test_the_rollback_journal_of_lost_tables_is_not_played_into_the_new_ones(whole, shared):
    """Whoever repaired it was killed, and somebody who wrote to the old tables as well."""
    expected, _ = in_child(lambda: _state(whole))
    with closing(sqlite3.connect(shared / "store.db", isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(shared / "store.db-rebuilt"),))

    def crash_in_transaction() -> None:
        connection = sqlite3.connect(shared / "store.db", isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")  # so that it writes to the file before it commits
        connection.execute("BEGIN")
        connection.execute("UPDATE params SET value = 'x' || value")
        connection.execute("DELETE FROM chunks")
        os._exit(0)

    pid, pipe = forked(lambda _: crash_in_transaction())
    os.close(pipe)
    os.waitpid(pid, 0)
    journal = (shared / "store.db-journal").read_bytes()
    assert journal.startswith(b"\xd9\xd5\x05\xf9")
    assert in_child(lambda: _state(shared)) == [expected, []]
    assert [file.read_bytes() for file in (shared / "set-aside").glob("store.db-journal.*")] == [journal]
