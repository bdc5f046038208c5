"""A series is chunks and the journals' tails, read as one: each point once, whoever folds, reads or is killed."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading

import numpy as np
import pytest
from kernel_tools import add_run, log, read, steps

from modelmgmt.errors import CorruptDataError, StoreError, StoreWriteError
from modelmgmt.store import journal as journal_module
from modelmgmt.store import series
from modelmgmt.store.chunk import MAX_COUNT, Points, decode
from modelmgmt.store.database import Database
from modelmgmt.store.integrity import check_kernel
from modelmgmt.store.kernel import Kernel
from modelmgmt.store.series import Series, identity
from modelmgmt.store.summary import summarise


def chunks(kernel, key="loss"):
    with kernel.database.reading() as connection:
        return [row[0] for row in connection.execute("SELECT count FROM chunks WHERE key = ? ORDER BY id", (key,))]


def journals(kernel):
    return sorted((kernel.path / "journal").glob("*.journal"))


def flip(path, place):
    with open(path, "rb+") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def record(number):
    return journal_module.HEADER_BYTES + number * journal_module.RECORD_BYTES


# -- reading


def test_a_series_that_is_not_there_is_empty(kernel):
    for key, run in (("loss", "run-1"), ("loss", "none"), ("", "")):
        points = read(kernel, key, run)
        assert [(len(column), column.dtype.str) for column in points] == [(0, "<i8"), (0, "<f8"), (0, "<i8")]
    with kernel.series.snapshot() as snapshot:
        assert snapshot.summaries("run-1") == {}


def test_a_point_can_be_read_at_once_and_after_each_fold(kernel):
    for step in range(6):
        log(kernel, "loss", step)
        assert steps(kernel) == list(range(step + 1))
        if step % 2:
            kernel.fold()
            assert steps(kernel) == list(range(step + 1))
    assert chunks(kernel) == [2, 2, 2]


def test_points_come_by_step_then_time_then_arrival(kernel):
    stream = kernel.journal.define("run-1", "loss")

    def write(*rows):
        kernel.journal.append([journal_module.pack_point(step, value, time, stream) for step, value, time in rows])

    write((5, 1.0, 10), (3, 2.0, 20), (5, 3.0, 9), (5, 4.0, 10))
    kernel.fold()
    kernel.series.put("run-1", "loss", Points(np.array([5, -1]), np.array([5.0, 6.0]), np.array([10, 99])))
    write((5, 7.0, 10), (3, 8.0, 20))
    assert read(kernel).values.tolist() == [6.0, 2.0, 8.0, 3.0, 1.0, 4.0, 5.0, 7.0]


def test_every_bit_of_a_value_survives_the_journal_the_fold_and_the_table(kernel):
    values = np.array([0x7FF0000000000001, 0xFFF8000000000001, 1 << 63, 1, 0x7FF0000000000000], np.uint64)
    stream = kernel.journal.define("run-1", "loss")
    steps_ = [-(2**63), 2**63 - 1, 0, -1, 1]
    bodies = [
        journal_module.pack_point(step, 0.0, step, stream)[:8]
        + value.tobytes()
        + journal_module.pack_point(step, 0.0, step, stream)[16:]
        for step, value in zip(steps_, values, strict=True)
    ]
    kernel.journal.append(bodies)
    order = np.argsort(steps_)
    for _ in range(2):
        points = read(kernel)
        assert points.values.view(np.uint64).tolist() == values[order].tolist()
        assert points.steps.tolist() == points.times.tolist() == sorted(steps_)
        kernel.fold()


def test_many_points_at_once_are_cut_into_chunks(kernel):
    count = MAX_COUNT * 2 + 5
    numbers = np.arange(count)
    kernel.series.put("run-1", "loss", Points(numbers, numbers / 3, numbers * 2))
    assert chunks(kernel) == [MAX_COUNT, MAX_COUNT, 5]
    points = read(kernel)
    np.testing.assert_array_equal(points.values, numbers / 3)
    with kernel.series.snapshot() as snapshot:
        summary = snapshot.summaries("run-1")["loss"]
    assert (summary.count, summary.last, summary.last_step) == (count, (count - 1) / 3, count - 1)


def test_putting_no_points_changes_nothing(kernel):
    empty = Points(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    kernel.series.put("run-1", "loss", empty)
    assert steps(kernel) == []
    assert chunks(kernel) == []


def test_a_snapshot_is_one_moment(kernel):
    log(kernel, "loss", 1)
    kernel.fold()
    log(kernel, "loss", 2)
    with kernel.series.snapshot() as snapshot:
        log(kernel, "loss", 3)
        kernel.fold()
        kernel.retire()
        assert snapshot.read("run-1", "loss").steps.tolist() == [1, 2]
        assert snapshot.summaries("run-1")["loss"].count == 2
    assert steps(kernel) == [1, 2, 3]


def test_points_that_are_logged_while_a_journal_is_read_leave_no_hole_before_the_last_one_seen(kernel, monkeypatch):
    """The system copies page by page, and may let the writer go on in between."""
    for step in range(100):
        log(kernel, "loss", step)
    whole, page = os.pread, 4096
    more = itertools.count(100)

    def page_by_page(descriptor, size, place):
        parts = [whole(descriptor, min(size, page), place)]
        while size > page and parts[-1]:
            for _, step in zip(range(60), more, strict=False):
                log(kernel, "loss", step)
            size, place = size - page, place + page
            parts.append(whole(descriptor, min(size, page), place))
        return b"".join(parts)

    for _ in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", page_by_page)
            found = steps(kernel)
        assert found == list(range(len(found)))
        assert len(found) >= 100
    kernel.fold()
    assert steps(kernel) == list(range(next(more)))


# -- the table `metrics`


def metrics(kernel):
    with kernel.series.snapshot() as snapshot:
        rows = snapshot.connection.execute(
            "SELECT run, key, count, first, last, min, max FROM metrics ORDER BY run, key"
        )
        return rows.fetchall()


def test_the_table_metrics_of_a_snapshot_counts_the_tail(kernel):
    add_run(kernel, "run-2")
    log(kernel, "folded", 1)
    log(kernel, "both", 5)
    kernel.fold()
    log(kernel, "both", 7)
    log(kernel, "both", 3)
    log(kernel, "live", 9, run="run-2")
    expected = [
        ("run-1", "both", 3, 3.0, 7.0, 3.0, 7.0),
        ("run-1", "folded", 1, 1.0, 1.0, 1.0, 1.0),
        ("run-2", "live", 1, 9.0, 9.0, 9.0, 9.0),
    ]
    assert metrics(kernel) == metrics(kernel) == expected
    kernel.fold()
    assert metrics(kernel) == expected
    with kernel.database.reading() as connection:  # nothing of the overlay is left on the connection
        assert connection.execute("SELECT count(*) FROM temp.sqlite_master").fetchone() == (0,)


def test_summaries_are_those_of_the_points(kernel):
    random = np.random.default_rng(1)
    for step in random.integers(-5, 50, 300).tolist():
        log(kernel, "loss", step, random.choice([np.nan, np.inf, 1.5, -2.0, 1e300]))
        if step == 7:
            kernel.fold()
    with kernel.series.snapshot() as snapshot:
        found, expected = snapshot.summaries("run-1")["loss"], summarise(snapshot.read("run-1", "loss"))
    assert found.count == 300
    for name in ("nan_count", "first_step", "last_step", "min", "max", "min_step", "max_step"):
        assert getattr(found, name) == getattr(expected, name)


# -- damage


def change_chunk(kernel, change):
    with kernel.database.writing() as connection:
        ((chunk, data),) = connection.execute("SELECT id, data FROM chunks").fetchall()
        connection.execute("UPDATE chunks SET data = ? WHERE id = ?", (change(data), chunk))


def test_a_damaged_chunk_is_named_and_other_series_are_read(kernel):
    log(kernel, "loss", 1)
    kernel.fold()
    change_chunk(kernel, lambda data: data[:-1] + bytes([data[-1] ^ 4]))
    log(kernel, "acc", 1)
    with pytest.raises(CorruptDataError, match=r"run-1.*loss"):
        steps(kernel)
    assert steps(kernel, "acc") == [1]


def test_a_chunk_that_was_moved_to_another_series_is_noticed(kernel):
    log(kernel, "loss", 1)
    kernel.fold()
    with kernel.database.writing() as connection:
        connection.execute("UPDATE chunks SET key = 'acc'")
    with pytest.raises(CorruptDataError, match="acc"):
        steps(kernel, "acc")


def test_a_damaged_summary_is_named(kernel):
    log(kernel, "loss", 1)
    kernel.fold()
    with kernel.database.writing() as connection:
        connection.execute("UPDATE metrics SET last = 2.0")
    with kernel.series.snapshot() as snapshot, pytest.raises(CorruptDataError, match="metrics"):
        snapshot.summaries("run-1")


def test_a_damaged_record_costs_that_record_and_its_journal_is_set_aside(kernel):
    for step in range(5):
        log(kernel, "loss", step)
    name = kernel.journal.path.name
    flip(kernel.journal.path, record(3) + 3)
    assert steps(kernel) == [0, 1, 3, 4]
    with pytest.warns(UserWarning, match=f"{name}, 1 record was damaged"):
        kernel.retire()
    assert steps(kernel) == [0, 1, 3, 4]
    assert journals(kernel) == []
    assert (kernel.path / "set-aside" / name).is_file()


def test_a_damaged_record_that_was_passed_by_an_earlier_fold_is_not_forgotten(kernel):
    for step in range(5):
        log(kernel, "loss", step)
    name = kernel.journal.path.name
    flip(kernel.journal.path, record(3) + 3)
    with pytest.warns(UserWarning, match="1 record was damaged"):
        kernel.fold()
    log(kernel, "loss", 5)
    kernel.retire()
    assert steps(kernel) == [0, 1, 3, 4, 5]
    assert (kernel.path / "set-aside" / name).is_file()


def test_points_of_a_run_that_is_not_there_are_set_aside(kernel):
    log(kernel, "loss", 1)
    log(kernel, "loss", 2, run="nobody")
    name = kernel.journal.path.name
    with pytest.warns(UserWarning, match="1 point belongs to runs that are not in the store"):
        kernel.retire()
    assert steps(kernel) == [1]
    assert steps(kernel, run="nobody") == []
    assert (kernel.path / "set-aside" / name).is_file()


def test_a_damaged_header_stops_no_reader(kernel):
    log(kernel, "loss", 1)
    log(kernel, "loss", 2)
    flip(kernel.journal.path, 20)
    kernel.series.put("run-1", "acc", Points(np.arange(2), np.arange(2.0), np.arange(2)))
    assert steps(kernel, "acc") == [0, 1]
    with pytest.raises(CorruptDataError, match="header"):
        kernel.fold()
    flip(kernel.journal.path, 20)
    assert steps(kernel) == [1, 2]


def test_a_journal_that_cannot_be_read_is_a_clear_error(kernel):
    (kernel.path / "journal" / "x.journal").mkdir()
    with pytest.raises(StoreError):
        steps(kernel)
    (kernel.path / "journal" / "x.journal").rmdir()


# -- folding


def test_folding_again_changes_nothing(kernel):
    for step in range(5):
        log(kernel, "loss", step)
    path = kernel.journal.path
    for _ in range(3):
        assert kernel.series.fold(path).is_whole
        kernel.fold()
    assert chunks(kernel) == [5]
    copy = path.with_name("0-copy.journal")
    shutil.copy(path, copy)  # as when a file was restored after it had been folded
    assert kernel.series.fold_and_remove(copy).is_whole
    assert steps(kernel) == list(range(5))


def test_folding_a_file_that_is_gone_changes_nothing(kernel):
    gone = kernel.path / "journal" / "gone.journal"
    assert kernel.series.fold(gone).is_whole
    assert kernel.series.fold_and_remove(gone).is_whole
    kernel.series.remove_folded(gone)


def test_one_fold_makes_one_chunk_a_series_however_many_points(kernel):
    for step in range(300):
        log(kernel, f"key {step % 3}", step)
    kernel.fold()
    assert [chunks(kernel, f"key {place}") for place in range(3)] == [[100]] * 3


def test_folding_names_series_that_a_run_of_the_past_logged(kernel):
    """A thread may log to a run while another ends it, and a third folds."""
    stream = kernel.journal.define("run-1", "loss")
    kernel.journal.append([journal_module.pack_point(1, 1.0, 1, stream)])
    kernel.journal.define("run-2", "acc")
    kernel.journal.forget("run-1")
    kernel.journal.append([journal_module.pack_point(2, 2.0, 2, stream)])
    kernel.fold()
    assert chunks(kernel) == [2]


def test_a_handler_that_folds_in_the_middle_of_a_log_call_loses_nothing(kernel, monkeypatch):
    original, calls = journal_module._as_record, []

    def as_record(body, crc):
        calls.append(body)
        if len(calls) == 5:
            kernel.fold()
        if len(calls) == 7:
            kernel.retire()
        return original(body, crc)

    stream = kernel.journal.define("run-1", "loss")
    monkeypatch.setattr(journal_module, "_as_record", as_record)
    kernel.journal.append([journal_module.pack_point(step, 1.0, step, stream) for step in range(10)])
    assert steps(kernel) == list(range(10))
    kernel.retire()
    assert steps(kernel) == list(range(10))
    assert sum(chunks(kernel)) == 10


def test_full_segments_are_folded_in_the_background(kernel, monkeypatch):
    monkeypatch.setattr(journal_module, "FULL_BYTES", 4096 + 32 * 64)
    for step in range(1000):
        log(kernel, "loss", step)
    assert steps(kernel) == list(range(1000))
    kernel.fold()
    assert journals(kernel) == [kernel.journal.path]
    assert sum(chunks(kernel)) == 1000


def test_a_fold_that_fails_keeps_the_points_and_is_done_again(kernel, monkeypatch):
    monkeypatch.setattr(journal_module, "FULL_BYTES", 4096 + 32 * 32)
    refusing = True
    original = Database.writing

    def writing(self, **more):
        if refusing:
            raise StoreWriteError("The disk is full.")
        return original(self, **more)

    monkeypatch.setattr(Database, "writing", writing)
    for step in range(200):
        log(kernel, "loss", step)
    with pytest.raises(StoreWriteError):
        kernel.series.settle()
    assert steps(kernel) == list(range(200))
    refusing = False
    kernel.fold()
    assert steps(kernel) == list(range(200))
    assert sum(chunks(kernel)) == 200
    assert journals(kernel) == [kernel.journal.path]


def test_a_fold_without_a_thread_to_spare_is_done_later(kernel, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(journal_module, "FULL_BYTES", 4096 + 32 * 32)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for step in range(100):
            log(kernel, "loss", step)
    kernel.fold()
    assert steps(kernel) == list(range(100))


FOLDER = """
    import modelmgmt.store.series as series
    kernel = open_kernel_at(sys.argv[1])
    path, place = Path(sys.argv[2]), sys.argv[3]
    if place in ("_insert_known", "_remember_fold"):
        original = getattr(series, place)
        def killed(*args):
            original(*args)
            die()
        setattr(series, place, killed)
    elif place == "unlink":
        os.unlink = lambda *args, **more: die()
    kernel.series.fold_and_remove(path)
