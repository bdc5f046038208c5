"""modelmgmt predictions, and lineage of one, at the terminal."""

from __future__ import annotations

import re

import numpy as np
import pytest

import modelmgmt as mm
from modelmgmt.view.predictions import predictions_table
from modelmgmt.view.text import MISSING


@pytest.fixture
def served():
    store = mm.Store()
    with store.start_run("churn", code=False) as run:
        run.log_model({"w": 1.0}, "weights", format="cloudpickle", register_as="churn")
    store.models["churn"].promote(1, "production")
    monitor = store.monitor("churn@production")
    for n in range(3):
        asked = [{"age": n, "tags": ["a"], "name": "\x1b[31mred"}]
        monitor.log(asked, [float("nan") if n == 2 else n / 2], ids=[f"order-{n}"], at=f"2026-01-0{n + 1}T00:00:00Z")
    return store


def test_list(served, ask):
    done = ask("predictions", "list", "churn@production", "--limit", "2")
    assert done.code == 0
    assert "order-2" in done.out
    assert "order-0" not in done.out
    assert "newest 2 of 3" in done.out
    assert "\x1b" not in done.out
    found = ask("predictions", "list", "churn", "--since", "2026-01-02T00:00:00Z", "--json").json
    assert [one["id"] for one in found] == ["order-1", "order-2"]
    assert [one["prediction"] for one in found] == [0.5, None]
    assert found[0]["inputs"]["tags"] == ["a"]
    found = ask("predictions", "list", "churn:1", "--until", "2026-01-03T00:00:00Z", "--id", "order-0", "--json").json
    assert [(one["version"], one["label"]) for one in found] == [("churn:1", "production")]
    done = ask("predictions", "list", "churn", "--since", "2027-01-01T00:00:00Z")
    assert (done.code, "No predictions." in done.out) == (1, True)
    assert ask("predictions", "list", "nope").code == 2
    assert ask("predictions", "list", "churn", "--since", "yesterday").code == 2


def test_show(served, ask):
    done = ask("predictions", "show", "order-1")
    assert done.code == 0
    assert "inputs.age" in done.out
    assert "predicted: churn:1" in done.out
    found = ask("predictions", "show", "order-1", "--json").json
    assert (found["prediction"], found["lineage"]["roots"]) == (0.5, ["prediction:order-1"])
    assert found["time"] == "2026-01-02T00:00:00.000000Z"
    assert ask("predictions", "show", "order-9").code == 2
    found = ask("lineage", "prediction:order-1", "--json").json
    assert {"from": "churn:1", "to": "prediction:order-1", "role": "predicted"} in found["edges"]


def test_delete(served, ask):
    words = ["predictions", "delete", "churn", "--before", "2026-01-02T00:00:00Z", "--reason", "old"]
    assert ask(*words).code == 2  # nobody to ask
    done = ask(*words, "--yes", "--json")
    assert done.json["predictions"] == 1
    assert (
        "Deleted 2 predictions"
        in ask("predictions", "delete", "churn", "--before", "2027-01-01T00:00:00Z", "--yes").out
    )


def test_delete_by_id(served, ask):
    words = ["predictions", "delete", "churn", "--id", "order-1"]
    assert ask(*words).code == 2  # nobody to ask
    assert ask("predictions", "delete", "churn", "--yes").code == 2
    assert ask(*words, "--before", "2027-01-01T00:00:00Z", "--yes").code == 2
    done = ask(*words, "--yes")
    assert (done.code, done.out) == (0, "Deleted 1 prediction of churn.\n")
    done = ask(*words, "--id", "order-2", "--id", "\x1b[1mnobody", "--yes")
    assert done.code == 2  # no id has control characters
    done = ask(*words, "--id", "order-2", "--yes")
    assert (done.code, done.out) == (1, "Deleted 1 prediction of churn.\nNot found: order-1\n")
    done = ask(*words, "--yes", "--json")
    assert (done.code, done.json["predictions"], done.json["missing"]) == (1, 0, ["order-1"])
    assert [one["id"] for one in ask("predictions", "list", "churn", "--json").json] == ["order-0"]


def test_cells_that_a_batch_has_not_are_dashes_and_not_numbers(served, ask):
    served.monitor("churn:1").log(None, [[0.25, 0.75]], ids=["probabilities"], at="2026-01-04T00:00:00Z")
    done = ask("predictions", "list", "churn")
    assert re.search(r"^order-2 .* nan ", done.out, re.MULTILINE), "it was predicted"
    assert "All asked for as" not in done.out
    assert "All asked for as production." in ask("predictions", "list", "churn@production").out
    assert f"{MISSING}: missing, or not in that batch." in done.out
    table = predictions_table(served.monitor("churn").predictions()._shown_frame(), total=4)
    names = [column.name for column in table.columns]
    assert [row[names.index("prediction")] for row in table.rows] == ["0", "0.5", "nan", MISSING]
    assert [row[names.index("prediction.0")] for row in table.rows] == [MISSING, MISSING, MISSING, "0.25"]


def test_many_columns_are_spoken_of_once(served):
    served.monitor("churn:1").log(np.zeros((1, 50)), [1])
    table = predictions_table(served.monitor("churn").predictions(limit=1).to_frame(), total=1)
    assert table.note == "9 of 51 columns of predictions and inputs: to_frame() has all."


def test_an_erasure_is_read_in_the_audit_list(served, ask, monkeypatch):
    served.monitor("churn").delete(ids=["order-0", "order-1"], reason="ticket 4711")
    monkeypatch.setenv("COLUMNS", "80")
    listed = ask("audit", "list").out
    assert max(map(len, listed.splitlines())) <= 80
    assert "detail" in listed.splitlines()[0]
    words = " ".join(listed.split())
    assert "ticket 4711" in words
    assert "predictions 2" in words
    assert "marks" not in words
