"""A collection frees what nothing names, and takes nothing from a writer at work."""

from __future__ import annotations

import os

import pytest
from workload import forked, read_all

import modelmgmt as mm
from modelmgmt.store import collect as collecting
from modelmgmt.store.kernel import open_kernel


@pytest.fixture
def garbage(tmp_path):
    """A store with three objects, one of which a run names, and a folder that a run names."""
    with mm.Store(tmp_path / "store") as store:
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "a.txt").write_text("in a folder")
        with store.start_run("gc", name="run") as run:
            run.log_text("named", "text")
            run.log_artifact(tmp_path / "source", "folder")
        digests = [store._kernel.objects.put_bytes(data).digest for data in (b"one", b"two")]
        yield store, sorted(digests)


def test_only_what_nothing_names_is_removed(garbage):
    store, digests = garbage
    before = sorted(store._kernel.objects.digests())
    looked = store.gc(grace_s=0.0, dry_run=True)
    assert (sorted(looked.digests), looked.bytes) == (digests, 6)
    assert sorted(store._kernel.objects.digests()) == before
    assert store.gc().digests == ()  # within the time of grace
    assert sorted(store.gc(grace_s=0.0).digests) == digests
    assert sorted(store._kernel.objects.digests()) == sorted(set(before) - set(digests))
    assert store.check(deep=True) == []
    assert store.gc(grace_s=0.0).digests == ()


def test_an_old_object_that_is_put_again_is_kept(garbage):
    store, digests = garbage
    for digest in digests:
        os.utime(store._kernel.objects.path(digest), (0, 0))
    store._kernel.objects.put_bytes(b"one")
    assert len(store.gc(grace_s=3600.0).digests) == 1
    assert store._kernel.objects.get(store._kernel.objects.put_bytes(b"one").digest) == b"one"


def test_temporary_files_of_the_dead_go(garbage):
    store, _ = garbage
    pid, pipe = forked(lambda _: None)
    read_all(pipe)
    os.waitpid(pid, 0)
    part = store.path / "tmp" / f"put-{pid}-00"
    part.write_bytes(b"part")
    assert store.gc(grace_s=3600.0).temporary_files == 0
    os.utime(part, (0, 0))
    assert store.gc(grace_s=3600.0).temporary_files == 1
    assert not part.exists()


def test_writers_lose_nothing_to_collectors(tmp_path):
    """Writers name what is garbage until they do: old objects, under the eyes of collectors that remove such."""
    path = tmp_path / "store"
    contents = [f"content {n}" for n in range(150)]
    with mm.Store(path) as store:
        for content in (*contents, "never named"):
            digest = store._kernel.objects.put_bytes(content.encode()).digest
            os.utime(store._kernel.objects.path(digest), (0, 0))

    def write(number: int) -> None:
        with mm.Store(path).start_run("gc", name=f"writer-{number}") as run:
            for n, content in enumerate(contents[number::2]):
                run.log_text(content, f"text-{n}")

    def collect(_: int) -> None:
        store = mm.Store(path)
        while not (tmp_path / "done").exists():
            store.gc(grace_s=600.0)

    collector, its_pipe = forked(collect)
    writers = [forked(lambda _, number=number: write(number)) for number in range(2)]
    for pid, pipe in writers:
        assert read_all(pipe) == b""
        assert os.waitpid(pid, 0)[1] == 0
    (tmp_path / "done").touch()
    read_all(its_pipe)
    assert os.waitpid(collector, 0)[1] == 0
    with mm.Store(path) as store:
        assert store.check(deep=True) == []
        for number in range(2):
            kept = store.runs[f"writer-{number}"].artifacts
            assert [kept[f"text-{n}"].read_text() for n in range(len(kept))] == contents[number::2]
        assert not store._kernel.objects.has(digest)


def test_what_a_live_process_is_writing_is_no_garbage(garbage):
    store, _ = garbage
    part = store.path / "tmp" / f"put-{os.getpid()}-00"
    part.write_bytes(b"part")
    os.utime(part, (0, 0))
    store.gc(grace_s=0.0)
    assert part.exists()


def test_a_collection_that_was_killed_took_nothing(garbage, monkeypatch):
    """It had moved an object aside, and somebody has named it meanwhile."""
    store, digests = garbage

    def work(_: int) -> None:
        monkeypatch.setattr(collecting, "put_back", lambda *_: os._exit(9))
        original = collecting._move_aside

        def move(kernel, digest):
            aside = original(kernel, digest)
            with kernel.database.writing(durable=True) as connection:
                connection.execute("UPDATE artifacts SET digest = ? WHERE name = 'text'", (digest,))
            return aside

        monkeypatch.setattr(collecting, "_move_aside", move)
        mm.Store(store.path).gc(grace_s=0.0)

    store.close()
    pid, pipe = forked(work)
    read_all(pipe)
    assert os.waitpid(pid, 0)[1] == 9 << 8
    kernel = open_kernel(store.path)
    assert [digest for digest in digests if not kernel.objects.has(digest)]
    collecting.restore_interrupted(kernel)
    assert all(kernel.objects.has(digest) for digest in digests)