"""


@pytest.mark.parametrize("place", ["_insert_known", "_remember_fold", "unlink"])
def test_a_fold_that_is_killed_is_done_again_once(kernel, child, place):
    for step in range(100):
        log(kernel, f"key {step % 2}", step)
    path = kernel.journal.retire()
    folder = child(FOLDER, kernel.path, path, place)
    folder.process.wait()
    assert folder.process.returncode == -signal.SIGKILL
    for _ in range(2):
        assert steps(kernel, "key 0") == list(range(0, 100, 2))
        assert kernel.series.fold_and_remove(path).is_whole
        assert chunks(kernel, "key 0") == chunks(kernel, "key 1") == [50]
        assert journals(kernel) == []


KILLED_AT_RANDOM = """
    kernel = open_kernel_at(sys.argv[1])
    say("ready")
    for number in range(10**6):
        kernel.series.fold(Path(sys.argv[2]), stop=number)
"""


def test_folds_that_are_killed_at_random_moments_keep_each_point_once(kernel, child):
    for step in range(3000):
        log(kernel, "loss", step)
    path = kernel.journal.retire()
    for round_ in range(6):
        folder = child(KILLED_AT_RANDOM, kernel.path, path)
        assert folder.hear() == "ready"
        for _ in range(round_ * 3):
            steps(kernel)
        folder.kill()
        assert steps(kernel) == list(range(3000))
    kernel.series.fold_and_remove(path)
    assert steps(kernel) == list(range(3000))
    assert sum(chunks(kernel)) == 3000


def test_two_processes_fold_the_same_journals(kernel, child):
    paths = []
    for number in range(8):
        for step in range(50):
            log(kernel, "loss", number * 50 + step)
        paths.append(kernel.journal.retire())
    script = """
        kernel = open_kernel_at(sys.argv[1])
        say("ready")
        wait()
        for path in sys.argv[2:]:
            kernel.series.fold_and_remove(Path(path))
    """
    folders = [child(script, kernel.path, *paths) for _ in range(2)]
    assert [folder.hear() for folder in folders] == ["ready", "ready"]
    for folder in folders:
        folder.go_on()
    for folder in folders:
        folder.end()
    assert steps(kernel) == list(range(400))
    assert sum(chunks(kernel)) == 400
    assert journals(kernel) == []


WRITER = """
    from modelmgmt.store import journal as module
    module.FIRST_CAPACITY = module.LAST_CAPACITY = 200
    kernel = open_kernel_at(sys.argv[1])
    kernel.journal._capacity = 200
    say("ready")
    for step in range(int(sys.argv[2])):
        if step % 1000 == 0:
            wait()  # for the reader to begin one more time
        log(kernel, "loss", step)
        if step % 70 == 0:
            kernel.fold()
        if step % 500 == 0:
            kernel.retire()
        if step % 10 == 0:
            say(step)
    kernel.close()
