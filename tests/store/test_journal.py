"""What `append` returned for is in the file, whoever is killed, interrupted, forked or called in between."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading

import pytest

from modelmgmt.errors import StoreWriteError
from modelmgmt.store import journal as journal_module
from modelmgmt.store.journal import HEADER_BYTES, RECORD_BYTES, SUFFIX, Journal, pack_point

RUN = "0123456789abcdef"


class Kept(list):
    """The paths of full files, kept where they are."""

    __call__ = list.append


@pytest.fixture
def full():
    return Kept()


@pytest.fixture
def small(monkeypatch):
    """Files of 16 records, so that they fill up."""
    monkeypatch.setattr(journal_module, "FULL_BYTES", HEADER_BYTES + 16 * RECORD_BYTES)


@pytest.fixture
def journal(tmp_path, full):
    return Journal(tmp_path, full)


def point(stream, step):
    return pack_point(step, step / 2, step, stream)


def log(journal, key, step):
    journal.append([point(journal.define(RUN, key), step)])


def read_all(folder):
    """Key -> steps, of all files in the order in which they were begun. Nothing may be damaged."""
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: int(path.name.split("-")[0], 16)):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            records = journal_module.read(descriptor, journal_module.read_header(descriptor, path.name).salt)
        finally:
            os.close(descriptor)
        assert records.damaged == (), path
        for step, value, time, tag, _ in records.points.tolist():
            assert (value, time) == (step / 2, step)
            found.setdefault(records.names[tag][1], []).append(step)
    return found


# -- files


def test_nothing_is_on_disk_before_the_first_point(journal, tmp_path):
    journal.define(RUN, "loss")
    assert list(tmp_path.iterdir()) == []
    assert (journal.path, journal.written(), journal.retire()) == (None, 0, None)
    journal.flush()


def test_points_come_back_in_order_over_many_files(small, journal, full, tmp_path):
    for step in range(1000):
        log(journal, f"key {step % 3}", step)
    journal.flush()
    assert read_all(tmp_path) == {f"key {place}": list(range(place, 1000, 3)) for place in range(3)}
    assert len(full) == len(set(full)) == len(list(tmp_path.iterdir())) - 1
    assert journal.path not in full


def test_files_hold_what_was_logged_and_no_more(small, journal, full):
    for step in range(400):
        log(journal, "loss", step)
    assert journal.path.stat().st_size == HEADER_BYTES + (400 - 26 * 15 + 1) * RECORD_BYTES
    sizes = [(path.stat().st_size - HEADER_BYTES) / RECORD_BYTES for path in full]
    assert sizes == [16] * 26


def test_every_file_defines_every_series_of_every_open_run(small, journal, tmp_path):
    keys = [f"{'日本語' * 30} é {place}" for place in range(40)]
    streams = [journal.define(RUN, key) for key in keys]
    for step in range(30):
        journal.append([point(stream, step) for stream in streams])
    assert read_all(tmp_path) == {key: list(range(30)) for key in keys}


def test_a_series_is_defined_once_in_a_segment(journal):
    stream = journal.define(RUN, "loss")
    log(journal, "loss", 1)
    written = journal.written()
    assert journal.define(RUN, "loss") == stream
    assert journal.written() == written


def test_a_key_may_come_when_the_file_has_no_room_for_it(small, journal, tmp_path):
    for place in range(100):
        log(journal, f"{place} " + "k" * 200, place)
    assert sum(map(len, read_all(tmp_path).values())) == 100


def test_a_call_may_be_larger_than_a_segment(small, journal, tmp_path):
    stream = journal.define(RUN, "loss")
    journal.append([point(stream, step) for step in range(1000)])
    journal.append([point(stream, 1000)])
    assert read_all(tmp_path) == {"loss": list(range(1001))}


def test_a_run_that_ended_is_not_defined_again(small, journal, tmp_path, full):
    log(journal, "loss", 1)
    other = journal.define("other", "acc")
    journal.append([point(other, 2)])
    journal.forget(RUN)
    for step in range(3, 40):
        journal.append([point(other, step)])
    with open(journal.path, "rb") as file:
        assert journal_module.read_names(file.fileno(), journal._file.salt) == {other: ("other", "acc")}


def test_names_hold_until_the_file_is_left(journal):
    """A thread may still be logging to a run that another thread ends."""
    stream = journal.define(RUN, "loss")
    journal.define("other", "acc")
    journal.append([point(stream, 1)])
    journal.forget(RUN)
    journal.append([point(stream, 2)])
    assert journal.names()[stream] == (RUN, "loss")


def test_after_retiring_a_new_file_begins(journal, tmp_path):
    log(journal, "loss", 1)
    first = journal.path
    assert journal.retire() == first
    assert journal.path is None
    log(journal, "loss", 2)
    assert journal.path != first
    assert read_all(tmp_path) == {"loss": [1, 2]}


# -- threads, signals, exceptions


def test_threads_share_a_journal(small, journal, tmp_path):
    def work(number):
        for step in range(400):
            log(journal, f"thread {number}", step)
            if step % 10 == 0:
                log(journal, f"thread {number} key {step}", step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_all(tmp_path)
    assert all(found[f"thread {number}"] == list(range(400)) for number in range(6))
    assert len(found) == 6 + 6 * 40


def at_each(monkeypatch, name, action):
    """Do `action` inside the calls of a function that the journal calls, as a signal handler may; not inside itself."""
    original, state = getattr(journal_module, name), {"calls": 0, "inside": False}

    def wrapped(*args, **more):
        result = original(*args, **more)
        if not state["inside"]:
            state["calls"] += 1
            state["inside"] = True
            try:
                action(state["calls"])
            finally:
                state["inside"] = False
        return result

    monkeypatch.setattr(journal_module, name, wrapped)


@pytest.fixture(params=["_as_record", "_pwrite", "_File", "definition"])
def where(request):
    """A function that the journal calls."""
    return request.param


def test_a_handler_may_log_in_the_middle_of_any_call(small, journal, tmp_path, monkeypatch, where):
    """Also a key that is new, and so much that a file fills up."""
    handled = []

    def handler(call):
        if where == "_File" or call % 5 == 0:
            for step in range(call * 100, call * 100 + call % 7):
                log(journal, f"handler {call % 10}", step)
                handled.append(step)

    at_each(monkeypatch, where, handler)
    for step in range(90):
        log(journal, f"main {step % 9}", step)
        stream = journal.define(RUN, "many")
        journal.append([point(stream, step * 10 + place) for place in range(5)])
    found = read_all(tmp_path)
    assert sorted(sum((found[f"main {place}"] for place in range(9)), [])) == list(range(90))
    assert sorted(found["many"]) == [step * 10 + place for step in range(90) for place in range(5)]
    assert sorted(sum((steps for key, steps in found.items() if key.startswith("handler")), [])) == sorted(handled)
    assert handled


def test_a_file_is_not_handed_over_while_a_call_is_still_writing_to_it(small, journal, full, monkeypatch):
    log(journal, "loss", 0)
    first = journal.path

    def handler(call):
        if call == 3:
            for step in range(100):
                log(journal, "handler", step)
            assert journal.path == first

    at_each(monkeypatch, "_as_record", handler)
    stream = journal.define(RUN, "loss")
    journal.append([point(stream, step) for step in range(1, 8)])
    assert full == []
    log(journal, "loss", 8)
    assert full == [first]
    assert read_all(first.parent)["loss"] == list(range(9))


def test_what_is_not_yet_filled_does_not_count_as_written(journal, monkeypatch):
    log(journal, "loss", 0)
    stream, before = journal.define(RUN, "loss"), journal.written()
    seen = []

    def handler(call):
        seen.append(journal.written())
        assert journal.retire() is None

    at_each(monkeypatch, "_as_record", handler)
    journal.append([point(stream, step) for step in range(3)])
    assert seen == [before] * 3
    assert journal.written() == before + 3


class Interrupt(BaseException):
    pass


def test_an_interrupt_in_the_middle_of_a_call_costs_that_call_only(small, journal, tmp_path, monkeypatch, where):
    chance = random.Random(5)

    def interrupt(call):
        if chance.random() < 0.2:
            raise Interrupt

    at_each(monkeypatch, where, interrupt)
    logged, tried = {}, {}
    for step in range(1500):
        key = f"key {step % 7} {step // 300}"
        tried.setdefault(key, []).append(step)
        try:
            log(journal, key, step)
        except Interrupt:
            continue
        logged.setdefault(key, []).append(step)
    found = read_all(tmp_path)
    for key, steps in logged.items():
        assert set(steps) <= set(found[key]) <= set(tried[key])
        assert len(found[key]) == len(set(found[key]))


SIGNALS = """
    import signal
    from modelmgmt.store import journal as module
    from modelmgmt.store.journal import Journal
    module.FULL_BYTES = 4096 + 16 * 32
    journal = Journal(Path(sys.argv[1]), lambda path: None)
    counts = {"main": 0, "handler": 0}
    def log(key, name):
        stream = journal.define("0123456789abcdef", key)
        step = counts[name]
        counts[name] += 1
        journal.append([pack_point(step, step / 2, step, stream)] * 2)
    def handler(*_):
        log(f"handler {counts['handler'] // 20}", "handler")
    signal.signal(signal.SIGVTALRM, handler)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    while counts["handler"] < 100:
        log(f"main {counts['main'] // 100}", "main")
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    say(counts["main"], counts["handler"])
"""


def test_real_signals(child, tmp_path):
    main, handler = map(int, child(SIGNALS, tmp_path).end().split())
    found = read_all(tmp_path)
    for name, count in (("main", main), ("handler", handler)):
        steps = sorted(sum((steps for key, steps in found.items() if key.startswith(name)), []))
        assert steps == sorted([*range(count), *range(count)])


# -- other processes

LOGGER = """
    from modelmgmt.store import journal as module
    from modelmgmt.store.journal import Journal
    module.FULL_BYTES = 4096 + 64 * 32
    journal = Journal(Path(sys.argv[1]), lambda path: None)
    for step in range(10**9):
        stream = journal.define("0123456789abcdef", f"key {step // 50}")
        journal.append([pack_point(step, step / 2, step, stream)])
        say(step)
