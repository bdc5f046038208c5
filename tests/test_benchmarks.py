"""The benchmarks run, and print every figure; none of their times is a test."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# What was promised in figures, by the words that each line of the table begins with, and what is to be reached.
PROMISED = {
    "imports: import modelmgmt, over bare Python / 25 ms": 1,
    "imports: import modelmgmt, third-party modules loaded": 0,
    "log_call: one scalar, median / commit, median": 1 / 4,
    "log_call: one scalar, p99 / commit, median": 1,
    "log_call: 10 metrics in one call / one scalar": 4,
    "log_call: one scalar, worst while folding / commit, worst": None,
    "bulk: single calls to a finished run, points/s / commit per point, points/s": 3,
    "bulk: single calls to a finished run / executemany": 1.5,
    "bulk: executemany / log_series": 10,
    "read: read a series logged as an array / SQLite rows": 1 / 15,
    "read: read a series logged by single calls / SQLite rows": 1 / 15,
    "size: bytes per point, one long series / 10 bytes": 1,
    "runs: a run with 10 params and 5 metrics / 5 ms": 1,
    "log_call: one scalar, worst while folding / 50 ms": 1,
    "many: 16 processes to one store / one alone x cores": 0.5,
    "many: 16 processes to one store, points lost": 0,
    "many: 16 processes to one store, errors": 0,
    "objects: a new file as artifact / cp + sha256sum": 1.5,
    "code: start_run, the first of a process / 30 ms": 1,
    "code: start_run, a later one / 30 ms": 1,
    "code: start_run, the first of a process / git status": None,
    "objects: the same file again, extra bytes / its size": 0,
    "query: filter and to_frame / plain sqlite3": None,
    "compare: two runs with long curves / reading the curves": None,
    "steps: a recorded call / commit, median": None,
    "steps: a skipped call / commit, median": None,
    "models: log_model of a forest / joblib.dump and load": 3,
    "models: load_model of a forest / joblib.load": 3,
    "models: log_model and load_model of a small pipeline / 50 ms": 1,
    "models: load_model of churn@live, loaded already / 1 ms": 1,
    "data: 500 MB/s / fingerprint of a table": 1,
    "data: extra bytes, 1 % appended / the table": 0.05,
    "data: extra bytes, 1 % inserted / the table": 0.05,
    "data: extra bytes, 1 % changed in a block / the table": 0.05,
    "data: extra bytes, 1 % changed here and there / the table": 0.05,
    "registry: resolve churn@production / 1 ms": 1,
    "registry: promote / durable commit of one row": None,
    "predictions: one prediction, inputs as an array / commit of its row": None,
    "predictions: one prediction, inputs as a frame / 1 ms": 1,
    "predictions: a batch of 1,000 / commit of its rows": 1,
    "predictions: one by its id / by a primary key": None,
}


def test_every_figure_is_printed_with_a_finite_ratio(tmp_path: Path):
    file = tmp_path / "figures.json"
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", str(file), "--folder", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "COLUMNS": "240"}, capture_output=True, text=True, timeout=1700, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    figures = {f"{figure['subject']}: {figure['name']}": figure for figure in json.loads(file.read_text())["figures"]}
    assert {name: figures[name]["target"] for name in PROMISED} == PROMISED
    for name, figure in figures.items():
        assert math.isfinite(figure["ratio"]), name
        assert name in result.stdout
    assert not list(tmp_path.glob("benchmark-*"))


def test_one_subject_can_be_chosen_and_a_wrong_name_is_refused(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--folder", str(tmp_path)]
    chosen = subprocess.run([*command, "size"], cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)
    assert "size: bytes per point" in chosen.stdout
    assert "imports:" not in chosen.stdout
    wrong = subprocess.run([*command, "sise"], cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)
    assert wrong.returncode == 2
    assert "sise" in wrong.stderr
