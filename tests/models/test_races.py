"""Real processes at once: one wins, the others are told; what happened is in the log, and the log is sound."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from datetime import datetime
from itertools import pairwise

PROMOTE = """
    import json, sys, time
    import modelmgmt as mm
    store = mm.Store(sys.argv[1])
    churn, number = store.models["churn"], int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        churn.promote(number, "production", reason=f"by {number}")
        print(json.dumps("won"))
    except mm.errors.ConflictError as error:
        print(json.dumps(str(error)))
"""

MANY = """
    import random, sys
    from datetime import UTC, datetime
    import modelmgmt as mm
    store = mm.Store(sys.argv[1])
    choose = random.Random(int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    done = conflicts = 0
    while done < 25:
        churn = store.models["churn"]
        try:
            churn.promote(choose.choice([v.number for v in churn if v.stage != "production"]), "production")
            done += 1
        except mm.errors.ConflictError:
            conflicts += 1
    print(conflicts)
"""


REGISTER = """
    import sys
    import modelmgmt as mm
    store = mm.Store(sys.argv[1])
    digest = store._kernel.objects.put_bytes(b"weights").digest
    print("ready", flush=True)
    sys.stdin.readline()
    print([store.models.register("fresh", digest=digest, format="raw").number for _ in range(20)])
"""

KILLED = """
    import sys
    import modelmgmt as mm
    store = mm.Store(sys.argv[1])
    churn = store.models["churn"]
    number = 1
    while True:
        number = number % 3 + 1
        event = churn.promote(number, "production", reason="again")
        print(number, flush=True)
"""


def together(code, store, arguments):
    """Start a process for each argument, let them all go at one moment, and return what each printed last."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(store.path)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*command, str(argument)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for argument in arguments
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        answers.append(out.strip())
    return answers


def test_of_two_at_once_one_wins_and_the_other_is_told(store, register):
    for _ in range(6):
        register()
    for round_ in range(3):
        pair = (2 * round_ + 1, 2 * round_ + 2)
        answers = [json.loads(answer) for answer in together(PROMOTE, store, pair)]
        assert answers.count("won") == 1, answers
        winner = pair[answers.index("won")]
        [told] = [answer for answer in answers if answer != "won"]
        assert f"churn:{winner} was promoted from development to production" in told
        assert f"(by {winner})" in told
        assert store.models["churn"]["production"].number == winner
    assert len(store.models["churn"].history("promoted")) == 3
    assert store.audit.verify() == []


def test_at_is_right_with_two_processes_racing(store, register):
    for _ in range(4):
        register()
    together(MANY, store, (1, 2))
    churn = store.models["churn"]
    promoted = churn.history("promoted")
    assert len(promoted) == 50
    before = None
    for decision in promoted:
        assert decision.detail["displaced"] == ([] if before is None else [before])
        before = decision.version
    # Every moment in between, from the log alone: who was promoted last before it.
    for earlier, later in pairwise(promoted):
        between: datetime = earlier.time + (later.time - earlier.time) / 2
        if between < later.time:
            assert churn.as_of(between).stages["production"] == (earlier.version,)
    assert churn.current("production") == promoted[-1].version
    assert store.check() == []


def test_numbers_are_unique_with_three_processes_registering(store):
    answers = [json.loads(answer) for answer in together(REGISTER, store, (1, 2, 3))]
    assert sorted(number for numbers in answers for number in numbers) == list(range(1, 61))
    assert len(store.models["fresh"]) == 60
    assert len(store.models["fresh"].history("created")) == 1
    assert store.check() == []


def test_what_was_decided_survives_a_kill(store, register):
    for _ in range(3):
        register()
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(KILLED), str(store.path)]
    total = 0
    for wanted in (1, 4, 9):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        told = [int(process.stdout.readline()) for _ in range(wanted)]
        process.kill()
        told += [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        churn = store.models["churn"]
        promoted = [decision.version for decision in churn.history("promoted")][total:]
        assert promoted[: len(told)] == told
        assert len(promoted) - len(told) in (0, 1), "one may have been decided and not told"
        assert churn.current("production") == promoted[-1]
        assert store.check() == []
        total += len(promoted)
        churn.archive(promoted[-1])