"""


def test_a_reader_never_misses_or_doubles_a_point_while_another_process_logs_and_folds(kernel, child):
    count = 6000
    writer = child(WRITER, kernel.path, count)
    assert writer.hear() == "ready"
    said = []

    def listen():
        while line := writer.hear():
            said.append(int(line))

    listener = threading.Thread(target=listen)
    listener.start()
    before, reads = 0, 0
    while before < count:
        acknowledged = said[-1] + 1 if said else 0
        over = not listener.is_alive()
        if reads < count // 1000:
            writer.go_on()  # a thousand points more than were asked for so far, whoever is the faster
        with kernel.series.snapshot() as snapshot:
            points = snapshot.read("run-1", "loss")
            summary = snapshot.summaries("run-1").get("loss")
        found = len(points.steps)
        assert points.steps.tolist() == list(range(found))
        assert points.values.tolist() == points.steps.tolist()
        assert found >= max(before, acknowledged)
        assert found == (summary.count if summary else 0)
        assert found == count or not over
        before, reads = found, reads + 1
    listener.join()
    writer.end()
    assert reads >= count // 1000
    assert journals(kernel) == []
    assert sum(chunks(kernel)) == count


def test_a_chunk_can_be_read_with_its_documented_identity(kernel):
    log(kernel, "vál/loss", 4)
    kernel.fold()
    with kernel.database.reading() as connection:
        (data,) = connection.execute("SELECT data FROM chunks").fetchone()
    assert decode(identity("run-1", "vál/loss"), data).steps.tolist() == [4]
    assert identity("run-1", "vál/loss") == "run-1\0vál/loss".encode()


def test_set_aside_twice(kernel):
    log(kernel, "loss", 1)
    path = kernel.journal.retire()
    target = series.set_aside(path)
    assert target.is_file()
    assert series.set_aside(path) == target


# -- recovery


def leave(child, path, count=10, key="loss", more=""):
    """A process that logs and is killed. Returns its journal's path."""
    script = f"""
        kernel = open_kernel_at(sys.argv[1])
        for step in range({count}):
            log(kernel, {key!r}, step)
        {more}
        say(kernel.journal.path)
        wait()
    """
    one = child(script, path)
    journal = one.hear()
    one.kill()
    from pathlib import Path

    return Path(journal)


