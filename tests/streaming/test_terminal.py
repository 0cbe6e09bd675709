import os
import pty
import sys
import termios

import pytest

from bloomnet_sb.streaming.terminal import terminal


@pytest.fixture
def typing(monkeypatch):
    """A terminal as stdin, and the descriptor that types at it."""
    controller, descriptor = pty.openpty()
    with os.fdopen(descriptor, "r", buffering=1) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield controller
    os.close(controller)


def test_keys_typed_together_are_all_seen(typing):
    before = termios.tcgetattr(sys.stdin.fileno())
    with terminal() as line:
        assert line.key() == ""
        os.write(typing, b"2q")
        assert [line.key() for _ in range(3)] == ["2", "q", ""]
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_other_keys_are_none(typing):
    with terminal() as line:
        os.write(typing, "é2".encode())
        assert [line.key() for _ in range(3)] == ["", "", "2"]


def test_a_terminal_that_goes_away(monkeypatch):
    controller, descriptor = pty.openpty()
    with os.fdopen(descriptor, "r+b", buffering=0) as both:
        monkeypatch.setattr(sys, "stdin", both)
        monkeypatch.setattr(sys, "stdout", open(os.dup(descriptor), "w"))  # noqa: SIM115
        with terminal() as line:
            line.show("before")
            os.close(controller)
            line.show("after")
            assert line.key() == ""
