"""The disk fails in the middle of a training: the training goes on, what can be kept is, the rest is counted."""

from __future__ import annotations

import warnings

import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidValueError, StoreWriteError
from modelmgmt.store import journal
from modelmgmt.tracking.guard import MAX_WAITING_POINTS


class Disk:
    """The journal's folder, which can go away (as a network drive does) and come back."""

    def __init__(self, store):
        self.folder = store.path / "journal"

    def fail(self):
        self.folder.rename(self.folder.with_name("away"))

    def heal(self):
        self.folder.with_name("away").rename(self.folder)


@pytest.fixture
def disk(store):
    return Disk(store)


def test_what_could_not_be_written_waits_and_is_written_later(store, disk):
    run = store.start_run()
    disk.fail()
    with pytest.warns(UserWarning, match="tried again"):
        run.log(x=0)
    for value in range(1, 50):
        run.log(x=value)  # warned once, not fifty times
    run.log_series("y", [1, 2, 3])
    disk.heal()
    run.log(x=50)
    assert run.series("x").values.tolist() == list(range(51))
    assert run.series("x").steps.tolist() == [*range(50), 53]
    assert run.series("y").values.tolist() == [1, 2, 3]
    run.finish()
    assert run.lost_points == 0
    assert run.status == "finished"


def test_points_that_still_wait_at_the_end_are_written_then(store, disk):
    run = store.start_run()
    disk.fail()
    with pytest.warns(UserWarning, match="tried again"):
        run.log(x=1)
    disk.heal()
    run.finish()
    assert run.metrics == {"x": 1}
    assert run.lost_points == 0


def test_a_disk_that_stays_away_loses_points_by_count(store, disk):
    run = store.start_run()
    disk.fail()
    with pytest.warns(UserWarning, match="tried again"):
        run.log(x=1, y=2)
    run.log(x=3)
    with pytest.warns(UserWarning, match="lost 3 points and 0 other writes"):
        run.finish()
    assert run.lost_points == 3
    assert run.status == "finished"
    disk.heal()


def test_what_waits_is_bounded(store, disk):
    run = store.start_run()
    disk.fail()
    with pytest.warns(UserWarning, match="tried again"):
        run.log(x=0)
    for _ in range(MAX_WAITING_POINTS // 1_000 + 1):
        run.log_series("x", range(1_000))
    with pytest.warns(UserWarning, match="lost 1,001 points"):
        disk.heal()
        run.finish()
    assert len(run.series("x")) == MAX_WAITING_POINTS
    assert run.lost_points == 1_001


def test_the_disk_fails_when_a_journal_file_is_full(store, disk, monkeypatch):
    monkeypatch.setattr(journal, "FULL_BYTES", journal.HEADER_BYTES + 8000 * journal.RECORD_BYTES)
    run = store.start_run()
    run.log(x=0)
    disk.fail()
    with pytest.warns(UserWarning, match="tried again"):
        for value in range(1, 8100):
            run.log(x=value)
    disk.heal()
    run.finish()
    assert run.series("x").values.tolist() == list(range(8100))


def test_raise_raises_at_the_call(store, disk):
    run = store.start_run(on_error="raise")
    disk.fail()
    with pytest.raises(StoreWriteError, match="journal"):
        run.log(x=1)
    with pytest.raises(OSError, match="journal"):
        run.log_series("x", [1])
    disk.heal()
    run.log(x=2)
    run.finish()
    assert run.metrics == {"x": 2}


FULL = """
import resource

run = mm.start_run("full", params={"a": 1})
run.log(x=0)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))  # no file may grow: the disk is full
for value in range(1, 9_000):
    run.log(x=value)
run.log_params(b=2)
run.set_tags(c="3")
run.note("kept")
run.log_text("too large to wait" * 10, "large.txt")
if sys.argv[1] == "heals":
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
run.finish()
print("the training went on")
"""


def test_a_full_disk_that_is_freed_loses_nothing(script, store):
    done = script(f"import warnings; warnings.simplefilter('default')\n{FULL}", "heals")
    assert done.stdout == "the training went on\n", done.stderr
    assert done.stderr.count("tried again") == 1
    (run,) = store.runs()
    assert run.status == "finished"
    assert run.series("x").values.tolist() == list(range(9_000))
    assert (run.params, run.tags, run.notes[0].text) == ({"a": 1, "b": 2}, {"c": "3"}, "kept")
    assert run.artifact("large.txt").load() == "too large to wait" * 10
    assert store.check(deep=True) == []


def test_a_full_disk_does_not_end_the_training(script, store):
    done = script(f"import warnings; warnings.simplefilter('default')\n{FULL}", "stays")
    assert done.stdout == "the training went on\n", done.stderr
    assert "lost" in done.stderr
    (run,) = store.runs()
    kept = run.series("x").values.tolist()
    assert kept == list(range(len(kept)))
    assert kept
    assert len(kept) < 9_000
    assert store.check(deep=True) == []


def test_the_choice_is_one_of_two(store):
    for choice in ("ignore", None, 3):
        with pytest.raises(InvalidValueError, match="'warn' or 'raise'"):
            store.start_run(on_error=choice)
    assert len(store.runs()) == 0


def test_a_mistake_of_the_caller_raises_either_way(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = store.start_run(on_error="warn")
        with pytest.raises(TypeError):
            run.log(x="text")
        with pytest.raises(ValueError):
            mm.log({"": 1})
