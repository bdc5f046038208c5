"""Inputs that were given without names have those that the model's signature gives them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from observe_tools import register
from sklearn.linear_model import LinearRegression

from modelmgmt.errors import InvalidValueError
from modelmgmt.observe import folding

FRAME = pd.DataFrame({"age": [25.0, 41.0], "calls": [3.0, 0.0]})


def fitted(store, data):
    with store.start_run("fit", code=False) as run:
        model = LinearRegression().fit(data, [0.0, 1.0])
        run.log_model(model, "line", input_example=data, register_as="line")
    return store.monitor("line:1")


@pytest.mark.parametrize("asked", [FRAME, FRAME.to_numpy(), FRAME.to_numpy().tolist(), FRAME.to_numpy().astype(object)])
def test_a_model_that_takes_a_table_takes_an_array_in_its_order(store, asked):
    monitor = fitted(store, FRAME)
    monitor.log(asked, [0, 1], ids=["a", "b"])
    for _ in range(2):
        assert store.predictions["b"].inputs == {"age": 41.0, "calls": 0.0}
        assert [one.inputs["calls"] for one in monitor.predictions()] == [3.0, 0.0] * len(monitor.predictions(ids="a"))
        assert monitor.predictions().to_frame().columns.tolist()[-2:] == ["input.age", "input.calls"]
        monitor.log(FRAME, [0, 1], ids=["a", "b"])
        folding.fold(store._kernel, 1, 1)


@pytest.mark.parametrize("asked", [np.zeros((1, 3)), np.zeros((1, 2, 2)), np.zeros(1)])
def test_what_has_another_shape_has_no_names(store, asked):
    fitted(store, FRAME).log(asked, [0], ids=["a"])
    found = store.predictions["a"].inputs
    assert found == {"0": 0.0, "1": 0.0, "2": 0.0} if asked.shape == (1, 3) else np.array_equal(found, asked[0])


def test_a_model_that_takes_an_array_has_none_to_give(store):
    fitted(store, FRAME.to_numpy()).log(FRAME.to_numpy(), [0, 1], ids=["a", "b"])
    assert store.predictions["b"].inputs == {"0": 41.0, "1": 0.0}


def test_nor_has_one_without_a_signature_or_one_that_is_not_here(store):
    run = register(store)
    store.monitor("churn:1").log(np.zeros((1, 2)), [0], ids=["a"])
    assert store.predictions["a"].inputs == {"0": 0.0, "1": 0.0}
    with store._kernel.database.reading() as connection:
        [(digest,)] = connection.execute("SELECT digest FROM artifacts WHERE run = ?", (run.id,)).fetchall()
    store._kernel.objects.path(digest).unlink()
    assert store.predictions["a"].inputs == {"0": 0.0, "1": 0.0}


def test_columns_of_an_array_are_not_kept_by_name(store):
    monitor = fitted(store, FRAME)
    with pytest.raises(InvalidValueError, match="no names to keep 'age' by: pass a frame"):
        store.monitor(monitor.name, inputs=["age"]).log(FRAME.to_numpy(), [0, 1])
