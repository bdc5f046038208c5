"""References, as people type them: what is read, what is refused, and that nothing else comes out of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmgmt.errors import InvalidNameError, InvalidTypeError, InvalidValueError, ModelmgmtError, NotFoundError
from modelmgmt.models.registry.naming import check_label, check_model_name
from modelmgmt.models.registry.reference import Reference, parse, resolve

letters = st.text(st.characters(codec="utf-8", exclude_characters="/\\@:", exclude_categories=("C", "Z")), min_size=1)


def is_name(text):
    try:
        check_model_name(text)
    except ModelmgmtError:
        return False
    return True


def is_label(text):
    try:
        check_label(text, "stage")
    except ModelmgmtError:
        return False
    return True


names, labels = letters.filter(is_name), letters.filter(is_label)
numbers = st.integers(1, 10**18 - 1)


@given(names, numbers)
def test_numbers_are_read_back(name, number):
    assert parse(f"{name}:{number}") == parse(f"models:/{name}/{number}") == Reference(name, number)


@given(names, labels)
def test_labels_are_read_back(name, label):
    assert parse(f"{name}@{label}") == parse(f"models:/{name}@{label}") == Reference(name, label=label)
    assert parse(f"models:/{name}/{label}") == Reference(name, label=label)


@given(st.text())
def test_any_text_is_a_reference_or_refused_in_a_sentence(text):
    with suppress(InvalidValueError, InvalidNameError):
        found = parse(text)
        assert (found.run is None) != (found.model is None)
        assert found.model is None or not set("/\\@:") & set(found.model)


@given(
    st.lists(
        st.sampled_from(["churn", "run:", "runs:/", "models:", "/", "@", ":", "3", "production", "..", "latest"]),
        max_size=6,
    )
)
def test_pieces_of_references(pieces):
    text = "".join(pieces)
    try:
        found = parse(text)
    except ModelmgmtError:
        return
    if found.model is not None:
        end = str(found.number) if found.number is not None else found.label
        assert text in (f"{found.model}:{end}", f"{found.model}@{end}", f"models:/{found.model}@{end}",
                        f"models:/{found.model}/{end}")  # fmt: skip
    else:
        assert text in (f"run:{found.run}/{found.artifact}", f"runs:/{found.run}/{found.artifact}")


@pytest.mark.parametrize(
    "text",
    ["", "churn", ":", "@", "churn:", "churn@", ":3", "@production", "churn:0", "churn:-1", "churn:03", "churn:1.0",
     "churn:x", "churn:٣", "churn@3", "churn:" + "9" * 30, "models:", "models:/", "models:/churn", "models://churn/3",
     "models:churn/3", "models:/a/b/3", "models:/churn/", "run:", "run:/x", "run:abc", "run:abc/", "run:abc/../x",
     "run:abc//x", "../x:3", "a/b:3", "a\\b:3", "churn@a@b", "churn:3:4", "churn@prod/../x", "churn\n:3", "run:3"],
)  # fmt: skip
def test_what_is_refused(text):
    with pytest.raises((InvalidValueError, InvalidNameError)):
        parse(text)


def test_a_reference_is_text(store):
    for wrong in (None, 3, b"churn:3", ["churn"]):
        with pytest.raises(InvalidTypeError):
            resolve(store._kernel, wrong)


def test_where_they_lead(store, register):
    first, second = register(), register()
    assert resolve(store._kernel, first).number == 1
    churn = store.models["churn"]
    churn.promote(1, "production")
    churn.set_alias("champion", 2)
    for text, version in (
        ("churn:1", first), ("churn@production", first), ("churn@Production", first), ("churn@champion", second),
        ("churn@latest", second), ("churn@Latest", second), ("models:/churn/1", first), ("models:/churn/Production", first),
        ("models:/churn@champion", second), ("models:/churn/latest", second), (f"run:{first.run}/classifier", first),
        (f"runs:/{first.run}/classifier", first),
    ):  # fmt: skip
        found = resolve(store._kernel, text)
        assert found.digest == version.digest
        assert found.run == version.run
        assert found.number == (None if text.startswith("run") else version.number)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fraud:1", "registered models are: churn"),
        ("churn:7", "newest is 1"),
        ("churn@nobody", r"there are: churn@latest, churn@champion\.$"),
        ("churn@chanpion", r"there are: churn@latest, churn@champion\. Did you mean 'champion'\?$"),
        ("chrun@production", r"registered models are: churn\. Did you mean 'churn'\?$"),
        ("run:{run}/clasifier", r"its models are: classifier\. Did you mean 'classifier'\?$"),
        ("churn@production", "No version of churn is in the stage"),
        ("run:nobody/x", "no run 'nobody'"),
    ],
)
def test_what_is_not_there(store, register, text, words):
    version = register()
    store.models["churn"].set_alias("champion", 1)
    with pytest.raises(NotFoundError, match=words):
        resolve(store._kernel, text.format(run=version.run))


def test_a_name_alone_is_answered_with_what_it_may_mean(store, register):
    version = register()
    register()
    churn = store.models["churn"]
    churn.promote(1, "production")
    churn.set_alias("champion", 1)
    there = "write churn@latest or churn@production or churn@champion or churn:2."
    for ask in (lambda name: resolve(store._kernel, name), store.models.version):
        with pytest.raises(InvalidValueError, match=there):
            ask("churn")
        with pytest.raises(InvalidValueError, match=rf"write run:{version.run[:4]}\w+/classifier\.$"):
            ask("classifier")
        with pytest.raises(InvalidValueError, match=r"The registered models are: churn\. Did you mean 'churn'\?$"):
            ask("Chrun")
        with pytest.raises(InvalidTypeError):
            ask(3)


def test_a_model_without_versions(store):
    store.models.create("churn")
    for text in ("churn:1", "churn@latest", "churn@production"):
        with pytest.raises(NotFoundError):
            resolve(store._kernel, text)


def test_a_damaged_row_leads_nowhere(store, register):
    from modelmgmt.errors import CorruptDataError

    register(), register(weights=b"other")
    with store._kernel.database.writing() as connection:
        (digest,) = connection.execute("SELECT digest FROM model_versions WHERE number = 2").fetchone()
        connection.execute("UPDATE model_versions SET digest = ? WHERE number = 1", (digest,))
    with pytest.raises(CorruptDataError, match="damaged"):
        resolve(store._kernel, "churn:1")
