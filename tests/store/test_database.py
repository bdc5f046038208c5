"""SQLite, tamed: one schema however many open it, no lock that is not waited for, nothing half-written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest

from modelmgmt.errors import (
    CorruptDataError,
    StoreError,
    StorePathError,
    StoreTooNewError,
    StoreTooOldError,
    StoreWriteError,
)
from modelmgmt.store import database as database_module
from modelmgmt.store import schema
from modelmgmt.store.database import APPLICATION_ID, OLDEST_VERSION, SCHEMA_VERSION, Database, prepare
from modelmgmt.store.kernel import Kernel


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def database(path):
    database = Database(path)
    yield database
    database.close()


def put(database, name, **more):
    with database.writing(**more) as connection:
        connection.execute("INSERT INTO folds VALUES (?, 1, 'now')", (str(name),))


def names(database):
    with database.reading() as connection:
        return sorted(row[0] for row in connection.execute("SELECT segment FROM folds"))


def objects(path):
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return rows


# -- opening


def test_a_new_file_says_what_it_is(database, path):
    with database.reading() as connection:
        one = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        assert one == [APPLICATION_ID, SCHEMA_VERSION]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_there_is_a_migration_for_every_version():
    assert list(schema.STEPS) == list(range(OLDEST_VERSION, SCHEMA_VERSION + 1))


def test_opening_again_changes_nothing(database, path):
    put(database, "a")
    database.close()
    before = objects(path)
    again = Database(path)
    assert objects(path) == before
    assert names(again) == ["a"]
    again.close()


OPENER = """
    from modelmgmt.store.database import Database
    say("ready")
    wait()
    for path in sys.argv[2:]:
        database = Database(Path(path))
        with database.writing() as connection:
            connection.execute("INSERT INTO folds VALUES (?, 1, 'now')", (sys.argv[1],))
        database.close()
"""


def test_twelve_processes_open_what_does_not_exist_yet(child, tmp_path, path):
    Database(path).close()
    paths = [tmp_path / f"{number}.db" for number in range(5)]
    openers = [child(OPENER, number, *paths) for number in range(12)]
    assert {opener.hear() for opener in openers} == {"ready"}
    for opener in openers:
        opener.go_on()
    for opener in openers:
        opener.end()
    for one in paths:
        assert objects(one) == objects(path)
        database = Database(one)
        assert names(database) == sorted(map(str, range(12)))
        database.close()


def test_threads_open_what_does_not_exist_yet(tmp_path):
    errors, barrier = [], threading.Barrier(6)

    def work():
        try:
            barrier.wait()
            Database(tmp_path / "one.db").close()
        except (StoreWriteError, sqlite3.Error, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


KILLED_MIGRATION = """
    import sqlite3
    from modelmgmt.store.database import Database
    left = int(sys.argv[2])
    class Killed(sqlite3.Connection):
        def execute(self, *given):
            global left
            left -= 1
            if left < 0:
                die()
            return super().execute(*given)
    connect = sqlite3.connect
    sqlite3.connect = lambda *given, **more: connect(*given, factory=Killed, **more)
    Database(Path(sys.argv[1]))
    say("whole")
