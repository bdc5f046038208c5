"""Secrets of every kind, planted wherever a run looks: none is in the store afterwards, in the clear or compressed."""

from __future__ import annotations

import zlib

import pytest
from tests_secrets import NAMED, TOKENS

import modelmgmt as mm
from modelmgmt.errors import RunInUseError

START = """
    import sys, warnings
    import modelmgmt as mm
    warnings.simplefilter("ignore")
"""
PAIRS = {name.replace("-", "_").replace(".", "_"): value for name, value in NAMED.items()}
SECRETS = {**TOKENS, **PAIRS}


def parts_of(text: str) -> list[str]:
    """What of a planted text must not be there: of an address the secret part alone."""
    if "://" not in text and "AccountKey" not in text:
        return [text]
    pieces = text.replace("AccountKey=", "|").replace(";Endpoint", "|").replace("@", "|").replace("://", "|")
    pieces = pieces.replace("services/", "|").replace("webhooks/", "|").replace("sig=", "|").replace("Signature=", "|")
    pieces = pieces.replace("me:", "|").replace("svc:", "|").replace("|:", "|").replace("%3D", "|")
    return [max(pieces.split("|"), key=lambda piece: len(piece) * ("." not in piece))]


def bytes_of(store) -> bytes:
    """Every byte of every file of a store, as it is and unpacked."""
    found = [path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()]
    for data in list(found):
        try:
            found.append(zlib.decompress(data))
        except zlib.error:
            continue
    return b"\n".join(found)


def check_clean(project, secrets) -> None:
    mm.Store(project.store_path).close()
    content = bytes_of(project.store_path)
    assert [name for name, text in secrets.items() if any(part.encode() in content for part in parts_of(text))] == []


def assignments(names) -> str:
    return "".join(f"{'x' if name in TOKENS else name} = {SECRETS[name]!r}\n" for name in names)


def test_code_of_every_kind(project):
    """In the script, a module, and a file that was asked for; committed, changed, and in no repository."""
    names = list(SECRETS)
    project.write("settings.py", assignments(names))
    project.write("conf/keys.yaml", "".join(f"{name}: {value}\n" for name, value in PAIRS.items()))
    project.write("train.py", START + "    import settings\n    mm.start_run(code=['conf/*']).finish()\n")
    run = project.run("train.py")
    assert set(run.code.files) == {"train.py", "settings.py", "conf/keys.yaml"}
    notes = dict(run.code.version.left_out)
    assert "github-token in line" in notes["settings.py"]
    assert "<secret github-token>" in run.code.read("settings.py")
    compile(run.code.read("settings.py"), "settings.py", "exec")

    project.commit()
    project.write("settings.py", "y = 1\n" + assignments(reversed(names)))
    run = project.run("train.py")
    assert run.code.version.is_dirty
    assert "its uncommitted change is kept with placeholders" in dict(run.code.version.left_out)["settings.py"]
    check_clean(project, SECRETS)


def test_it_is_said_at_once_and_can_be_kept(project):
    token = TOKENS["hugging face"]
    project.write(
        "train.py",
        f"""
        import warnings
        import modelmgmt as mm
        TOKEN = "{token}"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            mm.start_run(code_secrets="keep", name="keep").finish()
            assert not said, said[0].message
            mm.start_run(name="replace").finish()
            mm.start_run(name="again").finish()
            mm.start_run(code_secrets="keep", name="keep again").finish()
        print(*(each.message for each in said), sep="\\n")
        """,
    )
    [said] = project.python("train.py").splitlines()
    assert said.startswith("train.py is kept with placeholders for secrets: huggingface-token in line 4.")
    assert "code_secrets='keep'" in said
    runs = mm.Store(project.store_path).runs
    for name, is_there in (("keep", True), ("replace", False), ("again", False), ("keep again", True)):
        assert (token in runs[name].code.read("train.py")) == is_there
        assert ("train.py" in dict(runs[name].code.version.left_out)) == (not is_there)


