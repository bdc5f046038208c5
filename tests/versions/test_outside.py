"""Modules that are imported from outside of the project's folder: kept, or named."""

from __future__ import annotations

import shutil
import textwrap
import zipfile

import pytest

import modelmgmt as mm
from modelmgmt.tracking.reproduce import reproduce


def script(*lines):
    """These lines, indented as they may be, and a run that logs VALUE."""
    start = "import modelmgmt as mm\nwith mm.start_run('outside') as run:\n    run.log(value=VALUE)\n"
    return "".join(textwrap.dedent(each).strip("\n") + "\n" for each in (*lines, start))


def library(tmp_path, path, text="VALUE = 1.0\n"):
    place = tmp_path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def on_the_path(project, tmp_path):
    project.write("train.py", script("import sys", "sys.path.append('../lib')", "from helper.core import VALUE"))
    return {}


def by_variable(project, tmp_path):
    project.write("train.py", script("from helper.core import VALUE"))
    return {"PYTHONPATH": str(tmp_path / "lib")}


def by_pth(project, tmp_path):
    """As `pip install --editable` of old, and `python setup.py develop` do."""
    library(tmp_path, "site/editable.pth", str(tmp_path / "lib") + "\n")
    project.write(
        "train.py", script(f"import site; site.addsitedir('{tmp_path}/site')", "from helper.core import VALUE")
    )
    return {}


def by_finder(project, tmp_path):
    """As `pip install --editable` does now: a finder knows the folder, and no path names it."""
    finder = f"""
        import importlib.util, sys
        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name == "helper":
                    return importlib.util.spec_from_file_location(
                        name, "{tmp_path}/lib/helper/__init__.py", submodule_search_locations=["{tmp_path}/lib/helper"])
        sys.meta_path.append(Finder)
        from helper.core import VALUE
    """
    project.write("train.py", script(finder))
    return {}


@pytest.mark.parametrize("way", [on_the_path, by_variable, by_pth, by_finder])
def test_a_module_from_elsewhere_is_kept_and_put_back(project, tmp_path, way):
    library(tmp_path, "lib/helper/__init__.py", "from helper import other\n")
    library(tmp_path, "lib/helper/other.py", "")
    core = library(tmp_path, "lib/helper/core.py")
    library(tmp_path, "lib/unused.py")
    run = project.run("train.py", **way(project, tmp_path))
    kept = [f"outside-project/lib/helper/{name}.py" for name in ("__init__", "core", "other")]
    assert run.code.files == [*kept, "train.py"]
    assert run.code.read(kept[1]) == "VALUE = 1.0\n"
    assert run.code.version.left_out == ()
    core.write_text("VALUE = 2.0\n")
    if way is on_the_path:  # from its own folder nothing leads there any more
        shutil.rmtree(tmp_path / "lib")
    again = reproduce(run, into=tmp_path / "again")
    assert again.is_reproduced
    assert again.causes == ()
    assert mm.Store(project.store_path).check(deep=True) == []


def test_a_namespace_and_files_under_other_names(project, tmp_path):
    library(tmp_path, "one/space/a.py")
    library(tmp_path, "two/one/space/b.py")
    library(tmp_path, "plug-ins/first version.py")
    project.write("space/c.py", "VALUE = 3\n")
    project.write(
        "train.py",
        script(f"""
        import importlib.util, sys
        sys.path += ["{tmp_path}/one", "{tmp_path}/two/one"]
        import space.a, space.b, space.c
        spec = importlib.util.spec_from_file_location("plugin", "{tmp_path}/plug-ins/first version.py")
        sys.modules["plugin"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["plugin"])
        from plugin import VALUE
        """),
    )
    files = project.run("train.py").code.files
    assert "outside-project/one/space/a.py" in files
    assert "outside-project/plug-ins/first version.py" in files
    assert "space/c.py" in files
    [other] = [path for path in files if path.endswith("/space/b.py")]
    assert other.startswith("outside-project/one-")  # another folder of that name
    assert len(files) == 5


def test_what_cannot_be_kept_is_named(project, tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("zipped.py", "VALUE = 1.0\n")
    library(tmp_path, "lib/big.py", "#" * 1_100_000)
    library(tmp_path, "lib/credentials.py", "KEY = 1\n")
    project.write(
        "train.py",
        script(f"""
        import os, py_compile, sys, types
        sys.path += ["{tmp_path}/packed.zip", "{tmp_path}/lib"]
        import big, credentials
        from zipped import VALUE
        py_compile.compile("{tmp_path}/lib/big.py", "{tmp_path}/lib/compiled.pyc")
        import compiled
        sys.modules["fast"] = types.ModuleType("fast")
        sys.modules["fast"].__file__ = "{tmp_path}/lib/fast.cpython-311-x86_64-linux-gnu.so"
        """),
    )
    run = project.run("train.py")
    assert run.code.files == ["train.py"]
    said = dict(run.code.version.left_out)
    assert "archive" in said["outside-project/packed.zip/zipped.py"]
    assert "more than" in said["outside-project/lib/big.py"]
    assert "secret" in said["outside-project/lib/credentials.py"]
    assert "compiled" in said["outside-project/lib/compiled.pyc"]
    assert "compiled" in said["outside-project/lib/fast.cpython-311-x86_64-linux-gnu.so"]


def test_what_was_installed_is_named_by_the_environment(project, tmp_path):
    library(tmp_path, "target/vendored/__init__.py")
    library(tmp_path, "target/vendored/core.py")
    library(tmp_path, "target/single.py")
    library(tmp_path, "target/vendored-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: vendored\nVersion: 1.0\n")
    library(tmp_path, "cache/made.py")
    project.write(
        "train.py",
        script(f"""
        import importlib.util, sys
        import numpy
        sys.path.append("{tmp_path}/target")
        import single, vendored.core
        from vendored import VALUE
        spec = importlib.util.spec_from_file_location("numpy.made", "{tmp_path}/cache/made.py")  # as torch.compile does
        sys.modules["numpy.made"] = importlib.util.module_from_spec(spec)
        """),
    )
    run = project.run("train.py")
    assert run.code.files == ["train.py"]
    assert run.code.version.left_out == ()


def test_the_folder_of_the_project_can_be_named(project, tmp_path):
    project.write("src/lib.py", "VALUE = 1.0\n")
    project.write("work/train.py", script("import sys", "sys.path.append('../src')", "from lib import VALUE"))
    run = project.run("train.py", cwd="work")
    assert run.code.files == ["outside-project/src/lib.py", "train.py"]
    run = project.run("train.py", cwd="work", MODELMGMT_PROJECT=str(project.root))
    assert run.code.files == ["src/lib.py", "work/train.py"]
    assert run.code.version.script == "work/train.py"
    run = project.run("train.py", cwd="work", MODELMGMT_PROJECT=str(tmp_path / "elsewhere"))
    assert run.code.version.root == str(project.root / "work")


@pytest.mark.parametrize("place", ["again", "deep/in/it"])
def test_a_run_is_done_again_inside_of_a_repository(project, place):
    """The folder is the project then, whatever is around it; a script in a subfolder has its old path."""
    project.write("lib.py", "VALUE = 1.0\n")
    project.write("work/train.py", script("import sys", "sys.path.append('..')", "from lib import VALUE"))
    project.commit()
    run = project.run("train.py", cwd="work")
    assert run.code.files == ["lib.py", "work/train.py"]
    again = reproduce(run, into=project.root / place)
    assert again.is_reproduced
    assert again.causes == ()
