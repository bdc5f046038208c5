"""From one prediction back to the data, and from data to how much was predicted with what came of it."""

from __future__ import annotations

import pytest
from observe_tools import register

import modelmgmt as mm
from modelmgmt.errors import NotFoundError
from modelmgmt.observe import folding


@pytest.fixture
def served(store):
    """raw -> a run -> churn:1, which predicts; returns (store, run)."""
    with store.start_run("churn") as run:
        run.log_dataset({"age": [1, 2]}, "customers")
        run.log_model({"w": 1.0}, "weights", format="cloudpickle", register_as="churn")
    store.models["churn"].promote(1, "production")
    store.models["churn"].set_alias("champion", 1)
    return store, run


def kinds(found):
    return {kind: [node.id for node in found.of(kind)] for kind in {node.kind for node in found.nodes.values()}}


def test_from_a_prediction_to_everything_that_made_it(served):
    store, run = served
    model = mm.load_model("churn@production", store=store)
    batch = store.monitor("churn@production").log([{"age": 3}], [0.5], model=model)
    for _ in range(2):
        one = store.prediction(batch.ids[0])
        found = one.lineage()
        assert found.roots == (f"prediction:{batch.ids[0]}",)
        there = kinds(found)
        assert there["version"] == ["churn:1"]
        assert there["run"] == [f"run:{run.id}"]
        assert there["data"] == ["data:customers:1"]
        assert there["environment"][0].startswith("environment:")
        assert there["code"][0].startswith("code:")
        assert found.nodes["churn:1"].detail["digest"] == one.package == model.package.digest
        store.kernel.objects.verify(one.package)
        folding.fold(store.kernel, 1, 1)
    assert str(store.lineage(f"prediction:{batch.ids[0]}", direction="up")).splitlines()[:3] == [
        f"prediction {batch.ids[0]}", "  from", "    predicted: churn:1",
    ]  # fmt: skip
    with pytest.raises(NotFoundError, match="no prediction 'nope'"):
        store.lineage("prediction:nope")


def test_from_data_to_how_much_was_predicted(served):
    store, _ = served
    for reference, count in (("churn@production", 3), ("churn@champion", 2), ("churn:1", 4)):
        monitor = store.monitor(reference)
        for n in range(count):
            monitor.log(None, [1.0] * 1000, at=f"2026-01-0{n + 1}T00:00:00Z")
    for reference in ("data:customers", "churn", "churn:1"):
        found = store.lineage(reference, direction="down")
        assert sorted(node.label for node in found.of("predictions")) == [
            "2,000 as champion, 2026-01-01 to 2026-01-02",
            "3,000 as production, 2026-01-01 to 2026-01-03",
            "4,000, 2026-01-01 to 2026-01-04",
        ]
    assert "predicted: 2,000 as champion, 2026-01-01 to 2026-01-02" in str(found)
    node = next(node for node in found.of("predictions") if node.detail["deployment"] == "champion")
    assert node.detail["count"] == 2000
    assert found.to_dict()["nodes"]
    assert ("churn:1", "version", "predictions:churn:1@champion", "predictions", "predicted") in set(
        found.to_frame().itertuples(index=False, name=None)
    )


def test_a_picture_of_both(served):
    store, _ = served
    store.monitor("churn@production").log(None, [1], ids=["one"])
    for reference in ("prediction:one", "churn:1"):
        axes = store.lineage(reference).plot()
        words = [text.get_text() for text in axes.texts]
        assert not any("…" in word or "..." in word for word in words)
        assert any("predict" in text.get_text() for text in axes.get_legend().get_texts())


def test_a_model_that_is_not_registered(store):
    with store.start_run("fit", code=False) as run:
        logged = run.log_model({"w": 1.0}, "weights", format="cloudpickle")
    store.monitor(logged.ref).log(None, [1, 2], ids=["a", "b"])
    assert kinds(store.lineage("prediction:a"))["run"] == [f"run:{run.id}"]
    [node] = store.lineage(f"run:{run.id}").of("predictions")
    assert node.detail["count"] == 2


def test_two_versions_of_one_package(store):
    register(store)
    with store.kernel.database.reading() as connection:
        [(run, artifact)] = connection.execute("SELECT run, artifact FROM model_versions").fetchall()
    store.models.register_from(f"run:{run}/{artifact}", "churn")
    store.monitor("churn:2").log(None, [1], ids=["a"])
    assert kinds(store.lineage("prediction:a"))["version"] == ["churn:2"]
    assert [node.detail["count"] for node in store.lineage("churn").of("predictions")] == [1]