"""


@pytest.mark.parametrize("seed", range(20))
def test_what_was_acknowledged_survives_a_kill(child, tmp_path, seed):
    chance = random.Random(seed)
    logger = child(LOGGER, tmp_path)
    for _ in range(chance.randrange(1, 400)):
        logger.hear()
    said = logger.kill()[:-1]  # what follows the last line end was not said to its end
    found = sorted(sum(read_all(tmp_path).values(), []))
    assert found == list(range(len(found)))
    if said:
        assert len(found) > int(said[-1])


FORKER = """
    from modelmgmt.store.journal import Journal
    journal = Journal(Path(sys.argv[1]), lambda path: None)
    def log(key, step):
        journal.append([pack_point(step, step / 2, step, journal.define("0123456789abcdef", key))])
    log("parent", 0)
    log("shared", 0)
    before = journal.path
    if os.fork() == 0:
        assert journal.path is None
        log("shared", 1)
        log("child", 2)
        assert journal.path != before
        os._exit(0)
    os.wait()
    assert journal.path == before
    log("parent", 3)
"""


def test_the_child_of_a_fork_begins_a_file_of_its_own(child, tmp_path):
    child(FORKER, tmp_path).end()
    assert len(list(tmp_path.iterdir())) == 2
    found = read_all(tmp_path)
    assert (found["parent"], sorted(found["shared"]), found["child"]) == ([0, 3], [0, 1], [2])


FORK_AMONG_THREADS = """
    import threading
    from modelmgmt.store.journal import Journal
    journal = Journal(Path(sys.argv[1]), lambda path: None)
    over = threading.Event()
    def log(key, step):
        journal.append([pack_point(step, step / 2, step, journal.define("0123456789abcdef", key))])
    def work():
        while not over.is_set():
            log("thread", 7)
    threads = [threading.Thread(target=work) for _ in range(3)]
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    children = []
    for number in range(20):
        if number < len(threads):
            threads[number].start()
        pid = os.fork()
        if pid == 0:
            log("child", number)
            os._exit(0)
        children.append(pid)
    codes = [os.waitpid(pid, 0)[1] for pid in children]
    over.set()
    for thread in threads:
        thread.join()
    say(*codes)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_a_fork_while_other_threads_are_logging(child, tmp_path, attempt):
    """A child must wait for nothing that a thread of its parent was in the middle of, such as the import of a codec."""
    assert child(FORK_AMONG_THREADS, tmp_path).end().split() == ["0"] * 20
    assert sorted(read_all(tmp_path)["child"]) == list(range(20))