def test_the_journal_of_a_killed_process_is_folded_by_the_next_that_opens(kernel, child):
    journal = leave(child, kernel.path)
    assert steps(kernel) == list(range(10))
    assert chunks(kernel) == []
    again = Kernel(kernel.path)
    assert not journal.exists()
    assert chunks(again) == [10]
    assert steps(again) == steps(kernel) == list(range(10))
    again.close()


def test_the_journal_of_a_living_process_is_left_alone(kernel):
    log(kernel, "loss", 1)
    Kernel(kernel.path).close()
    assert kernel.journal.path.exists()
    log(kernel, "loss", 2)
    assert steps(kernel) == [1, 2]


def test_the_journal_of_a_process_of_another_host_is_read_but_left_alone(kernel, child, monkeypatch):
    journal = leave(child, kernel.path, more="")
    from modelmgmt.store import process

    monkeypatch.setattr(process, "_host", lambda: "elsewhere")
    process._describe.cache_clear()
    try:
        again = Kernel(kernel.path)
        assert steps(again) == list(range(10))
        assert journal.exists()
        again.close()
    finally:
        process._describe.cache_clear()


def test_many_killed_processes(kernel, child):
    for number in range(5):
        leave(child, kernel.path, key=f"key {number}")
    kernel.series.recover()
    assert journals(kernel) == []
    assert all(steps(kernel, f"key {number}") == list(range(10)) for number in range(5))


