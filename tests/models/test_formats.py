"""Every format, with its own library: what comes back says what went in, and nothing runs that was not trusted."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import CorruptDataError, InvalidTypeError, InvalidValueError, UntrustedModelError
from modelmgmt.models import formats

FRAME = pd.DataFrame(np.random.default_rng(0).random((60, 4)), columns=list("abcd"))
LABELS = (FRAME.a + FRAME.b > 1).astype(int)


@pytest.fixture
def run(store):
    with store.start_run("models") as run:
        yield run


def back(store, logged, **options):
    return mm.load_model(logged.reference, store=store, cached=False, **options)


def assert_round_trip(store, run, model, example=FRAME[:5], *, kept_as):
    logged = run.log_model(model, "model", input_example=example)
    assert logged.format == kept_as
    assert logged.package.executes is False
    loaded = back(store, logged, trust=False)
    assert loaded.check_example() == ""
    assert type(loaded.model) is type(model)
    return loaded


# ------------------------------------------------------------------------------------------------------- scikit-learn


def sklearn_models():
    pytest.importorskip("skops")
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    scale = ColumnTransformer([("scale", StandardScaler(), ["a", "b"]), ("bin", OneHotEncoder(), ["k"])])
    return {
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
        "columns": make_pipeline(scale, LogisticRegression()),
        "forest": RandomForestClassifier(5, random_state=0),
        "boosting": GradientBoostingRegressor(n_estimators=5),
        "histogram": HistGradientBoostingClassifier(max_iter=5),
        "neighbours": KNeighborsClassifier(),
        "svm": SVC(),
        "ufunc": make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
    }


SKLEARN = ["pipeline", "columns", "forest", "boosting", "histogram", "neighbours", "svm", "ufunc"]


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn_round_trips_as_skops_without_any_trust(store, run, name):
    frame = FRAME.assign(k=np.arange(60) % 2) if name == "columns" else FRAME
    model = sklearn_models()[name].fit(frame, LABELS)
    loaded = assert_round_trip(store, run, model, frame[:5], kept_as="skops")
    assert "scikit-learn" in {line.partition("==")[0] for line in loaded.package.requirements}


def test_skops_file_is_read_by_skops_itself(store, run):
    io = pytest.importorskip("skops.io")
    logged = run.log_model(sklearn_models()["pipeline"].fit(FRAME, LABELS), "model")
    assert io.loads(logged.package.read("weights/model.skops")).predict(FRAME).tolist()


def test_skops_own_writer_serves_when_its_insides_are_other(store, run, monkeypatch):
    pytest.importorskip("skops.io")
    monkeypatch.setitem(sys.modules, "skops.io._persist", None)
    assert_round_trip(store, run, sklearn_models()["pipeline"].fit(FRAME, LABELS), kept_as="skops")


def test_lambda_in_a_pipeline_falls_back_to_cloudpickle_and_says_so(store, run):
    pytest.importorskip("skops")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    model = make_pipeline(FunctionTransformer(lambda X: X + 1), LogisticRegression()).fit(FRAME, LABELS)
    with pytest.warns(
        UserWarning,
        match="stored as cloudpickle, which runs code when it is loaded, because it cannot be stored as skops",
    ):
        logged = run.log_model(model, "model", input_example=FRAME[:5])
    assert logged.format == "cloudpickle"
    assert logged.package.executes
    assert "<lambda>" in logged.package.content["reason"]
    assert back(store, logged).check_example() == ""


def test_types_of_a_project_must_be_named_or_trusted(store, run, tmp_path, monkeypatch):
    pytest.importorskip("skops")
    (tmp_path / "shop_features.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class Doubler(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.done_ = True\n        return self\n"
        "    def transform(self, X):\n        return X * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import shop_features
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(shop_features.Doubler(), LogisticRegression()).fit(FRAME, LABELS)
    logged = run.log_model(model, "model", input_example=FRAME[:5])
    assert logged.format == "skops"
    assert logged.package.code == ("shop_features.py",)
    with pytest.raises(UntrustedModelError, match=r"trust=\['shop_features.Doubler'\]"):
        back(store, logged, trust="restricted")
    assert back(store, logged, trust=["shop_features.Doubler"]).check_example() == ""
    assert back(store, logged).check_example() == "", "its author signed it"


# ------------------------------------------------------------------------------------------------------------- arrays


def test_numpy_arrays_round_trip_as_safetensors(store, run):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], np.int8), "t": np.arange(6).reshape(2, 3).T}
    logged = run.log_model(arrays, "net")
    assert logged.format == "safetensors"
    for found in (back(store, logged).model, safetensors.load(logged.package.read("weights/model.safetensors"))):
        assert {name: (array.dtype, array.tolist()) for name, array in found.items()} == {
            name: (array.dtype, array.tolist()) for name, array in arrays.items()
        }


def test_one_array_comes_back_as_one_array(store, run):
    pytest.importorskip("safetensors")
    logged = run.log_model(np.arange(3.0), "weights")
    assert back(store, logged).model.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(InvalidTypeError, match="weights predict nothing"):
        back(store, logged).predict([[1.0]])


def test_arrays_of_objects_are_not_safetensors(store, run):
    logged = run.log_model({"w": np.array([None, "a"], object)}, "odd")
    assert logged.format == "cloudpickle"
    with pytest.raises(InvalidTypeError, match="cannot be stored as safetensors"):
        run.log_model({"w": np.array([None], object)}, "odd", format="safetensors")


def test_torch_module_gives_its_weights_and_fills_one_like_it(store, run):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")

    def build():
        return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(0.5), torch.nn.Linear(3, 2))

    net = build()
    logged = run.log_model(net, "net", input_example=FRAME.to_numpy(np.float32)[:5])
    assert logged.format == "safetensors"
    assert net.training, "looking at the example does not leave the module in another mode"
    assert set(back(store, logged).model) == set(net.state_dict())
    filled = back(store, logged, into=build())
    assert filled.check_example() == ""
    with pytest.raises(InvalidTypeError, match="do not fit"):
        back(store, logged, into=torch.nn.Linear(4, 3))
    with pytest.raises(InvalidTypeError, match="into="):
        back(store, logged, into=object())


def test_tied_weights_are_kept_once_and_come_back_tied(store, run):
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    shared = torch.arange(1000.0)
    logged = run.log_model({"a": shared, "b": shared, "head": shared[:10]}, "tied")
    found = back(store, logged).model
    assert found["a"].data_ptr() == found["b"].data_ptr()
    assert found["head"].tolist() == list(range(10))
    assert logged.package.tree["weights/model.safetensors"].size < 1.5 * 4000


# ----------------------------------------------------------------------------------------------------- boosted trees


@pytest.mark.parametrize("kind", ["XGBClassifier", "XGBRegressor"])
def test_xgboost_round_trips_as_its_own_json(store, run, kind):
    xgboost = pytest.importorskip("xgboost")
    model = getattr(xgboost, kind)(n_estimators=3).fit(FRAME, LABELS)
    loaded = assert_round_trip(store, run, model, kept_as="xgboost")
    assert json.loads(loaded.package.read("weights/xgboost.json"))["learner"]


def test_xgboost_booster_round_trips(store, run):
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.train({}, xgboost.DMatrix(FRAME, LABELS), 3)
    assert_round_trip(store, run, booster, kept_as="xgboost")


def test_lightgbm_round_trips_as_its_own_text(store, run):
    lightgbm = pytest.importorskip("lightgbm")
    words = LABELS.map({0: "no", 1: "yes"})
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(FRAME, words)
    loaded = assert_round_trip(store, run, model, kept_as="lightgbm")
    assert loaded.predict(FRAME).tolist() == model.predict(FRAME).tolist()
    assert np.allclose(loaded.predict_proba(FRAME), model.predict_proba(FRAME))
    assert loaded.model.get_params() == model.get_params()
    assert loaded.model.classes_.tolist() == ["no", "yes"]
    assert loaded.package.read("weights/model.txt").startswith(b"tree\n")


@pytest.mark.parametrize("kind", ["LGBMRegressor", "Booster"])
def test_lightgbm_regressor_and_booster_round_trip(store, run, kind):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(FRAME, LABELS)
    assert_round_trip(store, run, model if kind == "LGBMRegressor" else model.booster_, kept_as="lightgbm")


def test_catboost_round_trips_as_cbm(store, run):
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False).fit(FRAME, LABELS)
    assert_round_trip(store, run, model, kept_as="catboost")


# ------------------------------------------------------------------------------------------------------- neural nets


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_round_trips(store, run, keras):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    assert_round_trip(store, run, model, FRAME.to_numpy(np.float32)[:5], kept_as="keras")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_lambda_is_refused_at_load(store, run, keras):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    logged = run.log_model(model, "net")
    with pytest.raises(UntrustedModelError, match="Lambda"):
        back(store, logged)


@pytest.mark.parametrize(
    "item",
    [
        {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
        {"module": "os", "class_name": "function", "config": "system", "registered_name": None},
        {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"module": "gASVLg"}},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp/program"}},
        {"module": "keras.layers", "class_name": "JaxLayer", "config": {}},
        {"module": None, "class_name": "Mine", "config": {}, "registered_name": "shop>Mine"},
        {"module": "keras.src.legacy.saving.serialization", "class_name": "function", "config": "x"},
    ],
)
def test_keras_archive_may_name_building_blocks_of_keras_only(tmp_path, item):
    from modelmgmt.models.formats.keras import foreign_names

    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"layers": [{"config": [item]}]}))
    assert foreign_names(tmp_path)


def test_onnx_round_trips(store, run):
    pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    data = FRAME.to_numpy(np.float32)
    graph = to_onnx(LogisticRegression().fit(data, LABELS), data[:1], options={"zipmap": False})
    loaded = assert_round_trip(store, run, graph, data[:5], kept_as="onnx")
    assert loaded.predict(data, method="predict_proba").shape == (60, 2)


def external_tensor(onnx, location):
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


@pytest.mark.parametrize("location", ["../../etc/passwd", "secret.bin", "model.onnx.data"])
@pytest.mark.parametrize("depth", [0, 2])
def test_onnx_tensors_inside_of_nodes_may_not_read_other_files_either(tmp_path, location, depth):
    onnx = pytest.importorskip("onnx")
    from modelmgmt.models.packaging.files import FolderFiles

    make, number = onnx.helper, onnx.TensorProto.FLOAT
    output = make.make_tensor_value_info("y", number, [1])
    graph = make.make_graph(
        [make.make_node("Constant", [], ["y"], value=external_tensor(onnx, location))], "g", [], [output]
    )
    for _ in range(depth):
        yes = make.make_tensor("yes", onnx.TensorProto.BOOL, [], [True])
        nodes = [
            make.make_node("Constant", [], ["c"], value=yes),
            make.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph),
        ]
        graph = make.make_graph(nodes, "g", [], [output])
    (tmp_path / "model.onnx").write_bytes(make.make_model(graph).SerializeToString())
    with pytest.raises(CorruptDataError, match="of its package is its own"):
        formats.get("onnx").load(FolderFiles(tmp_path), {}, None)


def test_onnx_graph_may_not_read_other_files(store, run, tmp_path):
    onnx = pytest.importorskip("onnx")
    from modelmgmt.models.packaging.files import FolderFiles

    tensor = external_tensor(onnx, "../../etc/passwd")
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [output], initializer=[tensor])
    (tmp_path / "model.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(CorruptDataError, match="etc/passwd"):
        formats.get("onnx").load(FolderFiles(tmp_path), {}, None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_hugging_face_models_and_folders_round_trip(store, run, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20
    )
    model = transformers.BertForSequenceClassification(config).eval()
    loaded = assert_round_trip(store, run, model, {"input_ids": np.ones((2, 3), np.int64)}, kept_as="huggingface")
    loaded.model.save_pretrained(tmp_path / "bert")
    again = back(store, run.log_model(tmp_path / "bert", "folder"))
    ids = torch.ones((1, 3), dtype=torch.int64)
    assert torch.allclose(again.model(ids).logits, model(ids).logits, atol=1e-6)
    assert again.package.class_name == "transformers.BertForSequenceClassification"
    (tmp_path / "bert" / "pytorch_model.BIN").write_bytes(b"\x80\x04N.")
    with pytest.raises(InvalidTypeError, match=r"pytorch_model.BIN"):
        run.log_model(tmp_path / "bert", "folder", format="huggingface")


@pytest.mark.parametrize(
    "asked",
    [
        {"_attn_implementation": "somebody/kernel"},
        {"text_config": {"attn_implementation": {"": "eager", "vision": "somebody/kernel"}}},
        {"experts_implementation": 3},
    ],
)
def test_hugging_face_folders_may_not_ask_for_programs_from_elsewhere(tmp_path, asked):
    pytest.importorskip("transformers")
    from modelmgmt.models.packaging.files import FolderFiles

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **asked}))
    with pytest.raises(CorruptDataError, match="not part of transformers"):
        formats.get("huggingface").load(FolderFiles(tmp_path), {"class": "BertModel"}, None)


# ------------------------------------------------------------------------------------------------- objects, functions


def test_function_round_trips_as_cloudpickle_signed_by_oneself(store, run):
    offset = 3.0
    logged = run.log_model(lambda X: X.sum(axis=1) + offset, "function", input_example=FRAME[:5])
    assert logged.format == "cloudpickle"
    assert logged.package.executes
    assert back(store, logged).check_example() == ""
    with pytest.raises(UntrustedModelError):
        back(store, logged, trust=False)


def test_plain_objects_come_through_the_restricted_reader(store, run):
    logged = run.log_model({"coef": [0.5, 1.5]}, "plain", format="cloudpickle")
    assert back(store, logged, trust="restricted").model == {"coef": [0.5, 1.5]}


def test_unsigned_pickle_is_refused_with_the_ways_on(store, run):
    logged = run.log_model(len, "function")
    with store._kernel.database.writing() as connection:
        connection.execute("DELETE FROM signatures")
    with pytest.raises(UntrustedModelError, match="it is not signed"):
        back(store, logged)
    assert back(store, logged, trust=f"sha256:{logged.digest}").model is len
    assert back(store, logged, trust=True).model is len


@pytest.mark.parametrize("model", [(x for x in ()), threading.Lock(), sqlite3.connect(":memory:")])
def test_what_can_not_be_pickled_is_refused_and_nothing_is_kept(store, run, model):
    with pytest.raises(InvalidTypeError, match="cannot be pickled"):
        run.log_model(model, "odd")
    assert run.artifacts == {}
    assert list((store.path / "tmp").glob("pack-*")) == []


def test_model_whose_reduce_raises_is_refused_with_its_words(store, run):
    class Bad:
        def __reduce__(self):
            raise RuntimeError("never pickle me")

    with pytest.raises(InvalidTypeError, match="never pickle me"):
        run.log_model(Bad(), "bad")


def test_asking_for_a_format_that_can_not_hold_it_is_refused(store, run):
    with pytest.raises(InvalidTypeError, match="cannot be stored as xgboost"):
        run.log_model({"a": 1}, "odd", format="xgboost")
    with pytest.raises(InvalidValueError, match=r"no model format 'pickle'.*cloudpickle"):
        run.log_model({"a": 1}, "odd", format="pickle")


def test_class_of_a_script_travels_in_the_pickle(store, tmp_path):
    script = """
        import modelmgmt as mm, sys
        class Net:
            def predict(self, X):
                return [row[0] * 2 for row in X.tolist()]
        with mm.Store(sys.argv[1]).start_run("script", name="one") as run:
            print(run.log_model(Net(), "net", input_example=[[1.0], [2.0]]).reference)
    """
    (tmp_path / "train.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-W", "error", "train.py", store.path], capture_output=True, text=True, check=True
    )
    loaded = mm.load_model(done.stdout.strip(), store=store)
    assert loaded.check_example() == ""
    assert loaded.predict([[4.0]]) == [8.0]
