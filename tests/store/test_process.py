"""A process is told from every other: gone only when that is certain."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest

from modelmgmt.store import process
from modelmgmt.store.process import Process, current, is_alive


def test_this_process_is_here():
    assert current() == current()
    assert current().pid == os.getpid()
    assert not current().is_gone()
    assert is_alive(os.getpid())


@pytest.fixture
def other(child):
    one = child("""
        from modelmgmt.store.process import current
        me = current()
        say(me.host)
        say(me.boot_id)
        say(me.pid)
        say(me.start)
        wait()
    """)
    host, boot_id, pid, start = (one.hear() for _ in range(4))
    return one, Process(host, boot_id, int(pid), start)


def test_another_process_is_here_until_it_ends(other):
    one, described_ = other
    assert (described_.host, described_.boot_id) == (current().host, current().boot_id)
    assert not described_.is_gone()
    assert is_alive(described_.pid)
    one.kill()
    assert described_.is_gone()
    assert not is_alive(described_.pid)


def test_a_process_that_ended_and_was_not_asked_for_is_gone(other):
    one, described_ = other
    os.kill(one.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, one.process.pid, os.WEXITED | os.WNOWAIT)
    assert described_.is_gone()
    assert not is_alive(described_.pid)


def test_a_process_that_is_stopped_is_here(other):
    one, described_ = other
    os.kill(one.process.pid, signal.SIGSTOP)
    assert not described_.is_gone()
    os.kill(one.process.pid, signal.SIGCONT)


def test_a_pid_that_was_given_out_again_is_another_process():
    assert dataclasses.replace(current(), start="1").is_gone()


def test_before_the_last_boot_everything_is_gone():
    assert dataclasses.replace(current(), boot_id="an earlier one").is_gone()


def test_a_process_of_another_host_can_not_be_seen():
    elsewhere = dataclasses.replace(current(), host="elsewhere")
    assert not elsewhere.is_gone()
    assert not dataclasses.replace(elsewhere, boot_id="x", pid=2**22 + 1).is_gone()


def test_a_pid_that_cannot_be(other):
    _one, described_ = other
    for pid in (2**22 + 7, 2**31 - 1, 2**70):
        assert dataclasses.replace(described_, pid=pid).is_gone()
        assert not is_alive(pid)


def test_a_process_that_the_system_hides_is_not_taken_for_gone(other, monkeypatch):
    """As with /proc mounted with hidepid: the processes of other users are not in it."""
    one, described_ = other
    monkeypatch.setattr(process, "_start_of", lambda pid: None)
    assert not described_.is_gone()
    assert is_alive(described_.pid)
    one.kill()
    assert described_.is_gone()


def test_a_process_that_could_not_say_when_it_started(other):
    one, described_ = other
    unknown = dataclasses.replace(described_, start="unknown")
    assert not unknown.is_gone()
    one.kill()
    assert unknown.is_gone()


def test_the_process_of_another_user_is_here(other, monkeypatch):
    _one, described_ = other

    def kill(pid, signal_):
        raise PermissionError

    monkeypatch.setattr(process, "_start_of", lambda pid: None)
    monkeypatch.setattr(os, "kill", kill)
    assert not described_.is_gone()
    monkeypatch.undo()


def test_the_child_of_a_fork_describes_itself(child):
    one = child("""
        from modelmgmt.store.process import current
        before = current()
        pid = os.fork()
        if pid == 0:
            me = current()
            os._exit(0 if me.pid == os.getpid() != before.pid and not me.is_gone() and not before.is_gone() else 1)
        say(os.waitpid(pid, 0)[1])
    """)
    assert one.end() == "0"