# -- a disk that refuses

LIMITED = """
    import resource
    from modelmgmt.errors import StoreWriteError
    from modelmgmt.store import journal as module
    from modelmgmt.store.journal import Journal
    module.FULL_BYTES = 4096 + 64 * 32
    journal = Journal(Path(sys.argv[1]), lambda path: None)
    def log(step):
        journal.append([pack_point(step, step / 2, step, journal.define("0123456789abcdef", f"key {step // 10}"))])
    log(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    refused = 0
    for step in range(1, 500):
        try:
            log(step)
        except StoreWriteError as error:
            assert "Could not write" in str(error) or "Could not make room" in str(error), error
            assert sys.argv[1] in str(error), error
            refused += 1
        else:
            assert not refused
            say(step)
    assert refused > 300
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for step in range(500, 600):
        log(step)
        say(step)
"""


def test_a_disk_that_refuses_a_new_file_is_an_error_and_later_points_are_fine(child, tmp_path):
    pytest.importorskip("resource")
    said = [int(word) for word in child(LIMITED, tmp_path).end().split()]
    assert sorted(sum(read_all(tmp_path).values(), [])) == [0, *said]
    assert not list(tmp_path.glob("*.new"))


def test_a_folder_that_is_gone_is_an_error_and_the_journal_goes_on_when_it_is_back(tmp_path, full):
    folder = tmp_path / "journal"
    journal = Journal(folder, full)
    for _ in range(3):
        with pytest.raises(StoreWriteError, match="Could not make room"):
            log(journal, "loss", 1)
    folder.mkdir()
    log(journal, "loss", 2)
    assert read_all(folder) == {"loss": [2]}