"""


def test_whoever_makes_the_tables_may_be_killed_anywhere(child, tmp_path, path):
    Database(path).close()
    for number in (0, 1, 5, 6, 7, 12, 25, 40, 55, 70):
        one = tmp_path / f"{number}.db"
        opener = child(KILLED_MIGRATION, one, number)
        opener.process.wait()
        Database(one).close()
        assert objects(one) == objects(path)


# -- what is not a store


def unchanged(path, match, error=StorePathError):
    before = path.read_bytes()
    with pytest.raises(error, match=match) as caught:
        Database(path)
    assert path.read_bytes() == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("content", [b"hello\n", b"x" * 5000, "näh".encode() * 999, bytes(8192)])
def test_a_file_of_something_else_is_refused(path, content):
    path.write_bytes(content)
    unchanged(path, "not a modelmgmt store|something else|damaged", StoreError)


def test_an_sqlite_file_of_something_else_is_refused(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    unchanged(path, "SQLite database of another program")


def test_an_sqlite_file_with_another_application_id_is_refused(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 77")
        connection.execute("VACUUM")
    connection.close()
    unchanged(path, "another program .application id 0x4d.")


def test_an_empty_file_becomes_a_store(path):
    path.touch()
    database = Database(path)
    assert names(database) == []
    database.close()


def test_a_folder_in_its_place(path):
    path.mkdir()
    with pytest.raises(StoreError):
        Database(path)


def test_a_newer_store_is_refused_with_one_sentence(path):
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("INSERT INTO _schema_steps VALUES (?, '')", (SCHEMA_VERSION + 1,))
    connection.close()
    message = unchanged(path, "newer modelmgmt", StoreTooNewError)
    assert f"version {SCHEMA_VERSION + 1}" in message
    assert "pip install --upgrade modelmgmt" in message


@pytest.mark.parametrize("version", [1, 5, 10])
def test_an_older_store_is_refused_with_one_sentence(path, version):
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("DROP TABLE _schema_steps")
        connection.execute("CREATE TABLE _sqlite_migrations (name TEXT)")
        connection.execute("INSERT INTO _sqlite_migrations VALUES (?)", (f"m{version:04}_some",))
    connection.close()
    message = unchanged(path, "early modelmgmt", StoreTooOldError)
    assert f"store version {version}," in message
    assert f"reads {OLDEST_VERSION} to {SCHEMA_VERSION}" in message


# -- upgrading


@pytest.fixture
def newer_library(monkeypatch):
    """This library, with one migration more."""
    monkeypatch.setattr(database_module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setitem(schema.STEPS, SCHEMA_VERSION + 1, ["CREATE TABLE more (name TEXT) STRICT"])


def test_before_an_upgrade_a_copy_is_made(path, request):
    database = Database(path)
    put(database, "kept")
    database.close()
    before = objects(path)
    request.getfixturevalue("newer_library")
    upgraded = Database(path)
    assert names(upgraded) == ["kept"]
    put(upgraded, "new")
    upgraded.close()
    assert ("table", "more") in [row[:2] for row in objects(path)]
    (copy,) = (path.parent / "backups").iterdir()
    assert copy.name.startswith(f"store-v{SCHEMA_VERSION}-")
    assert copy.suffix == ".db"
    assert objects(copy) == before
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT segment FROM folds").fetchall() == [("kept",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()
    Database(path).close()
    assert len(list((path.parent / "backups").iterdir())) == 1


def test_the_copy_is_a_store_that_opens(path, tmp_path, request):
    database = Database(path)
    put(database, "kept")
    database.close()
    with pytest.MonkeyPatch.context():
        request.getfixturevalue("newer_library")
        Database(path).close()
    (copy,) = (path.parent / "backups").iterdir()
    restored = tmp_path / "restored" / "store.db"
    restored.parent.mkdir()
    shutil.copy(copy, restored)
    again = Database(restored)
    assert names(again) == ["kept"]
    again.close()


def test_an_upgrade_that_fails_leaves_the_old_store(path, newer_library, monkeypatch):
    statements = schema.STEPS.pop(SCHEMA_VERSION + 1)
    monkeypatch.setattr(database_module, "SCHEMA_VERSION", SCHEMA_VERSION)
    Database(path).close()
    before = objects(path)
    monkeypatch.setattr(database_module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setitem(schema.STEPS, SCHEMA_VERSION + 1, [*statements, "SELECT no_such_function()"])
    with pytest.raises(sqlite3.OperationalError):
        Database(path)
    assert objects(path) == before


# -- transactions


def test_a_transaction_that_raises_leaves_nothing(database):
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute("INSERT INTO folds VALUES ('a', 1, 'now')")
        raise ZeroDivisionError
    assert names(database) == []
    put(database, "b")
    assert names(database) == ["b"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_leaves_nothing(database, interrupt):
    with pytest.raises(interrupt), database.writing() as connection:
        connection.execute("INSERT INTO folds VALUES ('a', 1, 'now')")
        raise interrupt
    assert names(database) == []


def test_a_transaction_that_was_cut_off_before_it_could_end_is_left_by_the_next(database):
    """An interrupt at the very end of a `with` block: Python does not leave the block as long as the traceback lives."""

    def cut_off():
        manager = database.writing()
        manager.__enter__().execute("INSERT INTO folds VALUES ('a', 1, 'now')")
        return manager

    traceback = cut_off()
    put(database, "b")
    assert names(database) == ["b"]
    done = threading.Thread(target=put, args=(database, "c"))
    done.start()
    done.join()  # it gives up by itself when it cannot have its turn
    assert names(database) == ["b", "c"]
    del traceback


def test_a_signal_handler_that_writes_into_a_transaction_is_refused_at_once(database):
    with database.writing() as connection:
        connection.execute("INSERT INTO folds VALUES ('a', 1, 'now')")
        with pytest.raises(StoreWriteError, match="signal handler"):
            put(database, "b")
    assert names(database) == ["a"]


def test_rows_that_contradict_the_tables_are_damaged(database):
    put(database, "a")
    with pytest.raises(CorruptDataError, match="contradicts the tables"):
        put(database, "a")
    with pytest.raises(CorruptDataError, match="contradicts the tables"), database.writing() as connection:
        connection.execute("INSERT INTO tags VALUES ('nobody', 'k', 'v', 0)")


def test_reading_sees_one_moment_and_nests(database):
    put(database, "a")
    with database.reading() as outer:
        assert outer.execute("SELECT count(*) FROM folds").fetchone() == (1,)
        put(database, "b")
        with database.reading() as inner:
            assert inner.execute("SELECT count(*) FROM folds").fetchone() == (2,)
        assert outer.execute("SELECT count(*) FROM folds").fetchone() == (1,)


def test_what_a_reader_writes_by_mistake_is_not_kept(database):
    with database.reading() as connection:
        connection.execute("INSERT INTO folds VALUES ('a', 1, 'now')")
    assert names(database) == []


def test_durable_and_other_transactions_may_alternate(database):
    for number in range(6):
        put(database, number, durable=number % 2 == 0)
    assert len(names(database)) == 6


def test_threads_take_turns(database):
    def work(number):
        for place in range(50):
            put(database, f"{number}-{place}")
            names(database)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(database)) == 400


WRITER = """
    from modelmgmt.store.database import Database
    database = Database(Path(sys.argv[1]))
    say("ready")
    wait()
    for place in range(150):
        with database.writing() as connection:
            (count,) = connection.execute("SELECT count(*) FROM folds").fetchone()
            connection.execute("INSERT INTO folds VALUES (?, ?, 'now')", (f"{sys.argv[2]}-{place}", count))
    database.close()
