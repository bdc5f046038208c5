"""From one prediction back to the data, and from data to how much was predicted with what came of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observe_tools import register

import modelmgmt as mm
from modelmgmt.errors import NotFoundError, PinnedError
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
        one = store.predictions[batch.ids[0]]
        found = one.lineage()
        assert found.roots == (f"prediction:{batch.ids[0]}",)
        there = kinds(found)
        assert there["version"] == ["churn:1"]
        assert there["run"] == [f"run:{run.id}"]
        assert there["data"] == ["data:customers:1"]
        assert there["environment"][0].startswith("environment:")
        assert there["code"][0].startswith("code:")
        assert found.nodes["churn:1"].detail["digest"] == one.package == model.package.digest
        store._kernel.objects.verify(one.package)
        folding.fold(store._kernel, 1, 1)
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
    store.monitor(logged.reference).log(None, [1, 2], ids=["a", "b"])
    assert kinds(store.lineage("prediction:a"))["run"] == [f"run:{run.id}"]
    [node] = store.lineage(f"run:{run.id}").of("predictions")
    assert node.detail["count"] == 2


def test_two_versions_of_one_package(store):
    register(store)
    with store._kernel.database.reading() as connection:
        [(run, artifact)] = connection.execute("SELECT run, artifact FROM model_versions").fetchall()
    store.models.register_from(f"run:{run}/{artifact}", "churn")
    store.monitor("churn:2").log(None, [1], ids=["a"])
    assert kinds(store.lineage("prediction:a"))["version"] == ["churn:2"]
    assert [node.detail["count"] for node in store.lineage("churn").of("predictions")] == [1]


# ------------------------------------------------------------------------------------------- merged stores


def numbered_otherwise(store):
    """Another store with the same model, which is its churn:1 and predicted "t"; here it is churn:2."""
    theirs = mm.Store(store.backup("theirs"))
    run = register(theirs, weights=b"theirs")
    theirs.monitor("churn:1").log([{"x": 1}], ["theirs"], ids=["t"])
    register(store, weights=b"ours")
    store.merge(theirs)
    return run


def test_a_version_that_has_another_number_here_is_found_by_its_package(store):
    run = numbered_otherwise(store)
    assert kinds(store.lineage("prediction:t"))["version"] == [f"package:{store.predictions['t'].package}"]
    [label] = [node.label for node in store.lineage(f"run:{run.id}").of("version")]
    assert label == "churn:1 (another one here)"
    assert [node.detail["count"] for node in store.lineage(f"run:{run.id}").of("predictions")] == [1]
    store.models.register_from(f"run:{run.id}/classifier", "churn")
    for _ in range(2):
        found = store.lineage("prediction:t")
        assert kinds(found)["version"] == ["churn:2"]
        assert found.nodes["churn:2"].detail["digest"] == store.predictions["t"].package
        assert kinds(found)["run"] == [f"run:{run.id}"]
        assert [node.detail["count"] for node in store.lineage("churn:2").of("predictions")] == [1]
        assert store.lineage("churn:1").of("predictions") == []
        assert kinds(store.lineage(f"run:{run.id}"))["version"] == ["churn:2"]
        folding.fold(store._kernel, 1, 1)
    assert store.predictions["t"].version == "churn:1"  # as it was logged


def test_a_version_that_predicted_elsewhere_is_not_deleted_by_the_way(store):
    run = numbered_otherwise(store)
    store.models.register_from(f"run:{run.id}/classifier", "churn")
    for number in (1, 2):
        store.models["churn"].archive(number)
    store.models["churn"].delete(1)
    with pytest.raises(PinnedError, match="1 prediction was made with churn:2"):
        store.models["churn"].delete(2)


def test_one_of_the_same_model_is_taken_before_another(store):
    run = register(store, "other")
    register(store, weights=b"to have another number")
    store.models.register_from(f"run:{run.id}/classifier", "churn")
    store.models.register_from(f"run:{run.id}/classifier", "churn")
    store.monitor("churn:2").log(None, [1], ids=["a"])
    store.monitor("churn:3").log(None, [1], ids=["b"])
    store.monitor("other:1").log(None, [1], ids=["c"])
    for id_, version in (("a", "churn:2"), ("b", "churn:3"), ("c", "other:1")):
        assert kinds(store.lineage(f"prediction:{id_}"))["version"] == [version]
    store.models["churn"].archive(3)
    store.models["churn"].delete(3, force=True)
    assert kinds(store.lineage("prediction:b"))["version"] == ["churn:2"]
    assert [node.detail["count"] for node in store.lineage("churn:2").of("predictions")] == [2]


@given(
    numbered=st.tuples(*[st.permutations([0, 1, 2])] * 3),
    said=st.tuples(*[st.lists(st.integers(1, 3), min_size=1, max_size=3)] * 3),
    order=st.lists(st.sampled_from([1, 2]), min_size=2, max_size=4),
    folds=st.tuples(*[st.booleans()] * 3),
)
@settings(max_examples=8, deadline=None)
def test_in_whichever_order_stores_are_merged_each_prediction_has_its_version(
    tmp_path_factory, numbered, said, order, folds
):
    """Three models, which three stores number each in its own way."""
    folder = tmp_path_factory.mktemp("orders")
    stores = [mm.Store(folder / "0")]
    runs = [register(stores[0], f"own {n}", weights=f"{n}".encode()) for n in range(3)]
    stores += [mm.Store(stores[0].backup(folder / name)) for name in ("1", "2")]
    made = {}
    for place, (store, numbers) in enumerate(zip(stores, numbered, strict=True)):
        for which in numbers:
            store.models.register_from(f"run:{runs[which].id}/classifier", "churn")
        for n, number in enumerate(said[place]):
            id_ = f"{place} {n}"
            store.monitor(f"churn:{number}").log(None, [1], ids=[id_])
            made[id_] = numbers[number - 1]
        if folds[place]:
            folding.fold(store._kernel, 1, 1)
    for place in [*order, 1, 2]:
        stores[0].merge(stores[place])
    counts = dict.fromkeys(range(3), 0)
    for id_, which in made.items():
        expected = f"churn:{numbered[0].index(which) + 1}"
        assert kinds(stores[0].lineage(f"prediction:{id_}"))["version"] == [expected]
        counts[which] += 1
    for which, count in counts.items():
        found = stores[0].lineage(f"churn:{numbered[0].index(which) + 1}", direction="down").of("predictions")
        assert sum(node.detail["count"] for node in found) == count
    for store in stores:
        store.close()
