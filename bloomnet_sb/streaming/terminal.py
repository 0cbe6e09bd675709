"""The terminal of a live run: one line that says how it goes, and keys."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.live import Live as Display


class Terminal:
    """What `terminal` gives: a line to show, and the key that was pressed.

    A terminal that goes away while it is in use, as a window that is closed, neither shows nor
    gives anything from then on.

    Arguments
    ---------
    display : rich.live.Live
        What shows the line.
    keyboard : int, optional
        The descriptor that keys come from.
    """

    def __init__(self, display: Display, keyboard: int | None):
        self._display, self._keyboard = display, keyboard

    def show(self, line: str) -> None:
        """Show a line in place of the one before, on a terminal."""
        with suppress(OSError):
            self._display.update(line, refresh=self._display.console.is_terminal)

    def key(self) -> str:
        """The key that was pressed; "" for none, for one beyond ASCII, and without a terminal."""
        if self._keyboard is None:
            return ""
        try:
            # Not sys.stdin.read: what it reads ahead, select does not see.
            waits = select.select([self._keyboard], [], [], 0)[0]
            return os.read(self._keyboard, 1).decode("ascii", "ignore") if waits else ""
        except OSError:
            self._keyboard = None
            return ""


@contextmanager
def terminal() -> Iterator[Terminal]:
    """Take the terminal, if there is one: keys come without Enter until it is given back.

    Yields
    ------
    Terminal
        It.

    Example
    -------
    >>> with terminal() as line:
    ...     line.show("blocks 2 of 4")
    ...     line.key()
    ''
    """
    display = Display(auto_refresh=False, transient=True)
    with _keyboard() as keyboard:
        try:
            with suppress(OSError):
                display.start()
            yield Terminal(display, keyboard)
        finally:
            with suppress(OSError):
                display.stop()


@contextmanager
def _keyboard() -> Iterator[int | None]:
    try:
        import termios
        import tty
    except ImportError:  # on Windows
        yield None
        return
    descriptor = _foreground_terminal()
    if descriptor is None:
        yield None
        return
    before: list[Any] = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        with suppress(termios.error):  # gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _foreground_terminal() -> int | None:
    """The terminal that stdin is, unless another program has it: to touch it then would stop us."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    descriptor = sys.stdin.fileno()
    try:
        ours = os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not the terminal of this session, such as one that a program made
        ours = True
    return descriptor if ours else None
