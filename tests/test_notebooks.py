"""The notebooks run from top to bottom, and show what they are there to show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
TABLES = {
    "quickstart.ipynb": ["lr", "section"],
    "experiments.ipynb": ["lr=0.03 less lr=0.001", "p corrected", "section"],
    "models.ipynb": ["tumour:2", "skops", "stage or alias", "version 2, since"],
    "predictions.ipynb": ["biopsy-384", "prediction.benign", "asked for as", "40"],
    "versions.ipynb": ["patients:2", "bmi", "reproduces"],
}
"""What is in a table of each."""


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    found = (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))
    return [data[kind] for data in found if kind in data]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    tables = outputs(notebook, "text/html")
    for words in TABLES[path.name]:
        assert any("<table" in html and words in html for html in tables), words
    assert outputs(notebook, "image/png")
    assert not [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


TYPOS = [
    ("runs('metrics.loss <')", "QuerySyntaxError: expected a value after '<' at column 15"),
    ("store.runs['frist']", "NotFoundError: The store has no run 'frist'"),
    ("mm.plots.curves(runs, 'los')", "Did you mean 'loss'?"),
    ("def ask():\n    return runs[0].series('los')\nask()", "Did you mean 'loss'?"),
    ("mm.load_model('chrun:1')", "NotFoundError: There is no model 'chrun'"),
    ("runs[0].artifact('remark')", "Did you mean 'remarks.txt'?"),
    ("with mm.start_run('a') as run:\n    run.log(loss=object())", "InvalidTypeError: The metric 'loss'"),
]


def test_a_typo_costs_the_line_of_the_cell_and_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    first = (
        "import modelmgmt as mm\nwith mm.start_run('a', name='first') as run:\n    run.log(loss=1)\n"
        "    run.log_text('x', 'remarks.txt')\nstore = mm.Store(); runs = store.runs"
    )
    last = (
        "import sys, traceback\nprint(len(traceback.extract_tb(sys.last_value.__traceback__)))\n"
        "assert 'ipykernel' not in runs['first']._repr_html_()"
    )
    cells = [first, *(typo for typo, _ in TYPOS), last]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=600, startup_timeout=600, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell, (typo, words) in zip(notebook.cells[1:-1], TYPOS, strict=True):
        [error] = [output for output in cell.outputs if output.output_type == "error"]
        shown = "\n".join(error.traceback)
        assert words in shown
        assert "Cell In[" in shown
        assert typo.splitlines()[-1].strip() in shown
        assert "modelmgmt/" not in shown
        assert len(shown.splitlines()) <= 7
    assert int(notebook.cells[-1].outputs[0].text) > 2, "the whole traceback is still there"
