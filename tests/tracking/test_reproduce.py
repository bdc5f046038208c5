"""A run done again: the same numbers, or the name of what is not the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tests_project import Project

import modelmgmt as mm
from modelmgmt.errors import InvalidValueError, NotFoundError, ReproductionError
from modelmgmt.tracking.causes import causes, outcomes
from modelmgmt.tracking.command import rewritten
from modelmgmt.tracking.reproduce import reproduce
from modelmgmt.versions.bytecode import is_of_another_text

TRAIN = """
    import json, pathlib, random, sys
    import numpy as np
    import modelmgmt as mm
    from lib import core

    scale = json.loads(pathlib.Path("conf.json").read_text())["scale"]
    for lr in (0.1, 0.2):
        with mm.start_run("again", params={"lr": lr, "seed": None}) as run:
            run.log_params(late=sys.argv[1])
            for _ in range(5):
                run.log(loss=core.value() * scale * random.random() * lr, noise=np.random.rand())
"""


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path / "project", tmp_path / "store")
    project.write("train.py", TRAIN)
    project.write("lib/core.py", "def value():\n    return 1.0\n")
    project.write("conf.json", json.dumps({"scale": 1}))
    return project


def runs_of(project):
    return sorted(mm.Store(project.store_path).runs("run.experiment = 'again'"), key=lambda run: run.id)


def command_line(project, *words):
    return subprocess.run(
        [sys.executable, "-c", "from modelmgmt.cli import main; main()", *words, "--store", str(project.store_path)],
        cwd=project.root.parent, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def test_unseeded_random_numbers_come_out_equal(project, tmp_path):
    project.commit()
    project.write("conf.json", json.dumps({"scale": 3}))
    project.python("train.py", "word")
    first, second = runs_of(project)
    found = reproduce(second, into=tmp_path / "new")
    assert {metric.key: metric.verdict for metric in found.metrics} == {"loss": "equal", "noise": "equal"}
    assert found.is_reproduced
    assert found.causes == ()
    assert json.loads((tmp_path / "new" / "conf.json").read_text()) == {"scale": 3}, "not imported, but in git's diff"
    new = mm.Store(project.store_path).runs[found.new_run]
    assert new.tags["reproduces"] == second.id
    assert new.params == second.params
    assert runs_of(project) == [first, second, new]  # and not the one that was done on the way
    assert new.code.version.root == str(tmp_path / "new")


TWELVE = """
    import random, sys
    import modelmgmt as mm

    for number in range(12):
        print("doing", number)
        with mm.start_run("again", params={"seed": None}, name=f"n{number}") as run:
            for _ in range(3):
                run.log(loss=random.random())
            run.log_params(number=number)
            assert mm.active_run() is run and run.metrics["loss"] < 1
    print("the end")