def test_what_git_knows_is_done_again_with_the_secret(project):
    """A placeholder does not replace what the commit has."""
    token = TOKENS["hugging face"]
    project.write("settings.py", f"TOKEN = '{token}'\n")
    project.write(
        "train.py", START + "    import settings\n    with mm.start_run() as run: run.log(size=len(settings.TOKEN))\n"
    )
    project.commit()
    run = project.run("train.py")
    store = mm.Store(project.store_path)
    assert store.reproduce(run).is_reproduced
    project.write("settings.py", f"TOKEN = '{token}'  # changed\n")
    changed = store.reproduce(project.run("train.py"))
    assert not changed.is_reproduced
    assert any("settings.py" in str(cause) and "placeholder" in str(cause) for cause in changed.causes)
    check_clean(project, {"token": token})


def test_cells_of_a_notebook(project):
    cells = "\n".join(f"x{number} = {text!r}" for number, text in enumerate(TOKENS.values()))
    project.write(
        "go.py",
        f"""
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.run_cell({cells!r}, store_history=True)
        shell.run_cell("import warnings, modelmgmt as mm; warnings.simplefilter('ignore'); mm.start_run().finish()",
            store_history=True)
    """,
    )
    run = project.run("-c", "import runpy; runpy.run_path('go.py')", HOME=str(project.root))
    assert "<secret github-token>" in run.code.read("cells.ipy")
    project.write("go.py", "")
    check_clean(project, TOKENS)


def test_version_control_and_stores_are_not_code(project):
    project.write("train.py", START + "    mm.start_run(code=['**/*', '.*/**/*']).finish()\n")
    project.write("inner/other.py", "x = 1\n")
    project.write("hf_token", "x")
    project.commit()
    project.git("remote", "add", "origin", f"https://me:{SECRETS['password']}@example.org/a.git")
    mm.Store(project.root / "elsewhere").start_run().finish()
    run = project.run("train.py")
    assert set(run.code.files) == {"train.py", "inner/other.py"}
    notes = dict(run.code.version.left_out)
    assert notes[".git"] == "it belongs to version control"
    assert notes["elsewhere"] == "it is a store"
    assert "secret" in notes["hf_token"]
    check_clean(project, SECRETS)


def test_the_command_params_tags_notes_and_errors(project):
    project.write(
        "train.py",
        START
        + """
    values = dict(pair.split("=", 1) for pair in open(0).read().splitlines())
    tokens = {name: value for name, value in values.items() if name[0] == "t"}
    named = {name[2:]: value for name, value in values.items() if name[0] == "n"}
    params = {**tokens, **named, "nested": {"secrets": named}, "list": [*tokens.values()], "db": {"opt": named}}
    with mm.start_run(params=params, tags={**tokens, **named}) as run:
        run.note("see " + " and ".join(tokens.values()))
        run.log_params({"late": tokens})
        run.set_tags(late=tokens["t0"])
        raise ValueError("cannot reach " + ", ".join(tokens.values()))
    """,
    )
    project.python(
        "train.py",
        *[f"--{name}={value}" for name, value in PAIRS.items()],
        *[word for name, value in PAIRS.items() for word in (f"--{name}", value)],
        *TOKENS.values(),
        "-H",
        f"Authorization: Bearer {SECRETS['api_key']}",
        "--header",
        f"X-Api-Key: {SECRETS['apiKey']}",
        answers="".join(
            [
                *(f"t{number}={text}\n" for number, text in enumerate(TOKENS.values())),
                *(f"n.{name}={text}\n" for name, text in PAIRS.items()),
            ]
        ),
        status=1,
    )
    run = mm.Store(project.store_path).runs()[0]
    assert run.status == "failed"
    assert "cannot reach" in run.error
    assert run.params["password"] == "***"
    assert run.tags["password"] == "***"
    assert run.params["nested.secrets.api_key"] == "***"
    assert "the command" in dict(run.code.version.left_out)
    check_clean(project, SECRETS)