@pytest.mark.parametrize("part", [0, 1, 31, 32, 40])
def test_a_plain_write_that_fails_half_way_leaves_no_trace(tmp_path, full, monkeypatch, part):
    """A disk may take a part of what it is given, and refuse the rest; the points are then logged again."""
    journal = Journal(tmp_path, full)
    log(journal, "loss", 0)
    stream, write = journal.define(RUN, "loss"), journal_module._pwrite

    def short(file, data, size, place):
        if size < 64 or not part:
            raise OSError(errno.ENOSPC, "the disk is full")
        return write(file, data[:part], part, place)

    monkeypatch.setattr(journal_module, "_pwrite", short)
    for _ in range(3):
        with pytest.raises(StoreWriteError, match="the disk is full"):
            journal.append([point(stream, 1), point(stream, 2)])
    monkeypatch.setattr(journal_module, "_pwrite", write)
    journal.append([point(stream, 1), point(stream, 2)])
    assert read_all(tmp_path) == {"loss": [0, 1, 2]}


def test_a_tmpfs_that_is_full_ends_no_process(child, tmp_path, small_disk):
    script = """
        from modelmgmt.errors import StoreWriteError
        from modelmgmt.store.journal import Journal
        folder = Path(sys.argv[1])
        journal = Journal(folder, lambda path: None)
        kept, refused = 0, 0
        with (folder / "filler").open("wb", buffering=0) as filler:
            for step in range(60_000):
                if step == 5_000:
                    try:
                        while True:
                            filler.write(bytes(4096))
                    except OSError:
                        pass
                try:
                    journal.append([pack_point(step, step / 2, step, journal.define("0123456789abcdef", "loss"))])
                    kept += 1
                except StoreWriteError:
                    refused += 1
                    if refused == 100:
                        break
        say(kept, refused)
    """
    kept, refused = map(int, child(script, small_disk).end().split())
    assert refused == 100
    assert read_all(small_disk) == {"loss": list(range(kept))}


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 2 MiB."""
    import subprocess

    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("only root may mount a small tmpfs, and not everywhere")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_signal_that_raises_is_an_interrupt_like_any_other(journal, tmp_path):
    """KeyboardInterrupt, for real: what was logged before and after it is there."""

    def handler(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        log(journal, "loss", 0)
        with pytest.raises(KeyboardInterrupt):
            for step in range(1, 10**9):
                log(journal, "loss", step)
                if step == 50:
                    signal.raise_signal(signal.SIGUSR1)
        log(journal, "acc", 1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert read_all(tmp_path) == {"loss": list(range(51)), "acc": [1]}
