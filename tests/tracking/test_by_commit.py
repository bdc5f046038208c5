"""A metric by commit: real repositories, dirty trees, runs without git."""

from __future__ import annotations

import json
import math
import subprocess

import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidValueError, NotFoundError, QuerySyntaxError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with a script that logs what stands in it; gives a function that edits, commits and runs it."""
    root = tmp_path / "project"
    root.mkdir()
    for name, value in (
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@b"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@b"),
    ):
        monkeypatch.setenv(name, value)

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "main")

    def run(value, *, commit=True):
        (root / "train.py").write_text(f"import modelmgmt as mm\nwith mm.start_run('t'):\n    mm.log(acc={value})\n")
        if commit:
            git("add", "train.py")
            git("commit", "-q", "--allow-empty", "-m", "x")
        environment = {**__import__("os").environ, "MODELMGMT_STORE": str(tmp_path / "store")}
        done = subprocess.run(
            [__import__("sys").executable, "-W", "error", "train.py"],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return git("rev-parse", "HEAD")

    return run


def test_each_commit_and_its_best(project, store):
    first = project(0.5)
    project(0.6, commit=False)
    second = project(0.4)
    project(0.4)
    with store.start_run("t", code=False) as run:
        run.log(acc=0.9)
    history = store.by_commit("acc")
    assert isinstance(history, mm.CommitHistory)
    assert [(row.commit, row.is_dirty, row.value, row.runs) for row in history.rows[:3]] == [
        (first, False, 0.5, 1), (first, True, 0.6, 1), (second, False, 0.4, 1),
    ]  # fmt: skip
    assert [row.branch for row in history.rows[:4]] == ["main"] * 4
    assert history.rows[-1].commit is None
    assert history.rows[-1].run == run.id
    assert math.isnan(history.rows[0].change)
    assert history.rows[1].change == pytest.approx(0.1)
    assert history.rows[1].label == f"{first[:10]}+"
    frame = history.to_frame()
    assert frame["value"].tolist() == [0.5, 0.6, 0.4, 0.4, 0.9]
    json.dumps(history.to_dict(), default=str)
    for text in (repr(history), history._repr_html_()):
        assert first[:10] in text
        assert "uncommitted" in text
        assert "no commit" in text


def test_which_is_best(store):
    for value in (3.0, 1.0, math.nan, 2.0):
        with store.start_run("t", code=False) as run:
            run.log(loss=value)
            run.log(loss=value + 1)
    [row] = store.by_commit("loss", best="min").rows
    assert (row.value, row.runs) == (2.0, 4)
    assert store.by_commit("loss", best="min", value="first").rows[0].value == 1.0
    assert store.by_commit("loss", filter="metrics.loss > 3").rows[0].runs == 1
    assert store.by_commit("loss").rows[0].value == 4.0


def test_wrong_questions(store):
    with store.start_run("t", code=False) as run:
        run.log(loss=1)
    with pytest.raises(NotFoundError, match="it has: loss"):
        store.by_commit("acc")
    with pytest.raises(InvalidValueError, match="best is"):
        store.by_commit("loss", best="largest")
    with pytest.raises(InvalidValueError, match="value is"):
        store.by_commit("loss", value="median")
    with pytest.raises(QuerySyntaxError):
        store.by_commit("loss", filter="&&")
