"""A sync that the disk refuses: the system may forget what it could not write, and say nothing at the next sync."""

from __future__ import annotations

import errno
import os
import warnings

import pytest

import modelmgmt as mm
from modelmgmt.errors import StoreWriteError
from modelmgmt.store.objects import BUFFER, Objects

REFUSED = OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture(params=["local", "shared"])
def refusals(request, monkeypatch):
    """A list; while it has something in it, a sync of a journal takes one out and is refused."""
    waiting: list[OSError] = []

    def fsync(descriptor, real=os.fsync):
        if waiting and os.readlink(f"/proc/self/fd/{descriptor}").endswith(".journal"):
            raise waiting.pop()
        real(descriptor)

    monkeypatch.setenv("MODELMGMT_FILESYSTEM", request.param)
    monkeypatch.setattr(os, "fsync", fsync)
    return waiting


def points_without_journals(store):
    """The steps that are in the tables: what is only in a journal that was never synced is not there after a power cut."""
    with store._kernel.database.reading() as connection:
        return connection.execute("SELECT sum(count) FROM chunks").fetchone()[0] or 0


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_after_a_refused_sync_a_flush_folds(tmp_path, refusals, on_error):
    store = mm.Store(tmp_path / "store")
    run = store.start_run("a", on_error=on_error)
    for step in range(10):
        run.log(loss=0.5, step=step)
    refusals.append(REFUSED)
    if on_error == "raise":
        with pytest.raises(StoreWriteError, match="Could not flush the journal"):
            run.flush()
    else:
        with pytest.warns(UserWarning, match="Could not flush the journal"):
            run.flush()
    assert not refusals
    assert points_without_journals(store) == 0
    run.log(loss=0.5, step=10)
    run.flush()
    assert points_without_journals(store) == 11
    run.log(loss=0.5, step=11)
    run.flush()
    assert points_without_journals(store) == 11  # the new journal is a sound one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the first flush is counted as lost
        run.finish()
    assert run.series("loss").steps.tolist() == list(range(12))


def test_a_fold_in_place_of_a_sync_is_tried_again(tmp_path, refusals, monkeypatch):
    store = mm.Store(tmp_path / "store")
    run = store.start_run("a", on_error="raise")
    run.log(loss=0.5, step=0)
    refusals.append(REFUSED)
    with pytest.raises(StoreWriteError):
        run.flush()

    def refuse(*_, **__):
        raise StoreWriteError("full")

    with monkeypatch.context() as patched:
        patched.setattr(type(store._kernel.series), "fold", refuse)
        for _ in range(2):
            with pytest.raises(StoreWriteError, match="full"):
                run.flush()
    run.flush()
    assert points_without_journals(store) == 1
    run.finish()


def test_what_a_sync_beside_the_hashing_refused_is_not_kept(tmp_path, monkeypatch):
    objects = Objects(tmp_path / "store")
    source = tmp_path / "store" / "tmp" / "weights"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"x" * (BUFFER + 1))
    refusals = [REFUSED]

    def fsync(descriptor, real=os.fsync):
        if refusals:
            raise refusals.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreWriteError, match="cannot sync"):
        objects.adopt(source)
    assert list(objects.digests()) == []
    assert source.exists()
