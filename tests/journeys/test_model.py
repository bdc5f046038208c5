"""The journey of a model: object -> package -> registry -> promotion -> load -> prediction -> lineage -> another store.

One fitted estimator is logged, and from there on it is a digest. This page follows it through every room of the house.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm

pytest.importorskip("skops")

PATIENTS = pd.DataFrame({"age": [20.0, 35.0, 50.0, 65.0, 80.0], "dose": [1.0, 2.0, 2.0, 3.0, 1.0]})
RISK = np.array([0.1, 0.2, 0.3, 0.5, 0.4])


@pytest.fixture
def train(store):
    """A training as anybody would write it."""
    from sklearn.linear_model import Ridge

    def train(alpha):
        with store.start_run("risk", params={"alpha": alpha}) as run:
            run.log_dataset(PATIENTS, "patients")
            model = Ridge(alpha).fit(PATIENTS, RISK)
            run.log(error=float(np.abs(model.predict(PATIENTS) - RISK).mean()))
            logged = run.log_model(model, "ridge", input_example=PATIENTS[:2], register_as="risk")
        return run, model, logged

    return train


def test_the_journey_of_a_model(store, train, tmp_path):
    run, model, logged = train(alpha=1.0)

    # 1. A package. The object is a tree of files, in a format that executes nothing when it is read, with what it takes in
    #    and gives; the digest of the tree's manifest names every byte of it.
    assert logged.format == "skops"
    assert {"model.json", "requirements.txt"} <= set(logged.package.tree)
    assert hashlib.sha256(logged.package.tree.encode()).hexdigest() == logged.digest
    description = json.loads(logged.package.read("model.json"))
    assert [column["name"] for column in description["signature"]["inputs"]["columns"]] == ["age", "dose"]
    assert description["run"]["id"] == run.id

    # 2. The registry. The package is version 1 of a model, and so is its name in the run: two ways to the same digest.
    risk = store.models["risk"]
    assert (risk[1].reference, risk[1].digest, risk[1].stage) == ("risk:1", logged.digest, "development")
    assert mm.load_model(f"run:{run.id}/ridge", store=store).package.digest == logged.digest

    # 3. A promotion, as people decide it. A policy says what must hold; what does not meet it is refused, and that is kept.
    risk.set_policy("production", metrics={"error": (None, 0.05)})
    with pytest.raises(mm.errors.GateError):
        train(alpha=1e9)
        store.models["risk"].promote(2, "production", reason="it is newer")
    risk.refresh()
    risk.promote(1, "production", reason="accurate enough")
    then = datetime.now(UTC)

    # 4. Loading goes the other way: reference, digest, bytes that are hashed, the format, the object.
    served = mm.load_model("risk@production", store=store)
    assert np.allclose(served.predict(PATIENTS), model.predict(PATIENTS))
    with pytest.raises(mm.errors.SignatureError):
        served.predict(PATIENTS.drop(columns="dose"))

    # 5. What it predicts is kept under its digest.
    monitor = store.monitor(served)
    monitor.log(PATIENTS, served.predict(PATIENTS), ids=["a", "b", "c", "d", "e"])
    monitor.flush()

    # 6. A better one takes its place. Each version is told what was done to it, and what was so then stays so.
    train(alpha=0.1)
    store.models["risk"].promote(3, "production", reason="more accurate")
    risk.refresh()
    assert risk[1].stage == "archived"
    assert risk[1].history()[-1].changes[1] == "displaced from production to archived by version 3"
    assert risk.as_of(then)["production"] == 1
    assert "displaced from production to archived by version 3" in risk[1].card()

    # 7. Lineage, from one prediction back to the data, and from the data to all that it touched.
    found = store.lineage("prediction:c", direction="up")
    assert {"risk:1", f"run:{run.id}", "data:patients:1"} <= found.nodes.keys()
    touched = store.lineage("data:patients", direction="down")
    assert {"risk:1", "risk:2", "risk:3", "risk@production"} <= touched.nodes.keys()

    # 8. Elsewhere. One file takes the package to another store, which says where it is from and what of that is only told.
    with mm.Store(tmp_path / "hospital") as hospital:
        version = hospital.import_model(store.export_model("risk:1", tmp_path / "risk.zip"))
        assert version.digest == logged.digest
        assert (version.origin.reference, version.origin.run["id"]) == ("risk:1", run.id)
        assert "risk:1" in hospital.lineage("data:patients", direction="down").nodes
        elsewhere = mm.load_model("risk:1", store=hospital)
        assert np.allclose(elsewhere.predict(PATIENTS), model.predict(PATIENTS))

    # 9. Nobody can say that it was otherwise: every decision is in a chain of hashes, and the rows say what it says.
    assert [decision.kind for decision in risk.history()] == [
        "created", "registered", "policy_set", "registered", "refused", "promoted", "registered", "promoted",
    ]  # fmt: skip
    assert (store.audit.verify(), store.check(deep=True)) == ([], [])
