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
    "models.ipynb": ["tumour:2", "skops", "stage or alias", "production 2"],
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