"""


def test_eight_processes_take_turns(database, child, path):
    writers = [child(WRITER, path, number) for number in range(8)]
    assert {writer.hear() for writer in writers} == {"ready"}
    for writer in writers:
        writer.go_on()
    for writer in writers:
        writer.end()
    with database.reading() as connection:
        counts = [row[0] for row in connection.execute("SELECT records FROM folds")]
    assert sorted(counts) == list(range(8 * 150))


def test_a_closed_database_opens_again_when_it_is_used(database):
    put(database, "a")
    database.close()
    assert names(database) == ["a"]
    put(database, "b")
    assert database._idle == []


# -- forks

CHILD_OUTLIVES = """
    from modelmgmt.store.database import Database
    path = Path(sys.argv[1])
    database = Database(path)
    def put(name):
        with database.writing() as connection:
            connection.execute("INSERT INTO folds VALUES (?, 1, 'now')", (name,))
    put("parent")
    with database.reading() as connection:
        connection.execute("SELECT * FROM folds").fetchall()
    (first, ready), (go, second) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        put("child before")
        os.write(ready, b"x")
        os.read(go, 1)
        put("child after")
        os._exit(0)
    os.read(first, 1)
    database.close()
    os.write(second, b"x")
    os.waitpid(pid, 0)
"""


def test_what_a_forked_child_commits_after_its_parent_closed_is_kept(child, path):
    """SQLite counts locks by process: a child with its parent's connections would write to files that are deleted."""
    child(CHILD_OUTLIVES, path).end()
    database = Database(path)
    assert names(database) == ["child after", "child before", "parent"]
    database.close()


FORK_IN_ANOTHERS_TRANSACTION = """
    import threading, warnings
    from modelmgmt.store import database as module
    warnings.simplefilter("ignore", DeprecationWarning)
    database = module.Database(Path(sys.argv[1]))
    def put(name):
        with database.writing() as connection:
            connection.execute("INSERT INTO folds VALUES (?, 1, 'now')", (name,))
    over = threading.Event()
    def work(number):
        count = 0
        while not over.is_set():
            put(f"thread {number} {count}")
            count += 1
            with database.reading() as connection:
                connection.execute("SELECT count(*) FROM folds").fetchone()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    codes = []
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            try:
                put(f"child {number}")
                os._exit(0)
            except BaseException as error:
                say(error)
                os._exit(1)
        codes.append(pid)
    codes = [os.waitpid(pid, 0)[1] for pid in codes]
    over.set()
    for thread in threads:
        thread.join()
    say(*codes)
"""