def test_two_processes_recover_at_once(kernel, child):
    for number in range(4):
        leave(child, kernel.path, key=f"key {number}")
    script = """
        say("ready")
        wait()
        kernel = open_kernel_at(sys.argv[1])
        say(len(os.listdir(kernel.path / "journal")))
    """
    openers = [child(script, kernel.path) for _ in range(3)]
    assert [opener.hear() for opener in openers] == ["ready"] * 3
    for opener in openers:
        opener.go_on()
    assert [opener.end() for opener in openers] == ["0"] * 3
    assert all(steps(kernel, f"key {number}") == list(range(10)) for number in range(4))
    assert sum(sum(chunks(kernel, f"key {number}")) for number in range(4)) == 40


@pytest.mark.parametrize("place", ["_insert_known", "_remember_fold", "unlink"])
def test_a_recoverer_that_is_killed_is_recovered(kernel, child, place):
    leave(child, kernel.path)
    script = f"""
        import modelmgmt.store.series as series
        place = {place!r}
        if place == "unlink":
            os.unlink = lambda *args, **more: die()
        else:
            original = getattr(series, place)
            def killed(*args):
                original(*args)
                die()
            setattr(series, place, killed)
        open_kernel_at(sys.argv[1])
    """
    recoverer = child(script, kernel.path)
    recoverer.process.wait()
    assert recoverer.process.returncode == -signal.SIGKILL
    assert steps(kernel) == list(range(10))
    kernel.series.recover()
    assert steps(kernel) == list(range(10))
    assert chunks(kernel) == [10]
    assert journals(kernel) == []


