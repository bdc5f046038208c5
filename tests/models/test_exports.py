"""Models out and in again: each export is read by its own tool, and no bundle gets anything past the manifest."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import stat
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import estimators

import modelmgmt as mm
from modelmgmt.errors import BundleError, InvalidNameError, InvalidValueError, NotFoundError, UntrustedModelError
from modelmgmt.models.exports import mlflow as exported
from modelmgmt.models.exports import mlflow_loader
from modelmgmt.models.exports.mlflow import yaml
from modelmgmt.models.packaging.example import difference

FRAME = pd.DataFrame(np.random.default_rng(0).random((60, 4)), columns=list("abcd"))
LABELS = (FRAME.a + FRAME.b > 1).astype(int)


class Mean:
    def predict(self, X):
        return np.full(len(X), 2.0)


@pytest.fixture
def logged(store):
    with store.start_run("models") as run:
        yield run.log_model({"w": np.arange(4.0)}, "net", description="weights", register_as="net")


@pytest.fixture
def other(tmp_path):
    with mm.Store(tmp_path / "other") as other:
        yield other


@pytest.fixture
def fitted(store):
    pytest.importorskip("skops")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, LABELS)
    with store.start_run("models") as run:
        return run.log_model(model, "classifier", input_example=FRAME[:5], register_as="churn")


# -------------------------------------------------------------------------------------------------------------- bundles


def test_bundle_goes_to_another_store(store, logged, other, tmp_path):
    pytest.importorskip("safetensors")
    path = store.export_model("net:1", tmp_path / "net.zip")
    version = other.import_model(path)
    assert (version.reference, version.digest, version.run) == ("net:1", logged.digest, None)
    assert version.description == "weights"
    assert mm.load_model("net:1", store=other).model["w"].tolist() == [0, 1, 2, 3]
    assert other.check(deep=True) == []
    other.gc(grace_s=0)
    assert other.import_model(path, "again").reference == "again:1"
    assert other.import_model(path).number == 2


def test_bundle_takes_the_name_of_the_model_it_was_exported_from(store, fitted, other, tmp_path):
    path = store.export_model("churn@latest", tmp_path / "churn.zip")
    assert other.import_model(path).reference == "churn:1"
    assert other.import_model(path).reference == "churn:2"
    assert other.import_model(path, "copy").reference == "copy:1"
    of_run = store.export_model(fitted.reference, tmp_path / "run.zip")
    assert other.import_model(of_run).reference == "classifier:1"


def test_bundle_without_the_name_of_a_model_is_read_as_before(store, fitted, other, tmp_path):
    """As they were written first."""
    path = store.export_model("churn:1", tmp_path / "churn.zip")

    def nameless(data):
        head = json.loads(data)
        assert head.pop("model") == "churn"
        assert head.pop("exported")["reference"] == "churn:1"
        assert head.keys() == {"format", "package", "name"}
        return json.dumps(head).encode()

    old = rebuilt(path, tmp_path / "old.zip", replaced("bundle.json", nameless))
    assert other.import_model(old).reference == "classifier:1"


def test_same_package_gives_the_same_bundle(store, logged, tmp_path):
    one, two = (store.export_model("net:1", tmp_path / name).read_bytes() for name in ("1.zip", "2.zip"))
    assert one == two


def test_signature_travels_and_trust_does_not(store, other, tmp_path, monkeypatch):
    with store.start_run("models") as run:
        logged = run.log_model(Mean(), "mean")
    path = store.export_model(logged.reference, tmp_path / "mean.zip")
    other.import_model(path)
    assert mm.load_model("mean:1", store=other, cached=False).predict([[1]]).tolist() == [2.0]  # one's own key
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "somebody-else"))
    with pytest.raises(UntrustedModelError, match="a key that you do not trust"):
        mm.load_model("mean:1", store=other, cached=False)


def test_what_exists_is_not_written_over(store, logged, tmp_path):
    (tmp_path / "net.zip").write_text("mine")
    for kind in ("bundle", "mlflow", "onnx"):
        with pytest.raises(InvalidValueError, match="exists"):
            store.export_model("net:1", tmp_path / "net.zip", kind)
    with pytest.raises(InvalidValueError, match="bundle, mlflow, onnx"):
        store.export_model("net:1", tmp_path / "x", "pickle")
    assert (tmp_path / "net.zip").read_text() == "mine"


def test_damaged_model_is_not_exported(store, logged, tmp_path):
    path = store._kernel.objects.path(logged.package.tree["weights/model.safetensors"].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(OSError, match="does not contain the bytes that were put"):
        store.export_model("net:1", tmp_path / "net.zip")
    assert not [found for found in tmp_path.iterdir() if found.suffix in {".zip", ".part"}]


def rebuilt(source: Path, target: Path, change) -> Path:
    """The bundle, with its members changed: `change(members)` works on a list of [ZipInfo, data]."""
    with zipfile.ZipFile(source) as archive:
        members = [[info, archive.read(info)] for info in archive.infolist()]
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for info, data in members:
            archive.writestr(info, data)
    return target


def named(members, name):
    return next(member for member in members if member[0].filename == name)


def extra(name, data=b"evil", **attributes):
    info = zipfile.ZipInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return lambda members: members.append([info, data])


def in_tree(old, new):
    """Another path in the manifest, and the member with it."""

    def change(members):
        tree = named(members, "tree.json")
        content = json.loads(tree[1])
        content["entries"][new] = content["entries"].pop(old)
        tree[1] = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        named(members, f"files/{old}")[0].filename = f"files/{new}"

    return change


def with_mode(mode):
    def change(members):
        tree = named(members, "tree.json")
        content = json.loads(tree[1])
        content["entries"]["requirements.txt"]["mode"] = mode
        tree[1] = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()

    return change


def compressed(members):
    member = named(members, "files/model.json")
    member[0].compress_type = zipfile.ZIP_DEFLATED
    member[1] = b"0" * (50 << 20)


def replaced(name, data):
    def change(members):
        named(members, name)[1] = data(named(members, name)[1]) if callable(data) else data

    return change


HOSTILE = {
    "above": extra("../evil"),
    "above in files": extra("files/../../evil"),
    "absolute": extra("/tmp/evil"),
    "drive": extra("C:\\evil"),
    "unnamed file": extra("files/weights/evil.pkl"),
    "symbolic link": extra("files/link", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16),
    "device": extra("files/null", b"", external_attr=(stat.S_IFCHR | 0o666) << 16),
    "pipe": extra("files/pipe", b"", external_attr=(stat.S_IFIFO | 0o666) << 16),
    "folder": extra("files/folder/", b""),
    "manifest goes above": in_tree("requirements.txt", "../requirements.txt"),
    "manifest is absolute": in_tree("requirements.txt", "/requirements.txt"),
    "manifest has a link": with_mode("link"),
    "manifest has a strange mode": with_mode("setuid"),
    "bomb": compressed,
    "other weights": replaced("files/weights/model.safetensors", lambda data: data[:-1] + b"\x01"),
    "shorter": replaced("files/model.json", lambda data: data[:-1]),
    "longer": replaced("files/model.json", lambda data: data + b" "),
    "missing": lambda members: members.remove(named(members, "files/model.json")),
    "no manifest": lambda members: members.remove(named(members, "tree.json")),
    "manifest is junk": replaced("tree.json", b"{"),
    "head is junk": replaced("bundle.json", b"[" * 100_000),
    "name of no model": replaced("bundle.json", lambda data: data.replace(b'"model": "net"', b'"model": "a/b"')),
    "name is a list": replaced("bundle.json", lambda data: data.replace(b'"model": "net"', b'"model": ["net"]')),
    "name is empty": replaced("bundle.json", lambda data: data.replace(b'"model": "net"', b'"model": ""')),
    "head of a later version": replaced("bundle.json", b'{"format": "modelmgmt.bundle/2"}'),
    "another digest": replaced("bundle.json", lambda data: data.replace(b'"package": "', b'"package": "0')),
    "no digest": replaced("bundle.json", lambda data: data.replace(b'"package": ', b'"pakage": ')),
    "digest is a list": replaced("bundle.json", lambda data: data.replace(b'"package": ', b'"package": [], "x": ')),
    "signatures are junk": replaced("signatures.json", b'[{"package": "x"}]'),
    "signature of another": replaced("signatures.json", lambda data: data.replace(b'"package": "', b'"package": "0')),
    "signature forged": replaced("signatures.json", lambda data: data.replace(b'"signed_at": "2', b'"signed_at": "1')),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bundle_is_refused_and_nothing_is_left(store, logged, other, tmp_path, kind):
    sound = store.export_model("net:1", tmp_path / "sound.zip")
    hostile = rebuilt(sound, tmp_path / "hostile.zip", HOSTILE[kind])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BundleError):
        other.import_model(hostile)
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/tmp/evil").exists()
    assert list(other.models) == []
    assert list(other._kernel.objects.digests()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(store, logged, other, tmp_path):
    sound = store.export_model("net:1", tmp_path / "sound.zip")
    with pytest.raises(BundleError, match=r"two members 'files/model\.json'"):
        other.import_model(rebuilt(sound, tmp_path / "twice.zip", extra("files/model.json")))


def test_members_that_share_their_bytes_are_refused(store, logged, other, tmp_path):
    """As overlapping archives do, to be larger inside than outside."""
    big = b"0" * 1_000_000
    path = tmp_path / "overlap.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bundle.json", b"{}")
        archive.writestr("a", big)
        first = archive.getinfo("a")
        for number in range(200):
            copy = zipfile.ZipInfo(f"m{number}")
            copy.header_offset, copy.CRC = first.header_offset, first.CRC
            copy.file_size = copy.compress_size = len(big)
            archive.filelist.append(copy)
        archive._didModify = True
    with pytest.raises(BundleError, match="members overlap"):
        other.import_model(path)


def test_what_is_no_bundle_is_refused(other, tmp_path):
    with pytest.raises(NotFoundError, match="no file"):
        other.import_model(tmp_path / "nothing.zip")
    (tmp_path / "junk.zip").write_bytes(b"junk")
    with pytest.raises(BundleError, match="not a model bundle"):
        other.import_model(tmp_path / "junk.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(BundleError, match=r"no bundle\.json"):
        other.import_model(tmp_path / "other.zip")


def test_name_that_no_reference_could_have_is_refused(store, logged, other, tmp_path):
    path = store.export_model("net:1", tmp_path / "net.zip")
    with pytest.raises(InvalidNameError):
        other.import_model(path, "a/b")
    assert list(other._kernel.objects.digests()) == []


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_flipped_byte_anywhere_in_a_bundle_is_refused_or_harmless(store, logged, other, tmp_path, data):
    sound = tmp_path / "sound.zip"
    if not sound.exists():
        store.export_model("net:1", sound)
    content = bytearray(sound.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "flipped.zip").write_bytes(content)
    try:
        version = other.import_model(tmp_path / "flipped.zip", "flipped")
    except BundleError:
        return
    assert version.digest == logged.digest
    assert mm.load_model(version.reference, store=other).model["w"].tolist() == [0, 1, 2, 3]


# --------------------------------------------------------------------------------------------------------------- MLflow


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of its import
def test_mlflow_loads_what_was_exported(store, fitted, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    folder = store.export_model("churn@latest", tmp_path / "folder", "mlflow")
    model = mlflow.pyfunc.load_model(str(folder))
    expected = mm.load_model(fitted.reference, store=store).predict(FRAME)
    assert model.predict(FRAME).tolist() == expected.tolist()
    assert model.metadata.signature.inputs.input_names() == list("abcd")
    assert model.metadata.run_id == fitted.run
    with pytest.raises(mlflow.exceptions.MlflowException, match="c"):
        model.predict(FRAME[["a", "b", "d"]])


def test_mlflow_export_needs_no_mlflow(store, fitted, tmp_path):
    code = (
        "import sys, modelmgmt as mm; mm.Store(sys.argv[1]).export_model('churn:1', sys.argv[2], 'mlflow'); "
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, store.path, tmp_path / "m"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


@pytest.fixture
def unchecked(monkeypatch):
    """No new process: these tests read the folder themselves."""
    monkeypatch.setattr(exported, "_check", lambda folder: None)


OF_MANY_KINDS = [("composed", "texts"), ("project", "project: transformer of columns"), ("alone", "DictVectorizer")]
MORE_KINDS = [
    ("composed", name) for name in (
        "grid search", "mappings", "mappings, searched", "texts in a column", "texts, counted", "target by a function",
        "outputs, classes", "only a preprocessor", "random search", "frames between steps", "stack",
    )
] + [
    ("composed", "categories"), ("inputs", "LogisticRegression on csc_array"), ("alone", "TfidfVectorizer"),
    ("alone", "LabelEncoder"), ("alone", "IsotonicRegression"), ("alone", "DBSCAN"),
    ("alone", "NearestNeighbors"), ("inputs", "SVC on csr_matrix"), ("inputs", "Ridge on nullable"),
    ("project", "project: function"), ("project", "project: model alone"), ("project", "project: step of another base"),
    ("xgboost", "XGBClassifier in a pipeline"), ("xgboost", "xgboost missing"), ("lightgbm", "lightgbm categories"),
    ("lightgbm", "LGBMRegressor in a search of a pipeline"), ("catboost", "CatBoostRegressor in a pipeline"),
]  # fmt: skip


def logged_case(store, group, name):
    """A model of the sweep over all estimators, its answer, and the case."""
    pytest.importorskip("skops")
    pytest.importorskip("xgboost" if group not in ("lightgbm", "catboost") else group)
    case = next(case for case in estimators.GROUPS[group]() if case.name == name)
    model = case.fit()
    with store.start_run("models") as run:
        logged = run.log_model(model, "model", input_example=case.X[:8])
    method = next((method for method in ("predict", "transform") if hasattr(model, method)), None)
    return logged, case, None if method is None else getattr(model, method)(case.X)


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize(
    ("group", "name"), [*OF_MANY_KINDS, *(pytest.param(*kind, marks=pytest.mark.long) for kind in MORE_KINDS)]
)
def test_mlflow_says_what_a_model_of_any_kind_says(store, tmp_path, project, group, name):
    mlflow = pytest.importorskip("mlflow")
    logged, case, expected = logged_case(store, group, name)
    folder = store.export_model(logged.reference, tmp_path / "folder", "mlflow")
    model = mlflow.pyfunc.load_model(str(folder))
    if expected is not None:
        assert estimators.unlike(estimators._plain(expected), estimators._plain(model.predict(case.X))) == []


@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_mlflow_folder_that_a_new_process_cannot_load_is_not_written(store, tmp_path, project):
    import shop_steps

    model = shop_steps.Nearest().fit(FRAME.to_numpy(), LABELS.to_numpy())
    with store.start_run("models") as run:
        logged = run.log_model(model, "near", input_example=FRAME.to_numpy()[:5], code=False)
    with pytest.raises(InvalidValueError, match=r"new process .* failed .*shop_steps"):
        store.export_model(logged.reference, tmp_path / "folder", "mlflow")
    assert not (tmp_path / "folder").exists()


@pytest.mark.filterwarnings("ignore")  # of the code, which differs
@pytest.mark.parametrize("kind", ["skops", "cloudpickle"])
def test_folders_of_two_versions_of_a_module_are_loaded_together(store, tmp_path, project, unchecked, kind):
    from sklearn.preprocessing import FunctionTransformer

    folders = []
    for high in ("1.0", "0.5", "0.25"):
        source = estimators.PROJECT.replace("high=1.0", f"high={high}")
        (tmp_path / "project" / "shop_steps.py").write_text(source)
        sys.modules.pop("shop_steps", None)
        importlib.invalidate_caches()
        import shop_steps

        with store.start_run("models") as run:
            model = FunctionTransformer(shop_steps.bounded).fit(FRAME.to_numpy())
            logged = run.log_model(model, "bounded", input_example=FRAME.to_numpy()[:5], format=kind)
        folders.append(store.export_model(logged.reference, tmp_path / high, "mlflow"))
    models = [mlflow_loader._load_pyfunc(str(folder / "package")) for folder in folders]
    assert [model.predict(FRAME.to_numpy()).max() for model in models] == [FRAME.to_numpy().max(), 0.5, 0.25]
    assert sys.modules["shop_steps"] is shop_steps


class HereOnly:
    """Answers by the process that asks."""

    def predict(self, X):
        return np.full(len(X), float(os.environ.get("MODELMGMT_TEST_IS_HERE", "0") == "1"))


class Drawn:
    def predict(self, X):
        return np.random.default_rng().random(len(X))


@pytest.mark.filterwarnings("ignore")  # of the code that is left out
def test_mlflow_folder_that_answers_otherwise_is_not_written(store, tmp_path, monkeypatch):
    with store.start_run("models") as run:
        monkeypatch.setenv("MODELMGMT_TEST_IS_HERE", "1")
        logged = run.log_model(HereOnly(), "here", input_example=FRAME)
        drawn = run.log_model(Drawn(), "drawn", input_example=FRAME)
    monkeypatch.delenv("MODELMGMT_TEST_IS_HERE")
    with pytest.raises(InvalidValueError, match="it answers otherwise: 60 of 60 values differ"):
        store.export_model(logged.reference, tmp_path / "folder", "mlflow")
    assert not (tmp_path / "folder").exists()
    store.export_model(drawn.reference, tmp_path / "drawn", "mlflow")  # never says the same twice


def test_vendored_wheel_is_installed_without_a_network_and_loads_the_model(store, fitted, tmp_path, unchecked):
    folder = store.export_model("churn:1", tmp_path / "folder", "mlflow", vendor=True)
    [wheel] = [line for line in (folder / "requirements.txt").read_text().splitlines() if "modelmgmt" in line]
    assert wheel == f"wheels/modelmgmt-{mm.__version__}-py3-none-any.whl"
    assert f"- {wheel}" in (folder / "conda.yaml").read_text()
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps", wheel]
    subprocess.run([*command, "--disable-pip-version-check"], cwd=folder, check=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site / "others.pth").write_text(
        f"{Path(pd.__file__).parent.parent}\n"
    )  # all that this library needs, but not itself
    code = (
        "import sys, modelmgmt, numpy as np; from modelmgmt.models.exports.mlflow_loader import _load_pyfunc; "
        "model = _load_pyfunc(sys.argv[1]); from modelmgmt.models.packaging import example; "
        "data = example.read('input.table.json', open(sys.argv[1] + '/example/input.table.json', 'rb').read()); "
        "print(modelmgmt.__file__, *model.predict(data))"
    )
    run = [python, "-c", code, folder / "package"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path, env={"HOME": str(tmp_path)})
    file, *answers = done.stdout.split()
    assert Path(file).is_relative_to(site)
    expected = mm.load_model("churn:1", store=store).predict(FRAME[:5])
    assert list(map(int, answers)) == expected.tolist()
    if subprocess.run([python, "-m", "zipfile", "-t", folder / wheel], check=False).returncode:
        pytest.fail("the wheel is damaged")


def test_same_library_gives_the_same_wheel(store, fitted, tmp_path):
    from modelmgmt.models.exports.wheel import write_wheel

    one, two = (write_wheel(tmp_path / name) for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        names = archive.namelist()
        record = archive.read(next(name for name in names if name.endswith("/RECORD"))).decode().splitlines()
    assert [line.partition(",")[0] for line in record] == names
    with pytest.raises(InvalidValueError, match="the kind 'bundle' was given"):
        store.export_model("churn:1", tmp_path / "x.zip", vendor=True)


@pytest.mark.parametrize(
    "example", [np.ones((3, 2), np.float32), {"ids": np.ones((2, 3), np.int64)}, pd.DataFrame({"t": ["a"], "n": [1]})]
)
@pytest.mark.filterwarnings("ignore")  # MLflow's own, of its import
def test_mlflow_reads_signatures_of_every_kind(store, tmp_path, example, unchecked):
    models = pytest.importorskip("mlflow.models")
    with store.start_run("models") as run:
        logged = run.log_model(lambda X: np.ones(1), "any", input_example=example)
    folder = store.export_model(logged.reference, tmp_path / "folder", "mlflow")
    read = models.Model.load(str(folder))
    assert read.signature is not None
    assert len(read.signature.inputs) == (len(example.columns) if hasattr(example, "columns") else 1)


def test_mlflow_folder_with_a_changed_file_is_not_loaded(store, fitted, tmp_path, unchecked):
    from modelmgmt.models.exports.mlflow_loader import _load_pyfunc

    folder = store.export_model("churn:1", tmp_path / "folder", "mlflow")
    weights = folder / "package" / "weights" / "model.skops"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(OSError, match="not what was exported"):
        _load_pyfunc(str(folder / "package"))


def test_executable_model_is_exported_for_those_who_trust_it_only(store, tmp_path, monkeypatch, unchecked):
    with store.start_run("models") as run:
        logged = run.log_model(Mean(), "mean")
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "somebody-else"))
    with pytest.raises(UntrustedModelError):
        store.export_model(logged.reference, tmp_path / "folder", "mlflow")
    assert not (tmp_path / "folder").exists()
    store.export_model(logged.reference, tmp_path / "folder", "mlflow", trust=True)


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
trees = st.recursive(
    leaves
    | st.sampled_from(["no", "1", "null", "~", "a: b", "- x", "#", "2020-01-01", "1e5", "0x10", "y", "=", ".inf"]),
    lambda inner: st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=6), trees | st.lists(leaves, max_size=3), max_size=4))
def test_yaml_is_read_as_what_was_written(content):
    parser = pytest.importorskip("yaml")
    assert (parser.safe_load(yaml(content)) or {}) == content


# ----------------------------------------------------------------------------------------------------------------- ONNX


def test_onnx_says_what_the_model_says(store, fitted, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    path = store.export_model(fitted.reference, tmp_path / "model.onnx", "onnx")
    session = runtime.InferenceSession(path)
    columns = {name: FRAME[name].to_numpy()[:, None] for name in FRAME}
    labels, probabilities = session.run(None, columns)
    model = mm.load_model(fitted.reference, store=store)
    assert labels.tolist() == model.predict(FRAME).tolist()
    assert np.allclose(probabilities, model.predict_proba(FRAME), atol=1e-5)


def test_onnx_that_differs_is_refused(store, tmp_path, monkeypatch):
    pytest.importorskip("skl2onnx")
    pytest.importorskip("skops")
    from sklearn.linear_model import LinearRegression

    from modelmgmt.models.exports import onnx

    model = LinearRegression().fit(FRAME.to_numpy(), LABELS)
    with store.start_run("models") as run:
        logged = run.log_model(model, "line", input_example=FRAME.to_numpy()[:5])
    monkeypatch.setattr(onnx.graphs, "predict", lambda *_: np.zeros((5, 1)))
    with pytest.raises(InvalidValueError, match="predicts something else than the model"):
        store.export_model(logged.reference, tmp_path / "model.onnx", "onnx")
    assert not (tmp_path / "model.onnx").exists()


ONNX_KINDS = [
    ("composed", "frames between steps"), ("composed", "union of selections"), ("composed", "clusters behind a scaler"),
    ("composed", "stack, passthrough"), ("alone", "StandardScaler"), ("alone", "LabelEncoder"), ("alone", "LinearSVC"),
    ("inputs", "SVC on csr_matrix"), ("inputs", "LogisticRegression on csc_array"),
    ("inputs", "RandomForestClassifier on float32"), ("project", "project: scorer"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize(("group", "name"), ONNX_KINDS)
def test_onnx_says_what_a_model_of_any_kind_says(store, tmp_path, project, group, name):
    pytest.importorskip("skl2onnx")
    onnx = pytest.importorskip("onnx")
    from modelmgmt.models.formats.onnx import predict

    logged, case, expected = logged_case(store, group, name)
    graph = onnx.load(store.export_model(logged.reference, tmp_path / "model.onnx", "onnx"))
    found = predict(graph, case.X.toarray() if hasattr(case.X, "toarray") else case.X, "predict")
    assert difference(expected, found.reshape(np.shape(expected)), relative=1e-3) == ""


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize(
    ("group", "name", "reason"),
    [
        ("composed", "mappings", "takes a list of mappings"),
        ("composed", "categories", "'k' is category"),
        ("composed", "grid search", "cannot convert this model"),
        ("composed", "grid search over steps", "cannot be run|cannot convert"),
        ("project", "project: model", "shop_steps.Nearest"),
        ("project", "project: step of another base", "Plain"),
        ("xgboost", "XGBRegressor in a pipeline", "cannot convert this model"),
        ("xgboost", "xgboost binary", "XGBClassifier"),
        ("alone", "DBSCAN", "has none of predict"),
    ],
)
def test_onnx_of_what_has_no_converter_says_why(store, tmp_path, project, group, name, reason):
    pytest.importorskip("skl2onnx")
    logged, *_ = logged_case(store, group, name)
    with pytest.raises(InvalidValueError, match=reason):
        store.export_model(logged.reference, tmp_path / "model.onnx", "onnx")
    assert not list(tmp_path.glob("*.onnx")) + list(tmp_path.glob("*.part"))


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("name", ["texts", "texts, counted", "texts in a column"])
def test_onnx_of_texts_agrees_or_says_why(store, tmp_path, name):
    """Whether onnxruntime folds letters depends on the locales of the machine."""
    pytest.importorskip("skl2onnx")
    logged, *_ = logged_case(store, "composed", name)
    try:
        store.export_model(logged.reference, tmp_path / "model.onnx", "onnx")
    except InvalidValueError:
        assert not list(tmp_path.glob("*.onnx"))


def test_onnx_of_what_can_not_be_converted_is_refused(store, logged, fitted, tmp_path):
    pytest.importorskip("skl2onnx")
    with pytest.raises(InvalidValueError, match="Only scikit-learn"):
        store.export_model("net:1", tmp_path / "model.onnx", "onnx")
    model = mm.load_model(fitted.reference, store=store).model
    with store.start_run("models") as run:
        bare = run.log_model(model, "bare")
    with pytest.raises(InvalidValueError, match="input_example"):
        store.export_model(bare.reference, tmp_path / "model.onnx", "onnx")


# --------------------------------------------------------------------------------------------------------- command line


def modelmgmt(*words, code=0):
    command = [sys.executable, "-W", "error", "-c", "from modelmgmt.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_export_and_import_by_command(store, logged, tmp_path):
    written = json.loads(modelmgmt("models", "export", "net:1", "net.zip", "--store", store.path, "--json"))
    assert written == {"path": str(tmp_path / "net.zip"), "kind": "bundle"}
    told = modelmgmt("models", "import", "net.zip", "--name", "copy", "--store", "other")
    assert told.startswith("copy:1 is in development: safetensors")
    again = json.loads(modelmgmt("models", "import", "net.zip", "--store", "other", "--json"))
    assert again["digest"] == logged.digest
    assert "exists" in modelmgmt("models", "export", "net:1", "net.zip", "--store", store.path, code=2)
    Path("junk.zip").write_bytes(os.urandom(100))
    assert "not a model bundle" in modelmgmt("models", "import", "junk.zip", "--store", "other", code=2)


def test_bundle_can_be_checked_by_hand(store, logged, tmp_path):
    """What the store's format promises: standard tools are enough."""
    path = store.export_model("net:1", tmp_path / "net.zip")
    with zipfile.ZipFile(path) as archive:
        tree = archive.read("tree.json")
        assert hashlib.sha256(tree).hexdigest() == logged.digest
        for name, entry in json.loads(tree)["entries"].items():
            assert hashlib.sha256(archive.read(f"files/{name}")).hexdigest() == entry["digest"]
