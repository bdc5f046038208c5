"""What a notebook shows of models: everything that is known, and nothing of it is markup."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.models.trust.opcodes import read_opcodes
from modelmgmt.view.tables import SHOWN_ROWS

EVIL = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"
TURNED = "a\u202eb\x1b[31m"
FRAME = pd.DataFrame({IMAGE: [1.0, 2.0], TURNED: [0.5, 1.5], "age": [1, 2]})


@pytest.fixture
def logged(store):
    with store.start_run(EVIL, name=IMAGE) as run:
        run.log_dataset(FRAME, EVIL.replace("/", "."))
        return run.log_model(
            {"w": FRAME.to_numpy()}, IMAGE, signature=mm.infer_signature(FRAME), register_as=IMAGE, description=EVIL
        )


def everything(store, logged):
    model = store.models[IMAGE]
    model.set_alias(IMAGE, 1)
    model.promote(1, "production")
    model.set_description(EVIL)
    model.set_tags({IMAGE: EVIL})
    logged.version.set_tags({IMAGE: EVIL})
    logged.version.log_result(IMAGE, True)
    return {
        "registry": store.models, "model": model, "version": logged.version, "versions": model.versions,
        "searched": store.models.search(), "by reference": store.models.version(f"{IMAGE}:1"), "logged": logged,
        "loaded": mm.load_model(logged.reference, store=store), "signature": logged.signature,
        "lineage": store.lineage(f"{IMAGE}:1"),
    }  # fmt: skip


def test_hostile_names_are_escaped(store, logged):
    pytest.importorskip("safetensors")
    for what, shown in everything(store, logged).items():
        page = shown._repr_html_()
        assert "<script" not in page, what
        assert "<img" not in page, what
        assert "&lt;" in page, what
        assert "\x1b" not in page, what
        assert "\u202e" not in page, what


def test_they_say_what_matters(store, logged):
    pages = {what: shown._repr_html_() for what, shown in everything(store, logged).items()}
    for what in ("version", "logged", "loaded", "by reference"):
        assert logged.digest in pages[what], what
    assert "production 1" in pages["registry"]
    for what in ("model", "version", "by reference"):
        assert "since 20" in pages[what], what
    for what in ("versions", "searched", "model", "version"):
        assert "production" in pages[what], what
        assert logged.digest[:16] in pages[what], what
    assert "passed" in pages["version"]
    assert "float64" in pages["signature"]
    assert "stage or alias" in pages["lineage"]
    assert f"run {logged.run}" in pages["loaded"]


def test_what_is_promoted_or_imported_shows_itself_too(store, tmp_path):
    with store.start_run("churn") as run:
        run.log_model([1, 2], "net", format="cloudpickle", register_as="net")
    assert "net:1" in store.models["net"].promote(1, "production")._repr_html_()
    assert "copy:1" in store.import_model(store.export_model("net:1", tmp_path / "net.zip"), "copy")._repr_html_()
    assert "net:1" in store.models["net"]["production"]._repr_html_()


def test_of_many_the_newest_are_shown(store):
    digest = store._kernel.objects.put_bytes(b"weights").digest
    for _ in range(SHOWN_ROWS + 3):
        store.models.register("net", digest=digest, format="raw")
    for versions in (store.models["net"].versions, store.models.search(model="net")):
        page = versions._repr_html_()
        assert f"net:{SHOWN_ROWS + 3}<" in page
        assert "net:3<" not in page
        assert "3 more are not shown" in page


def test_nothing_yet(store):
    assert "No models." in store.models._repr_html_()
    assert "No versions." in store.models.create("net")._repr_html_()
    assert "Not kept." in mm.front.found.UnkeptRun().log_model([1], "net")._repr_html_()


def test_an_inspection_is_told(store):
    class Odd:
        def __reduce__(self):
            return print, (IMAGE,)

    found = read_opcodes(pickle.dumps(Odd()))
    assert "would import builtins.print" in str(found)
    assert "would call builtins.print(" in str(found)
    assert IMAGE in str(found)
    assert "! " in str(found)
    assert "<img" not in found._repr_html_()
    assert "&lt;img" in found._repr_html_()
    many = read_opcodes(pickle.dumps([Odd() for _ in range(30)]))
    assert "and 10 more calls" in str(many)
