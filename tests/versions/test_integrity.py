"""A store whose objects of code and environments are lost: it is said, and a repair goes on without them."""

from __future__ import annotations

import pytest

import modelmgmt as mm


@pytest.fixture
def run(project):
    project.write("lib.py", "x = 1\n")
    project.write("train.py", "import lib\nimport modelmgmt as mm\nwith mm.start_run('e') as run: run.log(loss=1)\n")
    project.commit()
    project.write("lib.py", "x = 2\n")
    return project.run("train.py")


def lose(run, digest):
    path = run._kernel.objects.path(digest)
    path.chmod(0o644)
    path.unlink()


def digests(run, what):
    version = run.code.version
    with run._kernel.database.reading() as connection:
        (environment,) = connection.execute("SELECT digest FROM run_environments").fetchone()
    return {
        "a file": run.code.tree["lib.py"].digest, "the tree": version.tree_digest, "the diff": version.diff_digest,
        "the seeds": version.seeds_digest, "the environment": environment, "the changes": version.changes_digest,
    }[what]  # fmt: skip


@pytest.mark.parametrize("what", ["a file", "the tree", "the diff", "the changes", "the seeds", "the environment"])
def test_what_is_lost_is_said_and_forgotten(project, run, what):
    store = mm.Store(project.store_path)
    assert store.check(deep=True) == []
    digest = digests(run, what)
    lose(run, digest)
    problems = store.check()
    assert len(problems) == (2 if what == "a file" else 1)  # a changed file is executed, and is a change
    assert all(run.id in problem.where for problem in problems)
    assert all(digest[:8] in problem.what or "lib.py" in problem.what for problem in problems)
    store.repair()
    assert store.check(deep=True) == []
    found = store.runs[run.id]
    assert found.metrics == {"loss": 1.0}
    if what == "the environment":
        assert found.environment is None
    else:
        assert any("damaged" in why for _, why in found.code.version.left_out)
    assert ("train.py" in found.code.files) == (what != "the tree")
    again = project.run("train.py")
    assert again.code.files == ["lib.py", "train.py"]
    assert store.check(deep=True) == []
