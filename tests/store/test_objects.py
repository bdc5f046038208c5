"""Objects: bytes come back as they went in, or an error says which did not; whoever is killed, whoever else writes."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmgmt.errors import (
    CorruptDataError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
    SourceChangedError,
    StoreWriteError,
)
from modelmgmt.store.objects import BUFFER, Objects, Stored

ROOT = Path(__file__).parents[2]
LARGE = bytes(range(256)) * (BUFFER // 256 * 2) + b"tail"  # two buffers and a bit


@pytest.fixture
def objects(tmp_path):
    return Objects(tmp_path / "store")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Objects(tmp_path_factory.mktemp("shared"))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def leftovers(objects):
    return [*(objects.root / "tmp").glob("*")]


def disk_bytes(objects):
    return sum(path.stat().st_size for path in objects.root.rglob("*") if path.is_file())


def damage(objects, digest, change):
    path = objects.path(digest)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def python(code, *args, **options):
    """Start a process that has `objects`, the store at its first argument, and whatever `code` does with it."""
    start = "import sys; from pathlib import Path; from modelmgmt.store.objects import Objects\n"
    code = start + "objects = Objects(Path(sys.argv[1]))\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], cwd=ROOT, stdout=subprocess.PIPE, text=True, **options
    )


# -- in and out


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_come_back_whichever_way_they_went_in(shared, data):
    stored = shared.put_bytes(data)
    assert stored == Stored(sha256(data), len(data))
    assert shared.put_bytes(bytearray(data)) == shared.put_bytes(memoryview(data)) == stored
    assert shared.put_stream(io.BytesIO(data)) == stored
    assert shared.get(stored.digest) == data
    with shared.open(stored.digest) as reader:
        assert reader.read() == data
    assert shared.verify(stored.digest) == stored
    assert shared.size(stored.digest) == len(data)


@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 2 * BUFFER + 1])
def test_sizes_around_the_buffer(objects, tmp_path, size):
    data = LARGE[:size]
    source = tmp_path / "source"
    source.write_bytes(data)
    for put in (
        lambda: objects.put_file(source),
        lambda: objects.put_stream(io.BytesIO(data)),
        lambda: objects.put_bytes(bytearray(data)),
        lambda: objects.put_bytes(data),
    ):
        stored = put()
        assert stored == Stored(sha256(data), size)
        assert objects.get(stored.digest) == data
        objects.path(stored.digest).unlink()
    assert not leftovers(objects)


def test_streams_that_give_little_at_a_time_or_have_only_read(objects):
    class Dribble:
        def __init__(self, data):
            self.file = io.BytesIO(data)

        def read(self, size):
            return self.file.read(min(size, 70_001))

    assert objects.put_stream(Dribble(LARGE)).digest == sha256(LARGE)


def test_a_pipe_is_read_to_its_end(objects):
    there, here = os.pipe()
    thread = threading.Thread(
        target=lambda: (os.write(here, b"a"), time.sleep(0.02), os.write(here, b"b"), os.close(here))
    )
    thread.start()
    with open(there, "rb", buffering=0) as reader:
        assert objects.put_stream(reader).digest == sha256(b"ab")
    thread.join()


def test_where_and_how_an_object_is_kept(objects):
    digest = objects.put_bytes(b"hello").digest
    path = objects.root / "objects" / digest[:2] / digest[2:]
    assert objects.path(digest) == path
    assert path.read_bytes() == b"hello"
    assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    assert not leftovers(objects)


def test_making_objects_touches_no_disk(tmp_path):
    objects = Objects(tmp_path / "store")
    assert list(objects.digests()) == []
    assert not objects.has("0" * 64)
    assert not (tmp_path / "store").exists()


def test_digests_are_sorted_and_strangers_are_passed_over(objects):
    expected = sorted(objects.put_bytes(str(i).encode()).digest for i in range(40))
    (objects.root / "objects" / "stray.txt").touch()
    (objects.root / "objects" / "zz").mkdir()
    (objects.root / "objects" / expected[0][:2] / ".nfs0001").touch()
    assert list(objects.digests()) == expected
    assert all(map(objects.has, expected))


def test_the_same_bytes_are_kept_once_and_look_fresh(objects, tmp_path):
    source = tmp_path / "large"
    source.write_bytes(LARGE)
    digest = objects.put_bytes(LARGE).digest
    path = objects.path(digest)
    before = disk_bytes(objects)
    for put in (lambda: objects.put_bytes(LARGE), lambda: objects.put_file(source)):
        os.utime(path, (1, 1))
        inode = path.stat().st_ino
        os.utime(source)  # what is the time by the clock of the file system
        assert put().digest == digest
        assert path.stat().st_ino == inode
        assert path.stat().st_mtime_ns >= source.stat().st_mtime_ns
    assert disk_bytes(objects) == before
    assert not leftovers(objects)


def test_the_order_of_a_put_is_write_sync_rename_sync(objects, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(file):
        synced.append((Path(os.readlink(f"/proc/self/fd/{file}")), sorted(objects.digests())))
        real(file)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    digest = objects.put_bytes(b"first").digest
    first, *rest = synced
    assert first[0].parent == objects.root / "tmp"
    assert first[1] == []
    assert {path for path, _ in rest} == {objects.root, objects.root / "objects", objects.path(digest).parent}
    assert all(present == [digest] for _, present in rest)

    synced.clear()
    objects.put_bytes(b"first")
    assert [path for path, _ in synced] == [objects.path(digest).parent]


def test_pending_puts_are_synced_together(objects, monkeypatch):
    count = []
    real = os.fsync
    pending = set()
    monkeypatch.setattr(os, "fsync", lambda file: (count.append(file), real(file)))
    for i in range(600):
        objects.put_bytes(str(i).encode(), pending=pending)
    assert len(count) == 600
    objects.sync(pending)
    assert 600 < len(count) <= 600 + 256 + 2


# -- what can't be put


@pytest.mark.parametrize("data", ["text", 5, None, [1], io.BytesIO(b"x")])
def test_only_bytes_are_bytes(objects, data):
    with pytest.raises(InvalidTypeError, match=type(data).__name__):
        objects.put_bytes(data)


def test_a_strided_view_is_refused(objects):
    with pytest.raises(InvalidTypeError, match="contiguous"):
        objects.put_bytes(memoryview(b"abcdef")[::2])


def test_bytes_that_change_while_they_are_put_are_kept_under_their_own_name(objects):
    data = bytearray(8 * BUFFER)
    done = threading.Event()

    def scribble():
        while not done.is_set():
            for at in range(0, len(data), 4096):
                data[at] = (data[at] + 1) % 256

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        stored = [objects.put_bytes(data) for _ in range(3)]
    finally:
        done.set()
        thread.join()
    for item in stored:
        objects.verify(item.digest)


@pytest.mark.parametrize("size", [-(1 << 62), -1, 0, 1, 2, 3, 4, 1 << 62, None])
def test_a_wrong_size_of_a_stream_changes_nothing(objects, size):
    stored = objects.put_stream(io.BytesIO(b"abc"), size=size)
    assert objects.get(stored.digest) == b"abc"


def test_a_stream_of_text_is_refused(objects):
    with pytest.raises(InvalidTypeError, match="'rb'"):
        objects.put_stream(io.StringIO("text"))


def test_a_stream_that_would_block_is_refused_and_never_cut_short(objects):
    there, here = os.pipe()
    os.set_blocking(there, False)
    os.write(here, b"half")
    with open(there, "rb", buffering=0) as reader, pytest.raises(InvalidValueError, match="blocks"):
        objects.put_stream(reader)
    os.close(here)
    assert list(objects.digests()) == []


@pytest.mark.parametrize("good", [0, 3])
def test_an_error_of_the_reader_is_the_readers(objects, good):
    class Broken(io.RawIOBase):
        left = good

        def readinto(self, buffer):
            if not self.left:
                raise ConnectionResetError("gone")
            self.left -= 1
            return len(buffer)

    with pytest.raises(ConnectionResetError):
        objects.put_stream(Broken())
    assert not leftovers(objects)
    assert list(objects.digests()) == []


def test_sources_that_are_not_there_raise_what_open_raises(objects, tmp_path):
    with pytest.raises(FileNotFoundError):
        objects.put_file(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        objects.put_file(tmp_path)
    locked = tmp_path / "locked"
    locked.touch(0)
    if os.geteuid():
        with pytest.raises(PermissionError):
            objects.put_file(locked)


def test_pipes_sockets_and_devices_are_refused_unopened(objects, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        short = os.path.relpath(tmp_path / "socket")
        server.bind(short if len(short) < 100 else str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(InvalidValueError, match="pipe, socket or device"):
                objects.put_file(path)
    assert not leftovers(objects)


def test_links_are_followed_only_when_asked(objects, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert objects.put_file(tmp_path / "link").digest == sha256(b"x")
    with pytest.raises(InvalidValueError, match="symbolic link"):
        objects.put_file(tmp_path / "link", follow_links=False)


def change_in_place(path):
    with open(path, "r+b") as file:
        file.seek(5)
        file.write(b"!")
    # A clock tick of the kernel may not have passed since the file was written.
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def put_back_the_time(path):
    before = path.stat()
    change_in_place(path)
    time.sleep(0.02)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more")


def swap_the_folder(path):
    content = path.read_bytes()
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()
    path.write_bytes(content)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize(
    "change",
    [change_in_place, put_back_the_time, grow, lambda p: os.truncate(p, 9), replace, swap_the_folder, os.unlink],
)
@pytest.mark.parametrize("size", [100, len(LARGE)])
def test_a_file_that_changes_while_it_is_copied_is_noticed(objects, tmp_path, monkeypatch, change, size):
    source = tmp_path / "in" / "source"
    source.parent.mkdir()
    source.write_bytes(LARGE[:size])
    real = os.fstat
    calls = []

    def fstat(file):
        # The moment between looking at the file and reading it, or, on the second call, between that and the last look.
        found = real(file)
        if os.path.exists(source) and os.path.samestat(found, os.stat(source)) and not calls:
            calls.append(file)
            time.sleep(0.02)
            change(source)
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(SourceChangedError, match="source") as caught:
        objects.put_file(source)
    assert isinstance(caught.value, OSError)
    assert not leftovers(objects)
    assert list(objects.digests()) == []


def test_a_file_written_all_the_time_is_noticed(objects, tmp_path):
    source = tmp_path / "busy"
    source.write_bytes(LARGE)
    done = threading.Event()

    def keep_writing():
        while not done.is_set():
            change_in_place(source)

    thread = threading.Thread(target=keep_writing)
    thread.start()
    noticed = puts = 0
    deadline = time.monotonic() + 120
    try:
        # A put during which the writer did not get its turn is right to succeed: so go on until one is noticed.
        while puts < 20 or (not noticed and time.monotonic() < deadline):
            puts += 1
            try:
                objects.put_file(source)
            except SourceChangedError:
                noticed += 1
    finally:
        done.set()
        thread.join()
    assert noticed
    for digest in objects.digests():
        objects.verify(digest)
    assert not leftovers(objects)


# -- what comes back wrong


@pytest.mark.parametrize("data", [b"x", b"hello", LARGE], ids=len)
@pytest.mark.parametrize("at", [0, -1])
def test_a_flipped_bit_is_named_and_never_handed_out_whole(objects, tmp_path, data, at):
    digest = objects.put_bytes(data).digest

    def flip(content):
        content[at] ^= 1

    damage(objects, digest, flip)
    for read in (objects.get, objects.verify, lambda digest: objects.copy_to(digest, tmp_path / "copy")):
        with pytest.raises(CorruptDataError, match=digest) as caught:
            read(digest)
        assert str(objects.path(digest)) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    got = bytearray()
    with objects.open(digest) as reader:
        with pytest.raises(CorruptDataError):
            while piece := reader.read(1):
                got += piece
        with pytest.raises(CorruptDataError):
            reader.read()
    assert len(got) < len(data)


def test_a_shortened_object_is_noticed_and_the_next_put_repairs_it(objects):
    digest = objects.put_bytes(LARGE).digest
    for cut in (0, 1, BUFFER, len(LARGE) - 1):
        damage(objects, digest, lambda data: data.__delitem__(slice(cut, None)))  # noqa: B023
        with pytest.raises(CorruptDataError), objects.open(digest) as reader:
            reader.read(len(LARGE))
        assert objects.put_bytes(LARGE).digest == digest
        assert objects.get(digest) == LARGE


def test_a_lengthened_object_is_noticed(objects):
    digest = objects.put_bytes(b"hello").digest
    damage(objects, digest, lambda data: data.append(0))
    with pytest.raises(CorruptDataError):
        objects.get(digest)


def test_a_reader_is_a_file_that_goes_forward(objects):
    digest = objects.put_bytes(b"one\ntwo\nthree").digest
    with objects.open(digest) as reader:
        assert list(reader) == [b"one\n", b"two\n", b"three"]
        assert reader.read() == b""
        assert not reader.seekable()
    with io.TextIOWrapper(objects.open(digest)) as text:
        assert text.readline() == "one\n"


def test_a_reader_that_is_dropped_closes_its_file(objects):
    digest = objects.put_bytes(b"x").digest
    reader = objects.open(digest)
    assert is_open(objects.path(digest))
    del reader
    gc.collect()
    assert not is_open(objects.path(digest))


def is_open(path):
    """Whether this process has the file open; what else it opens and closes meanwhile is not looked at."""
    wanted = path.stat()
    for name in os.listdir("/dev/fd"):
        try:
            if os.path.samestat(os.fstat(int(name)), wanted):
                return True
        except OSError:  # it was that of the listing
            continue
    return False


def test_what_is_not_there_is_not_found(objects, tmp_path):
    for read in (objects.get, objects.open, objects.size, objects.verify, lambda d: objects.copy_to(d, tmp_path / "x")):
        with pytest.raises(NotFoundError, match="0000") as caught:
            read("0" * 64)
        assert isinstance(caught.value, KeyError)
    assert objects.freshen("0" * 64) is None


@pytest.mark.parametrize(
    "digest", ["", "abc", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "0/" * 32, None, 5, b"0" * 64]
)
def test_what_is_not_a_digest_never_becomes_a_path(objects, tmp_path, digest):
    for use in (objects.get, objects.open, objects.size, objects.has, objects.path, objects.verify, objects.freshen):
        with pytest.raises(InvalidValueError, match="64 characters"):
            use(digest)
    with pytest.raises(InvalidValueError):
        objects.copy_to(digest, tmp_path / "x")


# -- copies


def test_copies_are_whole_have_a_mode_and_replace_at_once(objects, tmp_path):
    digest = objects.put_bytes(LARGE).digest
    target = tmp_path / "out"
    target.write_bytes(b"old")
    objects.copy_to(digest, target, mode=0o700)
    assert target.read_bytes() == LARGE
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        objects.copy_to(digest, target, replace=False)
    assert target.read_bytes() == LARGE
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_a_copy_over_a_link_replaces_the_link(objects, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "dangling").symlink_to("nowhere")
    digest = objects.put_bytes(b"new").digest
    objects.copy_to(digest, tmp_path / "link")
    assert victim.read_bytes() == b"mine"
    with pytest.raises(FileExistsError):
        objects.copy_to(digest, tmp_path / "dangling", replace=False)
    assert not (tmp_path / "nowhere").exists()


# -- a disk that says no, other processes, and death


def test_a_full_disk_is_a_store_error_and_leaves_nothing(tmp_path):
    code = """
        import resource, errno
        from modelmgmt.errors import StoreWriteError
        objects.put_bytes(b"before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
        open(sys.argv[2], "wb").close()
        for put in (lambda: objects.put_bytes(bytes(4 << 20)), lambda: objects.put_stream(open("/dev/zero", "rb"))):
            try:
                put()
            except StoreWriteError as error:
                assert error.errno == errno.EFBIG and error.__cause__.errno == errno.EFBIG, error
                assert "tmp" in str(error), error
            else:
                raise SystemExit("kept?")
        objects.put_bytes(b"after")
        print(len(list(objects.digests())))
    """
    process = python(code, tmp_path / "store", tmp_path / "x")
    assert process.communicate()[0] == "2\n"
    assert not leftovers(Objects(tmp_path / "store"))


def test_a_store_in_the_place_of_a_file_is_a_store_error(tmp_path):
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreWriteError) as caught:
        Objects(tmp_path / "store").put_bytes(b"x")
    assert caught.value.errno == errno.ENOTDIR


def test_many_processes_put_the_same_bytes_at_once(objects):
    code = """
        sys.stdin.read()
        for i in range(60):
            objects.put_bytes(str(i).encode() * 1000)
        print(objects.put_stream(open(sys.argv[2], "rb")).digest)
    """
    source = objects.root.parent / "large"
    source.write_bytes(LARGE)
    processes = [python(code, objects.root, source, stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    assert {process.communicate()[0].strip() for process in processes} == {sha256(LARGE)}
    assert not any(process.returncode for process in processes)
    digests = list(objects.digests())
    assert len(digests) == 61
    for digest in digests:
        objects.verify(digest)
    assert not leftovers(objects)


def test_a_put_killed_half_way_leaves_one_temporary_file_and_a_store_that_works(objects):
    code = """
        import io, signal
        class Slow(io.RawIOBase):
            calls = 0
            def readinto(self, buffer):
                self.calls += 1
                if self.calls == 3:
                    print("half", flush=True)
                    signal.pause()
                return len(buffer)
        objects.put_stream(Slow())
    """
    process = python(code, objects.root)
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert list(objects.digests()) == []
    assert len(leftovers(objects)) == 1
    assert objects.get(objects.put_bytes(bytes(3 * BUFFER)).digest) == bytes(3 * BUFFER)


def test_killed_anywhere_every_object_is_whole_and_every_answer_was_true(objects):
    code = """
        import os
        for i in range(10_000):
            print(objects.put_bytes(f"{sys.argv[2]} {i}".encode() * 3000).digest, flush=True)
    """
    for turn in range(4):
        process = python(code, objects.root, turn)
        answers = [process.stdout.readline() for _ in range(5 + 7 * turn)]
        process.send_signal(signal.SIGKILL)
        answers += process.communicate()[0].splitlines()
        for answer in answers:
            if len(answer.strip()) == 64:
                objects.verify(answer.strip())
    for digest in objects.digests():
        objects.verify(digest)
    assert len(leftovers(objects)) <= 4


def test_memory_stays_constant_for_a_large_file(objects, tmp_path):
    source = tmp_path / "sparse"
    with open(source, "wb") as file:
        file.truncate(256 << 20)
    code = """
        import resource
        objects.put_bytes(b"warm")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        digest = objects.put_file(sys.argv[2]).digest
        objects.verify(digest)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    out = python(code, objects.root, source).communicate()[0]
    assert int(out) < 16


# ------------------------------------------------------------------------------------------------------------- adopting


def test_adopted_file_is_moved_read_only_and_verified(tmp_path):
    objects = Objects(tmp_path / "store")
    objects.put_bytes(b"first")
    source = tmp_path / "store" / "tmp" / "weights"
    source.write_bytes(b"x" * 3_000_000)
    stored = objects.adopt(source)
    assert stored.size == 3_000_000
    assert not source.exists()
    assert objects.get(stored.digest) == b"x" * 3_000_000
    assert objects.path(stored.digest).stat().st_mode & 0o777 == 0o444


def test_adopting_what_is_there_keeps_one_and_an_empty_file_is_one(tmp_path):
    objects = Objects(tmp_path / "store")
    stored = objects.put_bytes(b"same")
    for content in (b"same", b""):
        source = tmp_path / "store" / "tmp" / "weights"
        source.write_bytes(content)
        assert objects.get(objects.adopt(source).digest) == content
        source.unlink(missing_ok=True)
    assert stored.digest in set(objects.digests())


def test_link_is_not_adopted(tmp_path):
    objects = Objects(tmp_path / "store")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        objects.adopt(tmp_path / "link")
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_folder_is_moved_into_a_tree(tmp_path):
    from modelmgmt.store.trees import Trees

    trees = Trees(Objects(tmp_path / "store"))
    for place in ("one", "two"):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "a").write_bytes(b"a")
        (tmp_path / place / "sub" / "b").write_bytes(b"b")
    copied, moved = trees.put_folder(tmp_path / "one"), trees.put_folder(tmp_path / "two", move=True)
    assert copied == moved
    trees.objects.verify(trees.get(moved.digest)["a"].digest)


# ------------------------------------------------------------------------------------------------- into memory of others


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 100_000, len(LARGE)])
def test_an_object_is_read_into_memory(objects, size):
    stored = objects.put_bytes(LARGE[:size])
    memory = bytearray(size)
    objects.read_into(stored.digest, memoryview(memory))
    assert memory == LARGE[:size]


@pytest.mark.parametrize("place", [0, 5_000, -1])
def test_a_flipped_bit_is_named_when_it_is_read_into_memory(objects, place):
    stored = objects.put_bytes(LARGE)
    path = objects.path(stored.digest)
    path.chmod(0o600)
    flipped = bytearray(LARGE)
    flipped[place] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(CorruptDataError, match=hashlib.sha256(flipped).hexdigest()):
        objects.read_into(stored.digest, memoryview(bytearray(len(LARGE))))


@pytest.mark.parametrize("by", [-1, 1])
def test_memory_of_another_size_is_refused(objects, by):
    stored = objects.put_bytes(LARGE)
    with pytest.raises(CorruptDataError):
        objects.read_into(stored.digest, memoryview(bytearray(len(LARGE) + by)))
