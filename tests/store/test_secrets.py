"""What is taken for a secret, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_secrets import HARMLESS_CODE, HARMLESS_PAIRS, HARMLESS_TEXTS, NAMED, TOKENS

from modelmgmt.store.secrets import hidden, hidden_in_text, is_secret, replaced


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_is_known_by_its_form_wherever_it_stands(kind):
    token = TOKENS[kind]
    for text in (f"--key={token}", token, f"see {token}, please"):
        assert hidden(text) != text
        assert hidden_in_text(text) != text
    for path, text in (
        ("a.py", f'x = f("{token}")'),
        ("a.sh", f"export X={token}"),
        ("a.diff", f"+  url: {token}\n"),
        ("a.md", token),
    ):
        kept, found = replaced(text.encode(), path)
        assert len(found) == 1, (kept, found)
        assert replaced(kept, path) == (kept, ())


@pytest.mark.parametrize("name", NAMED)
def test_a_secret_is_known_by_its_name(name):
    value = NAMED[name]
    assert is_secret(name, value)
    for text in (f"{name}={value}", f"{name}: {value}", f'{{"{name}": "{value}"}}', f"x;{name}={value};y"):
        assert value not in hidden(text)
    variable = name.replace("-", "_").replace(".", "_")
    for path, text in (
        ("a.py", f'{variable} = "{value}"'), ("a.py", f"f({variable}='{value}')"), ("a.py", f'config["{name}"] = "{value}"'),
        ("a.py", f'{variable}: str = "{value}"'), ("a.json", f'"{name}": "{value}",'), ("a.yaml", f"  {name}: {value}"),
        ("a.ini", f"{name} = {value}"), ("a.sh", f"export {variable}={value}"), ("a.diff", f'-{variable} = "{value}"'),
    ):  # fmt: skip
        kept, found = replaced(text.encode(), path)
        assert value.encode() not in kept, text
        assert found[0].line == 1


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_texts_that_look_like_one_stay(text):
    assert hidden(text) == text
    assert hidden_in_text(text) == text
    assert replaced(f'x = "{text}"\n'.encode(), "a.py")[1] == ()


@pytest.mark.parametrize(("name", "value"), HARMLESS_PAIRS)
def test_names_that_sound_like_one_stay(name, value):
    assert not is_secret(name, value)


@pytest.mark.parametrize("code", HARMLESS_CODE)
def test_code_about_secrets_stays(code):
    assert replaced(code.encode(), "a.py") == (code.encode(), ())


@pytest.mark.parametrize("before", ["", "+", "-", " ", "    "])
def test_a_private_key_keeps_its_lines(before):
    body = ["MIIEpAIBAAKCAQEA" + "aB3d" * 12, "q/Zx" * 16, "Zk9=="]
    lines = ["-----BEGIN RSA PRIVATE KEY-----", *body, "-----END RSA PRIVATE KEY-----"]
    text = "".join(f"{before}{line}\n" for line in lines)
    kept, found = replaced(text.encode(), "a.py")
    assert [each.kind for each in found] == ["private-key"] * 3
    assert kept.decode().count("\n") == 5
    assert not any(line.encode() in kept for line in body)
    if before in "+-":
        assert all(line.startswith(before) for line in kept.decode().splitlines())


@given(st.binary(max_size=2_000), st.sampled_from(["a.py", "a.yaml", "a.diff"]))
def test_any_bytes_are_looked_at(data, path):
    kept, found = replaced(data, path)
    assert (kept == data) == (not found)
    assert kept.count(b"\n") == data.count(b"\n")


@given(st.text(max_size=500))
def test_any_text_is_looked_at(text):
    once = hidden(text)
    assert hidden(once) == once


LONG = (
    "a" * 1_000_000, "password=" * 100_000, "x://" * 100_000, "-----BEGIN A PRIVATE KEY-----" * 3_000, "key: " * 200_000,
    "sk-" * 300_000, '"token"' * 100_000, "eyJ" * 300_000,
)  # fmt: skip


@pytest.mark.parametrize("text", LONG)
def test_no_text_takes_for_ever(text):
    replaced(text.encode(), "a.yaml")
    hidden(text[:100_000])