def test_a_recoverer_that_is_killed_before_it_sets_damage_aside(kernel, child):
    journal = leave(child, kernel.path)
    flip(journal, record(5))
    script = """
        import modelmgmt.store.series as series
        series.set_aside = lambda path: die()
        open_kernel_at(sys.argv[1])
    """
    child(script, kernel.path).process.wait()
    assert kernel.series.recover() == [journal]
    assert (kernel.path / "set-aside" / journal.name).is_file()
    assert len(steps(kernel)) == 9


def test_a_damaged_journal_is_named_when_the_store_is_opened(kernel, child):
    journal = leave(child, kernel.path)
    flip(journal, record(5))
    with pytest.warns(UserWarning, match=f"{journal.name} is damaged"):
        Kernel(kernel.path).close()
    assert len(steps(kernel)) == 9
    Kernel(kernel.path).close()  # said once: the file is set aside


def test_it_is_said_what_became_of_a_journal_that_was_not_whole(kernel, child):
    orphan = leave(child, kernel.path)
    with kernel.database.writing() as connection:
        connection.execute("DELETE FROM runs")
    with pytest.warns(UserWarning, match="a run that is not in the store.*kept in the folder set-aside"):
        Kernel(kernel.path).close()
    assert (kernel.path / "set-aside" / orphan.name).is_file()
    add_run(kernel)
    unreadable = leave(child, kernel.path)
    flip(unreadable, 20)
    with pytest.warns(UserWarning, match="damaged and cannot be read; 'modelmgmt store check' names it"):
        Kernel(kernel.path).close()
    assert [problem.where for problem in check_kernel(kernel, deep=False)] == [f"journal/{unreadable.name}"]


def test_what_a_killed_process_left_half_made_is_removed_when_it_is_old(kernel):
    old, new = (kernel.path / "journal" / name for name in ("1-1-aa.new", "1-1-bb.new"))
    for path in (old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    kernel.series.recover()
    assert not old.exists()
    assert new.exists()


def test_a_series_needs_no_folder(kernel, tmp_path):
    alone = Series(kernel.database, tmp_path / "none")
    assert alone.recover() == []
    with alone.snapshot() as snapshot:
        assert len(snapshot.read("a", "b").steps) == 0
