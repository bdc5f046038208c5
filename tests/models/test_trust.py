"""Who may make us run code: decided by the caller and by keys, whatever the file says."""

from __future__ import annotations

import dataclasses

import pytest

from modelmgmt.errors import InvalidTypeError, InvalidValueError, UntrustedModelError
from modelmgmt.models.trust import decision as trust
from modelmgmt.models.trust import keys, signing
from modelmgmt.store.kernel import Kernel
from modelmgmt.store.rows import row_crc

PACKAGE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def kernel(tmp_path):
    kernel = Kernel(tmp_path / "store")
    yield kernel
    kernel.close()


@pytest.fixture(params=["ed25519", "hmac-sha256"])
def algorithm(request, monkeypatch):
    if request.param == "ed25519":
        pytest.importorskip("cryptography")
    else:
        monkeypatch.setattr(keys, "has_ed25519", lambda: False)
    return request.param


def become(monkeypatch, tmp_path, name):
    """Another user: another folder of keys."""
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / name))


def test_what_nobody_signed_is_refused(kernel):
    with pytest.raises(UntrustedModelError, match="it is not signed") as refused:
        trust.decide(kernel, PACKAGE)
    assert f"sha256:{PACKAGE}" in str(refused.value), "it says how to go on"
    assert isinstance(refused.value, PermissionError)


def test_what_i_signed_is_allowed(kernel, algorithm):
    signature = signing.sign(kernel, PACKAGE)
    assert signature.algorithm == algorithm
    assert signing.verify(kernel, PACKAGE) == [signature]
    trust.decide(kernel, PACKAGE)
    assert trust.is_trusted(kernel, PACKAGE)
    with pytest.raises(UntrustedModelError):
        trust.decide(kernel, OTHER)


def test_signing_again_changes_nothing(kernel, algorithm):
    assert signing.sign(kernel, PACKAGE) == signing.sign(kernel, PACKAGE)


def test_what_another_signed_needs_their_key(kernel, monkeypatch, tmp_path):
    pytest.importorskip("cryptography")
    become(monkeypatch, tmp_path, "other")
    key = signing.sign(kernel, PACKAGE).key
    become(monkeypatch, tmp_path, "me")
    with pytest.raises(UntrustedModelError, match=f"signed under {key}, a key that you do not trust"):
        trust.decide(kernel, PACKAGE)
    keys.trust_key(key, "another")
    trust.decide(kernel, PACKAGE)
    keys.distrust_key(key)
    with pytest.raises(UntrustedModelError):
        trust.decide(kernel, PACKAGE)


def test_the_hmac_of_another_can_not_be_checked(kernel, monkeypatch, tmp_path):
    monkeypatch.setattr(keys, "has_ed25519", lambda: False)
    become(monkeypatch, tmp_path, "other")
    key = signing.sign(kernel, PACKAGE).key
    become(monkeypatch, tmp_path, "me")
    keys.trust_key(key, "another")
    with pytest.raises(UntrustedModelError, match="none of its signatures is valid"):
        trust.decide(kernel, PACKAGE)


def rewrite(kernel, signed, /, **changes):
    """What somebody does who can write to the store: a row that is sound in itself."""
    values = dataclasses.astuple(dataclasses.replace(signed, **changes))
    with kernel.database.writing() as connection:
        connection.execute("DELETE FROM signatures")
        connection.execute(
            "INSERT INTO signatures VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, row_crc("signatures", values))
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"package": OTHER}, {"signed_at": "2020-01-01T00:00:00.000000Z"}, {"signature": "00" * 64}, {"signature": "zz"},
        {"public_key": "00" * 32}, {"public_key": None}, {"public_key": "xyz"}, {"algorithm": "hmac-sha256"},
        {"algorithm": "none"}, {"signature": ""},
    ],
)  # fmt: skip
def test_forged_signatures(kernel, changes):
    pytest.importorskip("cryptography")
    signature = signing.sign(kernel, PACKAGE)
    rewrite(kernel, signature, **changes)
    package = changes.get("package", PACKAGE)
    assert signing.verify(kernel, package) == []
    with pytest.raises(UntrustedModelError):
        trust.decide(kernel, package)


def test_another_key_under_a_trusted_fingerprint(kernel, monkeypatch, tmp_path):
    pytest.importorskip("cryptography")
    become(monkeypatch, tmp_path, "attacker")
    attack = signing.sign(kernel, PACKAGE)
    become(monkeypatch, tmp_path, "me")
    mine = keys.own_key()
    rewrite(kernel, attack, key=mine.fingerprint)
    with pytest.raises(UntrustedModelError):
        trust.decide(kernel, PACKAGE)


