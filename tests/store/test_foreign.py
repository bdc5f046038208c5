"""A store from a stranger, with links and pipes in it: no file outside of it is touched, and what it has can be read."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import threading
import warnings
from contextlib import suppress
from dataclasses import replace

import pytest

import modelmgmt as mm
from modelmgmt.errors import (
    CorruptDataError,
    ModelmgmtError,
    StoreError,
    StorePathError,
    StoreReadError,
    StoreWriteError,
)
from modelmgmt.tracking import record as records

OLD = 1_000_000_000  # seconds: long before any time of grace
FOLDERS = ("objects", "tmp", "journal", "backups", "set-aside")


@pytest.fixture
def given(tmp_path):
    """A store with one run, and a folder of the user with old files that look like the library's."""
    with mm.Store(tmp_path / "given") as store:
        with store.start_run(name="one", params={"lr": 0.1}) as run:
            run.log_series("loss", range(100))
            run.log_text("hello", "text")
        digest = run.artifact("text").digest
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    names = ["letter.txt", f"put-{2**22 - 1}-0", "gc-1-" + "0" * 64, "x.journal", digest[2:], "store.db", "0" * 62]
    for name in names:
        (theirs / name).write_text(f"mine: {name}")
        os.utime(theirs / name, (OLD, OLD))
    inner = theirs / f"pack-{2**22 - 1}-abc"
    inner.mkdir()
    (inner / "letter.txt").write_text("mine")
    os.utime(inner, (OLD, OLD))
    os.utime(theirs, (OLD, OLD))
    return tmp_path / "given", theirs, digest