def test_a_fork_while_other_threads_are_in_transactions(child, path):
    assert child(FORK_IN_ANOTHERS_TRANSACTION, path).end().split() == ["0"] * 12
    database = Database(path)
    assert len([name for name in names(database) if name.startswith("child")]) == 12
    database.close()


FORK_IN_OWN_TRANSACTION = """
    from modelmgmt.store.database import Database
    database = Database(Path(sys.argv[1]))
    with database.reading() as connection:
        connection.execute("SELECT * FROM folds").fetchall()
        pid = os.fork()
        if pid == 0:
            inherited = connection
    if pid == 0:
        with database.reading() as connection:
            assert connection is not inherited
            connection.execute("SELECT * FROM folds").fetchall()
        os._exit(0)
    say(os.waitpid(pid, 0)[1])
    with database.writing() as connection:
        connection.execute("INSERT INTO folds VALUES ('a', 1, 'now')")
"""


def test_a_fork_in_the_middle_of_reading_does_not_share_the_connection(child, path):
    assert child(FORK_IN_OWN_TRANSACTION, path).end() == "0"


# -- a disk that refuses

REFUSED = """
    from modelmgmt.errors import StoreError
    from modelmgmt.store.kernel import Kernel
    os.setgid(65534)
    os.setuid(65534)
    try:
        kernel = Kernel(Path(sys.argv[1]))
        kernel.database.writing().__enter__()
        say("open")
    except StoreError as error:
        say(type(error).__name__, str(error).replace("\\n", "|"))
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else, whom permissions bind")


@pytest.fixture
def open_to_all():
    """A folder that others may look into: tmp_path is closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@as_root
@pytest.mark.parametrize("mode", [0o555, 0o500])
def test_a_folder_that_is_not_ours_is_a_clear_error(child, open_to_all, mode):
    folder = open_to_all / "theirs"
    folder.mkdir()
    folder.chmod(mode)
    said = child(REFUSED, folder / "store").end()
    assert said.startswith(
        ("StoreWriteError Could not make a store in", "StorePathError Could not look for a store in")
    )


@as_root
def test_a_store_that_is_read_only_is_a_clear_error(child, open_to_all):
    Kernel(open_to_all / "store").close()
    assert child(REFUSED, open_to_all / "store").end().startswith("StoreWriteError Could not use")


FULL = """
    import resource
    from modelmgmt.errors import StoreWriteError
    from modelmgmt.store.database import Database
    database = Database(Path(sys.argv[1]))
    def put(name):
        with database.writing() as connection:
            connection.execute("INSERT INTO folds VALUES (?, 1, ?)", (name, "x" * 20_000))
    put("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    kept = ["before"]
    try:
        for number in range(100):
            put(str(number))
            kept.append(str(number))
    except StoreWriteError as error:
        assert "Could not use" in str(error), error
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    put("after")
    with database.reading() as connection:
        found = {row[0] for row in connection.execute("SELECT segment FROM folds")}
        assert found == {*kept, "after"}, found
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    say(len(kept))
"""


def test_a_disk_that_is_full_keeps_what_was_committed(child, path):
    pytest.importorskip("resource")
    assert 1 < int(child(FULL, path).end()) < 100


def test_a_damaged_file_is_named(database, path):
    for number in range(3000):
        with database.writing() as connection:
            connection.execute("INSERT INTO folds VALUES (?, 1, 'now')", (f"{number:>200}",))
    database.close()
    size = path.stat().st_size
    with open(path, "rb+") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size - size // 2))
    damaged = Database(path)
    with pytest.raises(CorruptDataError, match="damaged"), damaged.reading() as connection:
        connection.execute("SELECT count(*), max(segment) FROM folds").fetchall()
    damaged.close()


def test_preparing_again_is_cheap_and_needs_no_lock(database, path):
    lock = path.with_name("store.lock")
    lock.unlink()
    prepare(path)
    assert not lock.exists()


def test_a_lock_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "store.lock").mkdir()
    with pytest.raises((StoreWriteError, StorePathError)):
        Database(tmp_path / "store.db")


def test_who_reads_while_the_file_becomes_another_gives_back_no_connection_to_the_old_one(database, path, tmp_path):
    put(database, "old")
    other = Database(tmp_path / "other.db")
    put(other, "new")
    other.close()
    with database.reading() as connection:
        database.release()
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(tmp_path / f"aside{suffix}")
        (tmp_path / "other.db").rename(path)
        assert connection.execute("SELECT segment FROM folds").fetchall() == [("old",)]
    assert names(database) == ["new"]
    put(database, "newer")
    assert names(Database(path)) == ["new", "newer"]
