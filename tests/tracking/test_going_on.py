"""Adding to a run that has ended, and going on with it: what had been stays to be seen."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

import modelmgmt as mm
from modelmgmt.errors import (
    ConflictError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    NotFoundError,
    ParamConflictError,
    RunFinishedError,
    RunInUseError,
)


def failed(store, **options):
    with pytest.raises(ValueError, match="diverged"), store.start_run("x", **options) as run:
        run.log_series("loss", np.arange(100.0))
        raise ValueError("diverged")
    return run


# -- annotating -------------------------------------------------------------------------------------------------------

ANNOTATIONS = {
    "tags": lambda run: run.set_tags(reviewed="yes"),
    "a removed tag": lambda run: run.remove_tag("team"),
    "a note": lambda run: run.note("Looked at again."),
    "a file": lambda run: run.log_artifact(b"bytes", "late.bin"),
    "text": lambda run: run.log_text("late", "late.txt"),
    "a mapping": lambda run: run.log_dict({"a": 1}, "late"),
    "a table": lambda run: run.log_table({"a": [1]}, "late"),
    "an image": lambda run: run.log_image(np.zeros((2, 2)), "late"),
    "a name": lambda run: run.rename("better-name"),
}


@pytest.mark.parametrize("how", ["the object", "a reader", "another process's"])
def test_a_run_that_has_ended_is_annotated_and_stays_as_it_ended(store, script, how):
    if how == "another process's":
        script("with mm.start_run('x', name='old', tags={'team': 'a'}) as run:\n    raise ValueError('diverged')")
        run = store.runs["old"]
    else:
        run = failed(store, name="old", tags={"team": "a"})
        run = store.runs["old"] if how == "a reader" else run
    ended_at, error = run.ended_at, run.error
    for annotate in ANNOTATIONS.values():
        annotate(run)
    after = store.runs[run.id]
    assert (after.status, after.error, after.ended_at) == ("failed", error, ended_at)
    assert "diverged" in after.error
    assert (after.tags, after.name, [note.text for note in after.notes]) == (
        {"reviewed": "yes"}, "better-name", ["Looked at again."],
    )  # fmt: skip
    assert sorted(after.artifacts) == ["late.bin", "late.json", "late.png", "late.table.json", "late.txt"]
    assert not run.is_open
    assert after.endings == []
    assert store.check(deep=True) == []


@pytest.mark.parametrize(
    "log",
    [
        lambda run: run.log(a=1),
        lambda run: run.log_series("a", [1, 2]),
        lambda run: run.log_params(a=1),
        lambda run: run.flush(),
    ],
)
def test_metrics_and_params_of_a_run_that_has_ended(store, log):
    run = failed(store)
    with pytest.raises(RunFinishedError, match=rf"has ended \(failed\).*start_run\(resume='{run.id}'\)"):
        log(run)
    assert run.status == "failed"


# -- history ----------------------------------------------------------------------------------------------------------


def test_how_it_had_ended_is_kept(store, script, capsys):
    run = failed(store)
    first = run.ended_at
    store.start_run(resume=run).finish("interrupted", error="asked to")
    script(f"mm.start_run(resume={run.id!r}).log(n=1)\nos._exit(1)")
    with mm.Store(store.path).start_run(resume=run.id) as again:
        assert again.status == "running"
    assert [(ending.status, (ending.error or "").strip().splitlines()[-1:]) for ending in run.endings] == [
        ("failed", ["ValueError: diverged"]), ("interrupted", ["asked to"]), ("crashed", []),
    ]  # fmt: skip
    assert run.endings[0].ended_at == first
    moments = [moment for ending in run.endings for moment in (ending.ended_at, ending.resumed_at)]
    assert moments == sorted(moments)
    assert (run.status, run.error) == ("finished", None)
    assert run.ended_at >= moments[-1]
    html = run._repr_html_()
    assert "ended before" in html
    assert "diverged" in html
    with sqlite3.connect(store.path / "store.db") as connection:
        rows = connection.execute("SELECT status, from_step FROM run_endings ORDER BY resumed_at").fetchall()
    assert rows == [("failed", None), ("interrupted", None), ("crashed", None)]
    assert store.check(deep=True) == []


def test_a_call_that_is_wrong_leaves_the_run_as_it_ended(store):
    run = failed(store, params={"lr": 0.1})
    before = run.status, run.error, run.ended_at, run.params, run.tags
    for options, error in (
        ({"params": {"lr": 0.2}}, ParamConflictError),
        ({"tags": {"a": "\0"}}, InvalidValueError),
        ({"from_step": "ten"}, InvalidTypeError),
        ({"on_error": "ignore"}, InvalidValueError),
    ):
        with pytest.raises(error):
            store.start_run(resume=run, **options)
    assert (run.status, run.error, run.ended_at, run.params, run.tags) == before
    assert run.endings == []


def test_history_goes_with_the_run(store, tmp_path):
    """Merged, backed up, repaired; gone when the run is deleted."""
    run = failed(store)
    with mm.Store(tmp_path / "other") as other:
        other.merge(store)
        with store.start_run(resume=run):
            # What is merged meanwhile is how the run was before.
            store.merge(other)
            assert run.status == "running"
        other.merge(store)
        other.merge(store)
        store.merge(other)
        for each in (store, other, mm.Store(store.backup(tmp_path / "copy"))):
            (ending,) = each.runs[run.id].endings
            assert (ending.status, each.runs[run.id].status) == ("failed", "finished")
            assert each.check(deep=True) == []
        assert other.repair().problems == ()
        assert len(other.runs[run.id].endings) == 1
        other.delete_run(run.id)
        with sqlite3.connect(other.path / "store.db") as connection:
            assert connection.execute("SELECT count(*) FROM run_endings").fetchone() == (0,)


# -- from a step ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["in tables", "in a journal"])
def test_what_came_after_the_step_is_dropped(store, script, ending):
    code = "run = mm.start_run('x', name='long')\nfor i in range(100):\n"
    code += "    run.log({'loss': i, 'late' if i > 70 else 'early': i})\n"
    script(code + ("run.finish()" if ending == "in tables" else "os._exit(1)"))
    run = store.runs["long"]
    with store.start_run(resume="long", from_step=50) as again:
        again.log(loss=-1.0)
    assert run.series("loss").steps.tolist() == list(range(51))
    assert run.series("loss").values[-1] == -1.0
    assert run.series("early").values.tolist() == list(range(50))
    assert "late" not in run.metrics
    assert (run.summaries["loss"].count, run.summaries["loss"].max, run.summaries["early"].last) == (51, 49, 49)
    assert (run.endings[0].from_step, run.endings[0].dropped_points) == (50, 50 + 21 + 29)
    assert "100 points of early, late, loss" in run.notes[0].text
    assert "step 50" in run._repr_html_()
    assert store.check(deep=True) == []


def test_points_that_were_dropped_do_not_come_back_from_a_copy(store, tmp_path):
    run = failed(store)
    with mm.Store(store.backup(tmp_path / "copy")) as copy:
        with store.start_run(resume=run, from_step=90) as again:
            again.log(loss=0.5)
        expected = list(range(91))
        store.merge(copy)
        assert run.series("loss").steps.tolist() == expected
        copy.merge(store)
        copy.merge(store)
        assert copy.runs[run.id].series("loss").steps.tolist() == expected
        assert copy.runs[run.id].summaries["loss"] == run.summaries["loss"]
        assert copy.check(deep=True) == store.check(deep=True) == []


def test_nothing_to_drop(store):
    run = failed(store)
    with store.start_run(resume=run, from_step=1000) as again:
        again.log(loss=1)
    assert run.series("loss").steps[-1] == 1000
    assert run.endings[0].dropped_points == 0


def test_from_a_step_of_a_run_that_goes_on(store):
    with store.start_run() as run, pytest.raises(RunInUseError, match="finish"):
        store.start_run(resume=run, from_step=3)
    with pytest.raises(InvalidValueError, match="resume"):
        store.start_run(from_step=3)


# -- an id of one's own -----------------------------------------------------------------------------------------------


def test_an_id_of_ones_own_starts_and_goes_on(store):
    for count in range(3):
        with store.start_run("x", id="job 42.a", resume="allow", params={"lr": 0.1}) as run:
            run.log(n=count)
            assert store.start_run(id="job 42.a", resume="allow") is run, "it is open here"
    assert (run.id, run.experiment, run.metrics, len(run.endings)) == ("job 42.a", "x", {"n": 2}, 2)
    assert store.runs["job 42.a"] == run
    assert len(store.runs) == 1
    newest = store.start_run("y")
    newest.finish()
    assert store.runs().ids == [newest.id, "job 42.a"], "the newest first, whatever the ids"


def test_must_and_never(store):
    with pytest.raises(NotFoundError, match="allow"):
        store.start_run(id="mine", resume="must")
    store.start_run(id="mine", resume="never").finish()
    store.start_run(id="mine", resume="must").finish()
    for mode in ("never", None):
        with pytest.raises(InvalidValueError, match="already"):
            store.start_run(id="mine", resume=mode)
    with pytest.raises(InvalidValueError, match="id="):
        store.start_run(resume="allow")
    with pytest.raises(InvalidValueError, match="allow"):
        store.start_run(id="mine", resume="another")
    assert [run.status for run in store.runs()] == ["finished"]


@pytest.mark.parametrize("name", ["", " a", "a/b", "a:b", "a@b", "a\nb", "..", "x" * 300])
def test_an_id_is_a_name(store, name):
    with pytest.raises(InvalidNameError):
        store.start_run(id=name)
    assert len(store.runs) == 0


def test_ids_that_two_stores_have_given_to_different_runs(store, tmp_path):
    store.start_run(id="mine").finish()
    with mm.Store(tmp_path / "other") as other:
        other.start_run(id="mine", params={"other": True}).finish()
        other.start_run(id="fine").finish()
        with pytest.raises(ConflictError, match="mine"):
            store.merge(other)
    assert store.runs().ids == ["mine"]
    assert store.runs["mine"].params == {}


# -- decorating, clocks and folders -----------------------------------------------------------------------------------

DECORATED = """
def other(function): return function
@mm.start_run("plain")
def plain(run): return run.experiment
@other
@mm.start_run("between", name="n", params=dict(a=1))
@other
def between(x=len("ab"), *, y: int = len("a") + 2): return mm.active_run().params
class Trainer:
    @mm.start_run("method", tags={"a": "b"})
    def fit(self, run, sizes=(1, 2)): return run.tags