def test_a_signature_for_something_else_is_none(kernel):
    pytest.importorskip("cryptography")
    key = keys.own_key()
    bare = key.sign(PACKAGE.encode()).hex()
    signature = signing.sign(kernel, PACKAGE)
    rewrite(kernel, signature, signature=bare)
    assert signing.verify(kernel, PACKAGE) == []


def test_a_damaged_row_is_passed_over(kernel):
    signing.sign(kernel, PACKAGE)
    with kernel.database.writing() as connection:
        connection.execute("UPDATE signatures SET signed_at = 'x'")
    with pytest.warns(UserWarning, match="signature was ignored"), pytest.raises(UntrustedModelError):
        trust.decide(kernel, PACKAGE)


def test_a_broken_key_does_not_stop_the_logging(kernel, monkeypatch):
    monkeypatch.setenv("MODELMGMT_CONFIG", "/dev/null/config")
    with pytest.warns(UserWarning, match="stored without a signature"):
        assert signing.sign(kernel, PACKAGE) is None


def test_a_key_that_others_can_read_vouches_for_nothing(kernel, tmp_path, monkeypatch):
    become(monkeypatch, tmp_path, "me")
    signing.sign(kernel, PACKAGE)
    for path in (tmp_path / "me").iterdir():
        path.chmod(0o644)
    with pytest.raises(UntrustedModelError, match="your keys could not be read"):
        trust.decide(kernel, PACKAGE)


def test_what_the_caller_says(kernel):
    trust.decide(kernel, PACKAGE, True)
    trust.decide(kernel, PACKAGE, f"sha256:{PACKAGE}")
    trust.decide(kernel, PACKAGE, PACKAGE)
    with pytest.raises(UntrustedModelError, match="trust= names other bytes"):
        trust.decide(kernel, PACKAGE, f"sha256:{OTHER}")
    signing.sign(kernel, PACKAGE)
    with pytest.raises(UntrustedModelError, match="trust=False"):
        trust.decide(kernel, PACKAGE, False)
    with pytest.raises(UntrustedModelError, match="trust= names other bytes"):
        trust.decide(kernel, PACKAGE, f"sha256:{OTHER}")


@pytest.mark.parametrize("given", ["restricted", [], ["a.B"], {"a.B"}])
def test_names_of_types_allow_no_code(kernel, given):
    with pytest.raises(UntrustedModelError):
        trust.decide(kernel, PACKAGE, given)


@pytest.mark.parametrize("given", ["yes", "sha256:1", "*", "sha256:" + "A" * 64])
def test_words_that_mean_nothing(kernel, given):
    with pytest.raises(InvalidValueError, match="neither"):
        trust.decide(kernel, PACKAGE, given)


def test_names_are_whole_names():
    assert trust.restricted_names(None) is None
    assert trust.restricted_names("restricted") == frozenset()
    assert trust.restricted_names(["a.b.C"]) == {"a.b.C"}
    for bad in (["sklearn.*"], ["numpy"], ["a..b"], [""], ["a.b c"]):
        with pytest.raises(InvalidValueError):
            trust.restricted_names(bad)
    for bad in ([1], 5, b"a.b"):
        with pytest.raises(InvalidTypeError):
            trust.restricted_names(bad)


def test_the_file_has_no_say(kernel):
    """A package that calls itself safe, signed or mine is decided like any other: nothing but its digest is looked at."""

    class Liar:
        digest = PACKAGE

        def __getattr__(self, name):
            pytest.fail(f"the decision looked at {name}")

    with pytest.raises(UntrustedModelError):
        trust.decide(kernel, Liar())


def test_signatures_come_along_when_stores_are_merged(tmp_path, monkeypatch):
    import modelmgmt as mm

    with mm.Store(tmp_path / "a") as source, mm.Store(tmp_path / "b") as target:
        with source.start_run("merged") as run:
            model = run.log_model(lambda value: value, "same")
        target.merge(source)
        target.merge(source)
        assert signing.verify(target._kernel, model.digest) == signing.verify(source._kernel, model.digest) != []
        assert mm.load_model(model.reference, store=target).model(3) == 3


def test_signatures_from_elsewhere(kernel, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    signature = signing.sign(kernel, PACKAGE)
    other = Kernel(tmp_path / "elsewhere")
    signing.add(other, signature)
    signing.add(other, signature)
    assert signing.verify(other, PACKAGE) == [signature]
    with pytest.raises(InvalidValueError, match="is not valid: ask"):
        signing.add(other, dataclasses.replace(signature, signature="00" * 64))
    other.close()
