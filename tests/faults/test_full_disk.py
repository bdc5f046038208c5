"""Full disks, file-size limits, too few descriptors, read-only folders; the long form is `full_disk.py --disks 200`."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from by_command import printed
from full_disk import child, judge, look, seed, sequence, train
from workload import Report, forked, read_all

import modelmgmt as mm
from modelmgmt.errors import StoreWriteError

resource = pytest.importorskip("resource")

NOBODY = 65534


def _disks(count: int) -> str:
    return printed("full_disk.py", "--disks", str(count))


def test_a_training_outlives_a_full_disk():
    report = _disks(12)
    assert report.startswith("12 full disks")
    assert ": 0 faults" in report


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_training_outlives_two_hundred_full_disks():
    assert ": 0 faults" in _disks(200)


def limited(what: int, limit: Callable[[], int], path: Path, on_error: str) -> tuple[Report, list[dict]]:
    """Train under a limit of the system, and hold what is left against what the training was told.

    `limit` is asked in the process that trains.
    """
    child(lambda _: seed(path))

    def task(out: int) -> None:
        resource.setrlimit(what, (limit(), resource.getrlimit(what)[1]))
        train(path, on_error, out, sequence())

    told, status = child(task)
    report = Report()
    assert status == 0, f"the training ended with status {status:#x}"
    judge(look(path), told, "limited", report, sequence(), warn=on_error == "warn", seeded=True)
    return report, told


@pytest.mark.parametrize(
    ("limit", "on_error"),
    [(1 << 12, "warn"), (1 << 15, "raise"), (300_000, "warn"), (400_000, "raise"), (600_000, "warn")],
)
def test_a_limit_of_the_size_of_files(tmp_path, limit, on_error):
    """What SQLite or a journal may not write is an error or a warning, and no SIGXFSZ or SIGBUS."""
    report, told = limited(resource.RLIMIT_FSIZE, lambda: limit, tmp_path / "store", on_error)
    assert report.faults == []
    assert limit > 400_000 or any("warning" in line or "error" in line for line in told)


def descriptors(free: int) -> int:
    """The limit under which this process can open `free` files more."""
    number = -1
    while free:
        number += 1
        try:
            os.fstat(number)
        except OSError:
            free -= 1
    return number + 1


@pytest.mark.parametrize(
    ("spare", "on_error"),
    [(0, "warn"), (1, "raise"), (2, "warn"), (2, "raise"), (3, "warn"), (5, "raise"), (8, "warn")],
)
def test_out_of_file_descriptors(tmp_path, spare, on_error):
    report, told = limited(resource.RLIMIT_NOFILE, lambda: descriptors(2 + spare), tmp_path / "store", on_error)
    assert report.faults == []
    assert spare > 2 or any("warning" in line or "error" in line for line in told)


def as_somebody(task):
    """Run `task` as a user whom permissions bind, in a child; returns what it writes."""

    def work(out: int) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        task(out)

    pid, pipe = forked(work)
    said = read_all(pipe).decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0
    return said


@pytest.fixture
def open_folder(tmp_path):
    """A folder in which everybody may write, and which everybody can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(0o777)
    return tmp_path


def test_a_folder_that_turns_read_only_loses_nothing(open_folder):
    path = open_folder / "store"

    def train_on(out: int) -> None:
        folders = (path, path / "journal", path / "objects", path / "tmp")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with mm.Store(path).start_run("ro", name="run") as run:
                run.log_text("before", "before.txt")
                for folder in folders:
                    folder.chmod(0o555)
                run.log(loss=1.0)
                run.log_text("meanwhile", "meanwhile.txt")
                run.log_params(lr=0.1)
                for folder in folders:
                    folder.chmod(0o755)
                run.log(loss=2.0)
        os.write(out, str([str(warning.message) for warning in caught]).encode())

    said = as_somebody(train_on)
    assert "tried again" in said
    assert "lost" not in said
    run = mm.Store(path).runs["run"]
    assert run.series("loss").values.tolist() == [1.0, 2.0]
    assert run.params == {"lr": 0.1}
    assert sorted(run.artifacts) == ["before.txt", "meanwhile.txt"]
    assert mm.Store(path).check(deep=True) == []


def test_a_read_only_store_is_read_and_says_so(open_folder):
    path = open_folder / "store"
    child(lambda _: seed(path))
    path.chmod(0o755)

    def look_at(out: int) -> None:
        store = mm.Store(path)
        assert store.runs["seed"].series("loss").steps.tolist() == [0, 1, 2]
        assert store.check(deep=True) == []
        with pytest.raises(StoreWriteError, match="read-only"):
            store.start_run("no")
        os.write(out, b"done")

    if os.geteuid() != 0:
        for folder in (path, path / "journal"):
            folder.chmod(0o555)
    assert as_somebody(look_at) == "done"
