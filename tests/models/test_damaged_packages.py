"""Files of a format that are not what they say: each is named in a sentence, and nothing of it runs or grows."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from modelmgmt.errors import CorruptDataError, ModelmgmtError
from modelmgmt.models import formats
from modelmgmt.models.load import load_digest
from modelmgmt.models.packaging.package import SCHEMA, read_package
from modelmgmt.store.trees import Entry, Tree, Trees

FRAME = pd.DataFrame(np.random.default_rng(0).random((60, 4)), columns=list("abcd"))
LABELS = (FRAME.a + FRAME.b > 1).astype(int)


def npy(dtype, shape):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


EMPTY_SAFETENSORS = (8).to_bytes(8, "little") + b"{}      "


@pytest.mark.parametrize("name", ["keras", "onnx"])
def test_a_package_without_its_file_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    from modelmgmt.models.packaging.files import FolderFiles

    pytest.importorskip(name)
    with pytest.raises(CorruptDataError, match="has no file"):
        formats.get(name).load(FolderFiles(tmp_path), {}, None)


@pytest.mark.parametrize("state", [{}, {"booster": 1}, {"booster": {}, "attributes": {"_classes": 5}}])
def test_what_is_said_beside_the_trees_of_lightgbm_is_checked(state):
    lightgbm = pytest.importorskip("lightgbm")
    from modelmgmt.models.formats.lightgbm import FILE, load

    class Held:
        def read(self, name):
            data = lightgbm.Dataset(FRAME.to_numpy(), LABELS)
            model = lightgbm.train({"verbose": -1}, data, 1).model_to_string()
            return (model if name == FILE else json.dumps({"attributes": {}, **state})).encode()

    with pytest.raises(CorruptDataError, match=r"wrapper\.json"):
        load(Held(), {"class": "LGBMClassifier"}, None)


@pytest.mark.parametrize("trust", [None, False, "restricted", ["os.system", "posix.system"]])
@pytest.mark.parametrize("code", [{}, {"code/zz_hostile.py": b"import pathlib; pathlib.Path('ran').touch()"}])
@pytest.mark.parametrize("name", formats.NAMES)
@pytest.mark.filterwarnings("ignore")  # of the libraries themselves, of what they are given here
def test_a_pickle_under_the_name_of_any_format_never_runs(store, tmp_path, monkeypatch, name, code, trust):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.chdir(tmp_path)
    payload = pickle.dumps(Touch())
    file = getattr(formats.get(name), "FILE", "config.json")
    content = {"schema": SCHEMA, "name": "x", "format": name, "executes": False, "class": "x", "requirements": 5}
    content |= {"options": {"class": "BertModel"}, "example": {"input": "example/input.pkl"}}
    files = {
        "model.json": json.dumps(content).encode(),
        f"weights/{file}": payload,
        "example/input.pkl": payload,
        **code,
    }
    entries = {path: Entry(store._kernel.objects.put_bytes(data).digest, len(data)) for path, data in files.items()}
    digest = Trees(store._kernel.objects).put(Tree(entries))
    with pytest.raises(ModelmgmtError):
        load_digest(store._kernel, digest, trust=trust, cached=False)
    with pytest.raises(CorruptDataError):
        _ = read_package(store._kernel, digest).example
    assert not (tmp_path / "ran").exists()


class Touch:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(("name", "inside"), [("skops", "schema.json"), ("keras", "config.json")])
@pytest.mark.parametrize("kind", ["bomb", "twice", "above", "link"])
def test_archives_are_looked_at_before_a_library_unpacks_them(tmp_path, monkeypatch, name, inside, kind):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    from modelmgmt.models.packaging.files import FolderFiles

    pytest.importorskip(name)
    found = formats.get(name)
    with zipfile.ZipFile(tmp_path / found.FILE, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name that is there twice
        archive.writestr(inside, bytes(100 << 20) if kind == "bomb" else b"{}")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        other = {"bomb": "a", "twice": inside, "above": "../evil", "link": link}[kind]
        archive.writestr(other, b"/etc/passwd")
    with pytest.raises(CorruptDataError, match="not an archive of a model"):
        found.load(FolderFiles(tmp_path), {}, None)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("input.npz", b"junk"),
        (
            "input.npy",
            b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 60,), }",
        ),
        ("input.npy", npy("<f8", (1 << 58,))),
        ("input.npy", npy("|O", (1,)) + b"cos\nsystem\n(S'true'\ntR."),
        ("input.pkl", b"cos\nsystem\n(S'true'\ntR."),
    ],
)
def test_examples_that_are_junk_or_bombs(name, data):
    from modelmgmt.models.packaging import example

    with pytest.raises(CorruptDataError):
        example.read(name, data)


def test_an_example_that_is_a_bomb():
    from modelmgmt.models.packaging import example

    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(20_000_000))
    with pytest.raises(CorruptDataError, match="unpacks to more"):
        example.read("input.npz", file.getvalue())


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("skops", b"junk", {}),
        ("safetensors", b"junk", {"library": "numpy", "holds": "arrays"}),
        ("safetensors", b"junk", {"library": "os", "holds": "arrays"}),
        ("safetensors", EMPTY_SAFETENSORS, {"library": "numpy", "holds": "array"}),
        ("safetensors", EMPTY_SAFETENSORS, {"library": "numpy", "holds": "arrays", "same_as": {"a": "b"}}),
        ("safetensors", EMPTY_SAFETENSORS, {"library": "numpy"}),
        ("xgboost", b"junk", {"class": "XGBClassifier"}),
        ("xgboost", b"{}", {"class": "os.system"}),
        ("lightgbm", b"junk", {"class": "Booster"}),
        ("lightgbm", b"tree", {"class": "Dataset"}),
        ("catboost", b"junk", {"class": "CatBoost"}),
        ("catboost", b"junk", {"class": "Pool"}),
        ("keras", b"junk", {}),
        ("onnx", b"junk", {}),
        ("huggingface", b"junk", {"class": "pipeline"}),
    ],
)
def test_junk_is_named_not_read(tmp_path, monkeypatch, name, data, options):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    from modelmgmt.models.packaging.files import FolderFiles

    library = {"skops": "skops", "huggingface": "transformers"}.get(name, name)
    pytest.importorskip(library)
    found = formats.get(name)
    file = getattr(found, "FILE", "config.json")
    (tmp_path / file).write_bytes(data)
    with pytest.raises(CorruptDataError):
        found.load(FolderFiles(tmp_path), options, None)
