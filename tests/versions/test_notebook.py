"""A notebook: the executed cells are its code, in their order, and they can be run again."""

from __future__ import annotations

import pytest

import modelmgmt as mm
from modelmgmt.tracking.reproduce import reproduce

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

CELLS = [
    "import random\nimport modelmgmt as mm\nimport lib\n%time x = 1",
    "run = mm.start_run('notebook')",
    "for _ in range(3):\n    run.log(loss=lib.value() * random.random())",
    "raise ValueError('a cell that fails')",
    "run.finish()",
    "print('after the end')",
]


def execute(project, cells, **options):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=600, startup_timeout=600, kernel_name="python3", allow_errors=True, **options
    )
    client.execute(cwd=str(project.root))
    return notebook


@pytest.mark.filterwarnings("ignore")  # of what starts the kernel
def test_the_executed_cells_are_kept_and_run_again(project, monkeypatch, tmp_path):
    project.write("lib.py", "def value():\n    return 2.0\n")
    monkeypatch.setenv("MODELMGMT_STORE", str(project.store_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    execute(project, CELLS)
    [run] = mm.Store(project.store_path).runs()
    assert run.status == "finished"
    first, last = run.code.versions
    assert (first.reason, last.reason) == ("start", "finish")
    assert (first.script, last.script) == ("cells.ipy", "cells.ipy")
    assert run.code.files == ["cells.ipy", "lib.py"]
    start, end = run.code.at(0).read("cells.ipy"), run.code.read("cells.ipy")
    assert start.startswith(f"# In[1]:\n{CELLS[0]}\n\n# In[2]:\n{CELLS[1]}\n")
    assert "run.log" not in start
    assert end.index(CELLS[1]) < end.index(CELLS[2]) < end.index(CELLS[4])
    assert "after the end" not in end


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_is_reproduced(project, monkeypatch, tmp_path):
    project.write("lib.py", "def value():\n    return 2.0\n")
    monkeypatch.setenv("MODELMGMT_STORE", str(project.store_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    execute(project, [cell for cell in CELLS if "raise" not in cell])
    [run] = mm.Store(project.store_path).runs()
    found = reproduce(run)
    assert found.is_reproduced
    assert found.causes == ()