"""


@pytest.mark.parametrize("number", [0, 7, 11])
def test_one_run_of_twelve_is_done_again_alone(project, tmp_path, number):
    """All have the same params when they start: it is their order that tells them apart."""
    project.write("train.py", TWELVE)
    project.python("train.py")
    before = runs_of(project)
    store = mm.Store(project.store_path)
    with (tmp_path / "output").open("w") as output:
        found = store.reproduce(before[number], output=output)
    assert found.is_reproduced
    new = store.runs[found.new_run]
    assert new.params["number"] == number
    assert new.status == "finished"
    assert runs_of(project) == [*before, new]
    done = (tmp_path / "output").read_text().splitlines()
    last = [] if number == 11 else [f"doing {number + 1}"]  # up to its start_run, which ends the script
    assert done == [*(f"doing {each}" for each in range(number + 1)), *last] + (["the end"] if number == 11 else [])
    assert any(f"{number} runs" in note for note in found.notes) == (number > 0)
    assert store.check() == []


def test_the_whole_script_is_done_again_when_asked(project):
    project.write("train.py", TWELVE)
    project.python("train.py")
    run = runs_of(project)[2]
    done = command_line(project, "runs", "reproduce", run.id, "--siblings", "--json")
    assert done.returncode == 0, done.stderr
    assert [each.tags.get("reproduces") for each in runs_of(project)] == [None] * 12 + [
        each.id for each in runs_of(project)[:12]
    ]


@pytest.mark.parametrize("which", ["parent", "child", "grandchild"])
def test_runs_above_and_below_are_kept(project, which):
    project.write(
        "train.py",
        """
        import modelmgmt as mm
        from concurrent.futures import ThreadPoolExecutor

        def fit(fold):
            with mm.start_run(params={"fold": fold}, name="child") as run:
                run.log(loss=fold)
                with mm.start_run(params={"deep": fold}, name="grandchild") as deep:
                    deep.log(loss=fold)

        for model in "ab":
            with mm.start_run("again", params={"model": model}, name="parent") as run:
                for fold in range(3):
                    fit(fold)
                run.log(loss=1)
        """,
    )
    project.python("train.py")
    before = runs_of(project)
    run = [each for each in before if each.name.startswith(which)][1]
    found = mm.Store(project.store_path).reproduce(run.id)
    assert found.is_reproduced
    names = sorted(each.name.split("-")[0] for each in runs_of(project) if each not in before)
    assert (
        names
        == {
            "parent": ["child"] * 3 + ["grandchild"] * 3 + ["parent"],
            "child": ["child", "grandchild", "parent"],
            "grandchild": ["child", "grandchild", "parent"],
        }[which]
    )


def test_a_function_and_runs_without_a_block(project):
    project.write(
        "train.py",
        """
        import random
        import modelmgmt as mm

        @mm.start_run("again")
        def fit(number, run):
            run.log(loss=number, noise=random.random())
            return run.metrics["loss"]

        random.random()
        assert [fit(number) for number in range(4)] == [0, 1, 2, 3]
        for number in range(4):
            run = mm.start_run("again", params={"number": number})
            mm.log(loss=number)
        """,
    )
    project.python("train.py")
    before = runs_of(project)
    for number in (2, 6):
        found = mm.Store(project.store_path).reproduce(before[number].id)
        assert found.is_reproduced
        assert mm.Store(project.store_path).runs[found.new_run].tags["reproduces"] == before[number].id
    assert len(runs_of(project)) == 8 + 2


def test_a_run_that_registered_a_model_on_the_way_is_kept(project):
    project.write(
        "train.py",
        """
        import modelmgmt as mm
        for number in range(3):
            with mm.start_run("again", params={"number": number}) as run:
                run.log_model({"w": number}, "m", format="cloudpickle", register_as="m" if number == 0 else None)
                run.log(loss=number)
        """,
    )
    project.python("train.py")
    before = runs_of(project)
    found = mm.Store(project.store_path).reproduce(before[2].id)
    assert found.is_reproduced
    assert any("is kept" in note and "m:2" in note for note in found.notes)
    assert len(runs_of(project)) == 5


def test_a_changed_line_is_named(project):
    project.python("train.py", "word")
    run = runs_of(project)[0]
    project.write("lib/core.py", "def value():\n    return 1.5\n")
    done = command_line(project, "runs", "reproduce", run.id, "--from-folder", str(project.root), "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert not found["is_reproduced"]
    [cause] = found["causes"]
    assert cause["kind"] == "code"
    assert "lib/core.py" in cause["detail"]
    assert "return 1.5" in cause["detail"]
    verdicts = {metric["key"]: metric["verdict"] for metric in found["metrics"]}
    assert verdicts == {"loss": "different", "noise": "equal"}
    done = command_line(project, "runs", "reproduce", run.id, "--from-folder", str(project.root), "--metric", "noise")
    assert done.returncode == 0, done.stderr
    assert "is reproduced" in done.stdout


def test_bytecode_of_an_earlier_text_is_not_run_again(project):
    of_one_second(project, 0.1, "def value():\n    return 1.0\n")
    project.python("train.py", "word")
    run = runs_of(project)[0]
    of_one_second(project, 0.8, "def value():\n    return 1.5\n")
    project.python("train.py", "word")
    assert project.python("-c", "from lib import core; print(core.value())") == "1.0\n", "Python takes the older text"
    assert "its bytecode is older" in dict(runs_of(project)[-1].code.version.left_out)["lib/core.py"]
    found = reproduce(run, from_folder=project.root)
    assert [(cause.kind, "return 1.5" in cause.detail) for cause in found.causes] == [("code", True)]
    assert not found.is_reproduced
    new = mm.Store(project.store_path).runs[found.new_run]
    assert "lib/core.py" not in dict(new.code.version.left_out)


def test_a_file_that_is_only_touched_is_not_doubted(project):
    of_one_second(project, 0.1, "def value():\n    return 1.0\n")
    project.python("train.py", "word")
    of_one_second(project, 0.8, "def value():\n    return 1.0\n")
    project.python("train.py", "word")
    assert "lib/core.py" not in dict(runs_of(project)[-1].code.version.left_out)


@pytest.mark.parametrize("damage", [lambda data: data[:20], lambda data: data[:16] + b"?" * 40])
def test_bytecode_that_can_not_be_read_is_no_reason_for_a_note(project, damage):
    of_one_second(project, 0.1, "def value():\n    return 1.0\n")
    project.python("train.py", "word")
    [compiled] = project.root.glob("lib/__pycache__/core.*.pyc")
    compiled.write_bytes(damage(compiled.read_bytes()))
    of_one_second(project, 0.8, "def value():\n    return 1.5\n")
    source = project.root / "lib/core.py"
    assert not is_of_another_text(str(source), source.stat(), source.read_bytes())


def of_one_second(project, fraction, text):
    """Write the module as of a moment of one second of the past, and what bytecode there is as of the middle of it."""
    second = 1_700_000_000
    path = project.root / "lib" / "core.py"
    path.write_text(text)  # and not by the project, which takes away the bytecode
    os.utime(path, (second + fraction, second + fraction))
    for compiled in project.root.glob("lib/__pycache__/core.*.pyc"):
        os.utime(compiled, (second + 0.5, second + 0.5))


def test_a_changed_package_is_named(project, tmp_path, monkeypatch):
    site = tmp_path / "site"
    info = site / "fresh-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: fresh\nVersion: 1.0\n")
    (site / "fresh.py").write_text("value = 1\n")
    for name in ("alpha", "zeta"):  # that nothing imports
        (site / f"{name}-1.0.dist-info").mkdir()
        (site / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", f"{mm.__path__[0]}/..:{site}")
    project.write("lib/core.py", "import fresh\ndef value():\n    return fresh.value\n")
    project.write("conf.json", json.dumps({"scale": 1}))
    project.python("train.py", "word")
    run = runs_of(project)[0]
    (site / "fresh.py").write_text("value = 1 + 1\n")  # of another size: bytecode is told by size and second
    (info / "METADATA").write_text("Name: fresh\nVersion: 1.1\n")
    info.rename(site / "fresh-1.1.dist-info")
    for name in ("alpha", "zeta"):
        (site / f"{name}-1.0.dist-info").rename(site / f"{name}-2.0.dist-info")
        (site / f"{name}-2.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 2.0\n")
    found = reproduce(run, from_folder=project.root)
    assert not found.is_reproduced
    assert [cause.kind for cause in found.causes] == ["environment", "environment"]
    first, rest = (cause.detail for cause in found.causes)
    assert first == "fresh: 1.0 then, 1.1 now"
    assert rest.startswith("2 packages differ that the run had not imported when it started: alpha, zeta;")
    assert f"runs env {run.id} --diff {found.new_run}" in rest


def test_a_changed_data_row_is_named(project):
    project.write("table.csv", "x\n1\n2\n")
    project.write(
        "train.py",
        """
        import modelmgmt as mm
        with mm.start_run("again") as run:
            run.log_dataset("table.csv", "train")
            run.log(total=sum(int(line) for line in open("table.csv").read().split()[1:]))
        """,
    )
    project.python("-W", "ignore", "train.py")
    [run] = runs_of(project)
    project.write("table.csv", "x\n1\n3\n")
    found = reproduce(run)
    assert any("copied from" in note for note in found.notes)
    assert not found.is_reproduced
    assert [cause.kind for cause in found.causes] == ["data"]
    assert "train (input): version 1 then, 2 now" in found.causes[0].detail


def test_kept_data_is_put_back(project):
    project.write("data/table.csv", "x\n1\n2\n")
    project.write(
        "train.py",
        """
        import modelmgmt as mm
        with mm.start_run("again") as run:
            run.log_dataset("data", "folder", keep=True)
            run.log_dataset("data/table.csv", "file", keep=True)
            run.log(total=sum(int(line) for line in open("data/table.csv").read().split()[1:]))
        """,
    )
    project.python("-W", "ignore", "train.py")
    [run] = runs_of(project)
    project.write("data/table.csv", "x\n1\n3\n")
    found = reproduce(run)
    assert found.is_reproduced
    assert found.causes == ()


def test_what_nothing_explains_is_nondeterminism(project):
    project.write(
        "train.py",
        "import os\nimport modelmgmt as mm\nwith mm.start_run('again') as run: run.log(x=os.urandom(6)[0], y=1)",
    )
    project.python("train.py")
    [run] = runs_of(project)
    found = reproduce(run)
    if not found.is_reproduced:  # once in 256 the byte is the same
        assert [cause.kind for cause in found.causes] == ["nondeterminism"]
    assert found.metrics[1].verdict == "equal"


def test_a_changed_param_is_named(project):
    project.python("train.py", "word")
    run = runs_of(project)[0]
    project.write("train.py", TRAIN.replace("late=sys.argv[1]", "late='other'"))
    found = reproduce(run, from_folder=project.root)
    assert ("params", "late: 'word' then, 'other' now") in [(cause.kind, cause.detail) for cause in found.causes]


# -- what could not be done ---------------------------------------------------------------------------------------------


def test_a_command_that_fails(project):
    project.python("train.py", "word")
    run = runs_of(project)[0]
    project.write("lib/core.py", "raise SystemExit(3)\n")
    with pytest.raises(ReproductionError, match="exit code 3"):
        reproduce(run, from_folder=project.root)
    assert command_line(project, "runs", "reproduce", run.id, "--from-folder", str(project.root)).returncode == 2


def test_a_command_that_starts_no_such_run(project):
    project.python("train.py", "word")
    run = runs_of(project)[0]
    project.write("train.py", TRAIN.replace("(0.1, 0.2)", "(0.3,)"))
    with pytest.raises(ReproductionError, match="no run of it stands for"):
        reproduce(run, from_folder=project.root)


def test_what_was_not_captured(store, project, tmp_path):
    with store.start_run(code=False) as run:
        run.log(loss=1)
    with pytest.raises(NotFoundError, match="no code"):
        reproduce(run)
    project.python("train.py", "word")
    run = runs_of(project)[0]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for wrong in ({"into": tmp_path / "full"}, {"tolerance": -1.0}, {"tolerance": float("nan")},
                  {"from_folder": tmp_path / "none"}, {"from_folder": tmp_path, "into": tmp_path / "x"}):  # fmt: skip
        with pytest.raises(InvalidValueError):
            reproduce(run, **wrong)
    with pytest.raises(NotFoundError, match="no metric"):
        reproduce(run, keys=["lost"])


def test_a_link_in_the_repository_leads_nowhere(project, tmp_path):
    """A tree is written over what git has: a link there must not lead it out of the folder."""
    outside = tmp_path / "outside"
    (project.root / "lib").rename(outside)
    (project.root / "lib").symlink_to(outside)
    project.commit()
    project.python("train.py", "word")
    with pytest.raises(InvalidValueError, match="leads out"):
        reproduce(runs_of(project)[0])
    assert sorted(path.name for path in outside.iterdir() if path.is_file()) == ["core.py"]


# -- pure ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "cwd", "expected"),
    [
        ("python train.py --lr 0.1", "/p", "py train.py --lr 0.1"),
        ("/usr/bin/python3.12 /p/a/train.py", "/home", "py /new/a/train.py"),
        ("python ../p/train.py x/y", "/home", "py /new/train.py x/y"),
        ("python -m pkg.a --data=/p/d.csv --out=/else/o", "/p/a", "py -m pkg.a --data=/new/d.csv --out=/else/o"),
        ("python -c 'print(1)'", "/p", "py -c print(1)"),
        ("python -Im a.b /pp/x", "/p", "py -Im a.b /pp/x"),
    ],
)  # fmt: skip
def test_commands(command, cwd, expected):
    found = rewritten(command, root="/p", cwd=cwd, folder="/new", python="py", script="x")
    assert " ".join(found) == expected


@pytest.mark.parametrize(
    "command",
    [
        "python", "python -i", "Rscript x", "", "python x " + "y" * 10_000, "python x --token '***'",
        "python x --token='***'", "python x --data 'postgresql://***@host/db'",
    ],
)  # fmt: skip
def test_commands_that_can_not_be_run_again(command):
    with pytest.raises(InvalidValueError):
        rewritten(command, root="/p", cwd="/p", folder="/new", python="py", script=None)


def test_a_notebook_is_run_by_ipython():
    found = rewritten("python -m ipykernel", root="/p", cwd="/p", folder="/new", python="py", script="cells.ipy")
    assert found == ["py", "-m", "IPython", "/new/cells.ipy"]


def test_verdicts(store):
    nan, inf = float("nan"), float("inf")
    series = {
        "same": [1, nan, inf, -inf],
        "close": [1.0, 2.0],
        "far": [1.0],
        "steps": [1, 2],
        "gone": [1],
        "nan": [1.0],
    }
    other = {
        "same": [1, nan, inf, -inf],
        "close": [1.0, 2.000001],
        "far": [2.0],
        "steps": [1],
        "nan": [nan],
        "zero": [0],
    }
    runs = []
    for values in (series, other):
        with store.start_run() as run:
            for key, numbers in values.items():
                run.log_series(key, np.array(numbers, float), steps=range(len(numbers)))
        runs.append(run)
    found = {each.key: (each.verdict, each.difference) for each in outcomes(*runs, tolerance=1e-6)}
    assert {key: verdict for key, (verdict, _) in found.items()} == {
        "same": "equal", "close": "within tolerance", "far": "different", "steps": "different", "gone": "missing",
        "nan": "different",
    }  # fmt: skip
    assert found["far"][1] == 0.5
    assert found["nan"][1] == inf
    assert causes(runs[0], runs[1])[0].kind == "nondeterminism"