def seen(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


def within(seconds, function):
    """What a function returns, or the error; a hang fails."""
    found = []

    def call():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(function())
        except BaseException as error:  # noqa: BLE001 - handed on
            found.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"{function} hangs"
    return found[0]


def use(path):
    """Everything that a user may call on a store, one after the other; raw errors are handed on."""
    store = mm.Store(path)
    calls = [
        lambda: store.runs().to_frame(), lambda: store.runs["one"].artifact("text").load(), lambda: store.check(deep=True),
        lambda: store.gc(grace_s=0), lambda: store.start_run().finish(), lambda: store.runs["one"].set_tags(a="b"),
        store.redact, lambda: store.delete_run("one"), store.repair, store.stats,
        lambda: store.backup(path.parent / "backup"), lambda: store.merge(path.parent / "other"),
    ]  # fmt: skip
    found = []
    for call in calls:
        try:
            found.append(call())
        except ModelmgmtError as error:
            found.append(error)
    return store, found


PLACES = [
    *FOLDERS, "objects/aa", "objects/new", "tmp/x", "journal/x.journal", "journal/y", "set-aside/x",
    "backups/store-v1.db", ".gitignore", "store.lock", "unknown",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["link to a folder", "link to a file", "dangling link", "pipe", "socket"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_outside_is_touched_and_the_rest_is_usable(given, place, kind):
    path, theirs, digest = given
    with mm.Store(path.parent / "other") as other:
        other.start_run(name="two").finish()
    at = path / place.replace("aa", digest[:2]).replace("new", "zz")
    if at.is_dir():
        shutil.rmtree(at)
    elif at.exists():
        at.unlink()
    at.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(at)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            folder = os.open(at.parent, os.O_RDONLY)
            listening.bind(f"/proc/self/fd/{folder}/{at.name}")  # a path that is short enough
            os.close(folder)
    else:
        at.symlink_to(
            {"link to a folder": theirs, "link to a file": theirs / "letter.txt"}.get(kind, theirs / "absent")
        )
    before = seen(theirs)
    found = within(60, lambda: use(path))
    assert not isinstance(found, BaseException), found
    store, answers = found
    assert seen(theirs) == before
    frame, text, problems, *writes = answers
    assert list(frame["name"]) == ["one"]
    if not place.startswith("objects"):
        assert text == "hello"
    else:
        assert text == "hello" or isinstance(text, (StoreError, CorruptDataError, ModelmgmtError))
    assert any(problem.where == str(at.relative_to(path)) for problem in problems)
    for answer in writes[:6]:
        assert isinstance(answer, StoreWriteError), answer
        assert str(at) in str(answer)
    store.close()
    shutil.rmtree(at) if at.is_dir() and not at.is_symlink() else at.unlink()
    for name in FOLDERS:
        (path / name).mkdir(exist_ok=True)
    with mm.Store(path) as again:
        again.start_run(name="later").finish()


@pytest.mark.parametrize("place", [*FOLDERS, "objects/aa"])
def test_a_link_that_comes_later_is_not_followed_when_something_is_removed(given, place):
    """A store was looked at when it was opened; a folder of it may be exchanged while it is open."""
    path, theirs, digest = given
    store = mm.Store(path)
    with store.start_run(name="two") as run:
        run.log_text("bye", "text")
        run.log(loss=1.0)
        at = path / place.replace("aa", digest[:2])
        at.rename(path.parent / "own") if at.exists() else None
        at.symlink_to(theirs)
        before = seen(theirs)
        calls = [run.finish, lambda: store.gc(grace_s=0), lambda: store.delete_run("one"), store.repair, store.close]
        for call in calls:
            with warnings.catch_warnings(), suppress(ModelmgmtError):
                warnings.simplefilter("ignore")
                call()
        after = seen(theirs)
    assert {name: after.get(name) for name in before if name != "."} == {
        name: before[name] for name in before if name != "."
    }


@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
def test_tables_that_are_elsewhere_are_not_read(given, name):
    path, theirs, _ = given
    with suppress(FileNotFoundError):
        (path / name).rename(theirs / name)
    (path / name).symlink_to(theirs / name)
    before = seen(theirs)
    for options in ({}, {"read_only": True}):
        error = within(60, lambda options=options: mm.Store(path, **options))
        assert isinstance(error, (StorePathError, StoreWriteError))
        assert name in str(error)
    assert seen(theirs) == before


def test_the_path_to_a_store_may_be_a_link(given, tmp_path):
    path, _, _ = given
    (tmp_path / "link").symlink_to(path)
    with mm.Store(tmp_path / "link") as store:
        store.start_run(name="two").finish()
        assert store.check(deep=True) == []
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "er").symlink_to(tmp_path)
    with mm.Store(tmp_path / "deep" / "er" / "link") as store:
        assert len(store.runs()) == 2


def test_a_new_store_is_not_made_through_a_link(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".gitignore").symlink_to(tmp_path / "absent")
    with pytest.raises(StoreWriteError, match="gitignore is a symbolic link"):
        mm.Store(tmp_path / "new")
    assert not (tmp_path / "absent").exists()


def test_an_object_that_is_a_link_is_not_read(given):
    path, theirs, digest = given
    place = path / "objects" / digest[:2] / digest[2:]
    (theirs / "same").write_text("hello")
    place.unlink()
    place.symlink_to(theirs / "same")
    with mm.Store(path) as store:
        with pytest.raises(CorruptDataError, match="link"):
            store.runs["one"].artifact("text").load()
        assert any(problem.where.startswith(("objects", "object")) for problem in store.check(deep=True))
    assert issubclass(StoreReadError, StoreError)


def test_runs_that_are_below_themselves_can_be_deleted(given):
    path, _, _ = given
    with mm.Store(path) as store:
        one = store.runs["one"]
        with store.start_run(name="two", parent=one) as two, store.start_run(name="three", parent=two) as three:
            pass
        alone = store.start_run(name="alone")
        alone.finish()
        with store._kernel.database.writing() as connection:
            for run, parent in ((one, three), (alone, alone)):
                change = records.read(connection, run.id)
                records.overwrite(connection, replace(change, parent=parent.id))
    with mm.Store(path) as store:
        assert len(store.runs()) == 4
        found = within(60, lambda: store.delete_run("one", children=True))
        assert not isinstance(found, BaseException), found
        assert set(found.runs) == {one.id, two.id, three.id}
        assert within(60, lambda: store.delete_run("alone")).runs == (alone.id,)
        assert store.check(deep=True) == []


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("CREATE TRIGGER spy AFTER INSERT ON tags BEGIN UPDATE tags SET value = 'x'; END", "spy"),
        ("CREATE VIEW mine AS SELECT 1", "mine"),
    ],
)
def test_what_somebody_has_added_to_the_tables_is_named(given, sql, name):
    path, _, _ = given
    with contextlib.closing(sqlite3.connect(path / "store.db")) as connection, connection:
        connection.execute(sql)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = mm.Store(path)
    assert list(store.runs().to_frame()["name"]) == ["one"]
    [problem] = store.check()
    assert name in problem.what
    if "TRIGGER" in sql:
        with pytest.raises(StoreWriteError, match="trigger 'spy'"):
            store.runs["one"].set_tags(a="b")
    store.close()
