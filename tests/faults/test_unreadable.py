"""What cannot be read is not missing and not damaged. A folder that is a link to itself stands for a disk that refuses."""

from __future__ import annotations

import contextlib

import pytest

import modelmgmt as mm
from modelmgmt.errors import StoreReadError, StoreWriteError


@contextlib.contextmanager
def unreadable(folder):
    """For the length of the block the system cannot follow the name of this folder."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.symlink_to(folder.name)
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


@pytest.fixture
def store(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a")
    with mm.Store(tmp_path / "store").start_run("x", name="run", code=False) as run:
        run.log_text("hello", "a.txt")
        run.log_artifact(tmp_path / "source", "folder")
    with mm.Store(tmp_path / "store") as store:
        yield store


def folder_of(store, name):
    return store._kernel.objects.path(store.runs["run"].artifact(name).digest).parent


@pytest.mark.parametrize("name", ["a.txt", "folder"])
def test_a_check_says_what_can_not_be_read_and_a_repair_leaves_it(store, name):
    with unreadable(folder_of(store, name)):
        problems = store.check(deep=True)
        assert problems
        assert all(problem.is_unread for problem in problems if "symbolic link" not in problem.what)
        with pytest.raises(StoreReadError, match=r"Nothing was repaired: .* copy the store to another disk"):
            store.repair()
        with pytest.raises(StoreReadError, match=r"cannot read .*objects"):
            store.runs["run"].artifact(name).save(store.path.parent / "saved")
    assert store.check(deep=True) == []
    assert sorted(store.runs["run"].artifacts) == ["a.txt", "folder"]
    assert not (store.path / "set-aside").exists()


def test_a_collection_that_can_not_see_what_is_named_removes_nothing(store):
    garbage = store._kernel.objects.put_bytes(b"nobody names this").digest
    with unreadable(folder_of(store, "folder")), pytest.raises((StoreReadError, StoreWriteError), match="objects"):
        store.gc(grace_s=0.0)
    assert store._kernel.objects.has(garbage)
    assert store.check(deep=True) == []
    assert store.gc(grace_s=0.0).digests == (garbage,)


def test_a_backup_and_a_merge_say_that_the_source_can_not_be_read(store, tmp_path):
    with unreadable(folder_of(store, "a.txt")):
        with pytest.raises((StoreReadError, StoreWriteError), match=r"store/objects"):
            store.backup(tmp_path / "backup")
        with mm.Store(tmp_path / "new") as new, pytest.raises(StoreReadError, match=r"cannot read .*store/objects"):
            new.merge(store)