def closure(value):
    @mm.start_run("closure")
    def inner(): return value, mm.active_run().experiment
    return inner
direct = mm.start_run("direct")(lambda run: run.experiment)
"""


def test_to_decorate_touches_no_store(script, store, tmp_path):
    store.close()
    done = script(
        DECORATED + "assert not os.path.exists('new'), 'made at import'\n"
        "os.environ['MODELMGMT_STORE'] = 'elsewhere'\n"
        "assert plain() == 'plain' and between() == {'a': 1} and Trainer().fit() == {'a': 'b'}\n"
        "assert closure(3)() == (3, 'closure') and direct() == 'direct'\n"
        "values = [mm.start_run('argument'), len('a')]\n"
        "def late(run=mm.start_run('default'), f=lambda: 0): return run\n"
        "assert isinstance(values[0], mm.Run) and isinstance(late(), mm.Run)\n"
        "assert len(mm.Store('elsewhere').runs) == 7 and not os.path.exists('new')",
        MODELMGMT_STORE="new",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_clock_that_is_set_back(store, monkeypatch):
    """By an hour, while a run goes on, while it rests, and before the next begins."""
    import time

    real = time.time_ns
    with store.start_run("x") as run:
        run.log(n=1)
        monkeypatch.setattr("time.time_ns", lambda: real() - 3_600_000_000_000)
        run.log(n=2)
    assert run.duration_s >= 0
    assert run.ended_at >= run.started_at
    monkeypatch.setattr("time.time_ns", lambda: real() - 7_200_000_000_000)
    with store.start_run(resume=run):
        pass
    assert run.ended_at >= run.endings[0].resumed_at >= run.endings[0].ended_at
    assert store.runs("run.duration_s < 0").ids == []
    later = [store.start_run("y").id for _ in range(3)]
    assert "x" in repr(store.runs())
    for each in later:
        store.runs[each]
        store.start_run(resume=each).finish()
    assert store.check() == []


def test_a_working_folder_that_was_deleted(script, store, tmp_path):
    done = script(
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "with mm.start_run('x') as run:\n    run.log(n=1)\n    mm.start_run('y').finish()\n"
        "print(mm.Store().path)",
        MODELMGMT_STORE="",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(tmp_path / ".modelmgmt")
    assert len(mm.Store(tmp_path / ".modelmgmt").runs) == 2


def test_a_program_that_goes_to_a_folder_of_its_own(script, store, tmp_path):
    code = "os.makedirs(sys.argv[1]); os.chdir(sys.argv[1])\nwith mm.start_run('x') as run:\n    run.log(n=1)"
    for folder in ("outputs/1", "outputs/2"):
        assert script(code, folder, MODELMGMT_STORE="").returncode == 0
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob(".modelmgmt")] == [".modelmgmt"]
    assert len(mm.Store(tmp_path / ".modelmgmt").runs) == 2


def test_a_child_is_kept_beside_its_parent(script, store, tmp_path):
    code = "with mm.start_run('x'):\n    os.mkdir('deep'); os.chdir('deep'); del os.environ['MODELMGMT_STORE']\n"
    code += "    with mm.start_run() as child: child.log(n=1)"
    assert script(code).returncode == 0
    assert len(store.runs("run.parent is not null")) == 1