def test_what_is_kept_already_is_cleaned(project, monkeypatch):
    """Kept by a version that took nothing for a secret."""
    nothing = project.write(
        "nothing.py",
        "import modelmgmt.store.secrets as s, sys\n"
        "s.replaced = lambda data, path: (data, ())\n"
        "s.hidden = s.hidden_in_text = lambda text: text\ns.is_secret = lambda *name: False\n"
        "import runpy\nrunpy.run_path('train.py', run_name='__main__')\n",
    )
    assert nothing.exists()
    project.write("settings.py", "y = 1\n")
    project.write(
        "train.py",
        START
        + f"""
    import settings
    values = {SECRETS!r}

    @mm.step
    def fetch(address, depth):
        return depth

    given = {{"params": {{**values, "lr": 0.1}}, "tags": {{"token": values["github"], "team": "a"}}, "name": "old"}}
    with mm.start_run(**given, code=["*.yaml"]) as run:
        run.note(values["npm"])
        fetch(values["slack bot"], 3)
        run.log_dataset(mm.DataReference("bucket/" + values["github"], sha256="0" * 64), "rows")
        raise ValueError(values["stripe"])
    """,
    )
    project.commit()
    project.write("settings.py", assignments(SECRETS))
    project.write("a.yaml", "lr: 1\n")
    project.python("nothing.py", "--password", SECRETS["password"], status=1)
    project.write("nothing.py", "")
    content = bytes_of(project.store_path)
    assert all(part.encode() in content for text in SECRETS.values() for part in parts_of(text))

    store = mm.Store(project.store_path)
    with store.start_run(name="untouched", params={"lr": 0.1}) as other:
        other.log(loss=1.0)
    found = store.redact()
    assert [*found.runs] == [store.runs["old"].id]
    what = " ".join(found.runs[store.runs["old"].id])
    for part in (
        "code: settings.py",
        "params: password",
        "tags: token",
        "1 note",
        "error",
        "command",
        "step: 1. fetch",
        "data: rows",
    ):
        assert part in what
    run = store.runs["old"]
    assert run.params["lr"] == 0.1
    assert run.tags["team"] == "a"
    assert "<secret github-token>" in run.code.read("settings.py")
    assert run.code.read("a.yaml") == "lr: 1\n"
    assert "+" in run.code.uncommitted
    assert [(given.name, given.shown) for given in run.steps[0].inputs] == [("address", "***"), ("depth", "3")]
    assert run.datasets["rows"].source == "bucket/***"
    assert store.check(deep=True) == []
    assert [event["kind"] for event in store.db["events"].rows][-1] == "run.redacted"
    assert store.redact().runs == {}
    store.close()
    check_clean(project, SECRETS)


def test_a_run_that_goes_on_is_not_touched(store):
    run = store.start_run()
    with pytest.raises(RunInUseError, match="still running"):
        store.redact(run)
    assert store.redact().runs == {}
    run.finish()
    assert store.redact(run).runs == {}


MODEL = """
    import json, pathlib
    CONFIG = json.loads((pathlib.Path(__file__).parent / "config.json").read_text())

    class Net:
        def predict(self, x):
            return [2 * value + CONFIG["bias"] for value in x]
"""


@pytest.mark.parametrize("chosen", ["replace", "keep"])
def test_the_code_of_a_model(project, chosen):
    project.write("net/__init__.py", MODEL)
    project.write("net/settings.py", assignments(SECRETS))
    project.write("net/config.json", '{"bias": 1, "note": "plain"}')
    project.write("net/service-key.json", f'{{"x": "{TOKENS["github"]}"}}')
    project.write("net/settings.yaml", "".join(f"{name}: {value}\n" for name, value in PAIRS.items()))
    project.write(
        "train.py",
        START
        + f"""
    import net
    with mm.start_run(code=False) as run, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        options = {{"code_paths": ["net"], "code_secrets": {chosen!r}, "register_as": "net"}}
        run.log_model(net.Net(), "net", input_example=[1.0, 2.0], **options)
    print(*(one.message for one in said))
    """,
    )
    said = project.python("train.py")
    kept = bytes_of(project.store_path)
    if chosen == "keep":
        assert all(part.encode() in kept for text in SECRETS.values() for part in parts_of(text))
        assert "secrets" not in said
        return
    for path in ("net/settings.py", "net/settings.yaml"):
        assert f"{path} of the model net is kept with placeholders for secrets" in said
    assert "net/service-key.json of the model net is left out" in said
    check_clean(project, SECRETS)
    project.write("elsewhere/ask.py", START + "    print(mm.load_model('net:1', trust=True).predict([3.0]))\n")
    assert "7.0" in project.python("elsewhere/ask.py")
