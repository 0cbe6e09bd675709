"""Recordings that come and go by pipes: a file stands for what is read or written once."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TextIO

from bloomnet_sb.utils.audio_formats import AudioInfo, result_name, suffix_of
from bloomnet_sb.utils.errors import InputError

# What stands for the standard input and output
PIPE = Path("-")


def is_pipe(path: Path) -> bool:
    """Whether a path is "-", a pipe or a device, which is read or written once from its beginning.

    Example
    -------
    >>> is_pipe(Path("-")), is_pipe(Path("README.md"))
    (True, False)
    """
    if path == PIPE:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


@contextmanager
def from_pipe(path: Path) -> Iterator[Path]:
    """Give a file for what comes by a pipe: all of it, as networks look at the whole. Else `path`.

    Raises
    ------
    InputError
        If nothing comes; errors about the file name the pipe.

    Example
    -------
    >>> with from_pipe(Path("README.md")) as file:
    ...     file
    PosixPath('README.md')
    """
    if not is_pipe(path):
        yield path
        return
    with TemporaryDirectory(prefix="bloomnet-") as folder:
        copy = Path(folder) / ("stdin" if path == PIPE else path.name)
        with open(copy, "wb") as file, _opened(path, "rb", sys.stdin) as pipe:
            shutil.copyfileobj(pipe, file)
        if not copy.stat().st_size:
            raise InputError(f"{path}: nothing came through the pipe")
        try:
            yield copy
        except InputError as error:
            raise InputError(str(error).replace(str(copy), str(path))) from None


@contextmanager
def to_pipe(path: Path, like: AudioInfo) -> Iterator[Path]:
    """Give a file whose content goes to a pipe when the block ends well. Else `path`.

    Arguments
    ---------
    path : Path
        Where it goes.
    like : AudioInfo
        The input: without a suffix that says another, the file is of its format if such can be
        written.

    Raises
    ------
    InputError
        If nobody reads from the pipe.

    Example
    -------
    >>> with to_pipe(Path("clean.wav"), AudioInfo(16000, 16000, 1)) as file:
    ...     file
    PosixPath('clean.wav')
    """
    if not is_pipe(path):
        yield path
        return
    with TemporaryDirectory(prefix="bloomnet-") as folder:
        file = Path(folder) / f"stdout{path.suffix or suffix_of(like)}"
        file = file if path.suffix else result_name(file, like)
        yield file
        try:
            with open(file, "rb") as result, _opened(path, "wb", sys.stdout) as pipe:
                shutil.copyfileobj(result, pipe)
                pipe.flush()
        except BrokenPipeError:
            raise InputError(f"{path}: closed before all was read") from None


def _opened(path: Path, mode: str, standard: TextIO) -> AbstractContextManager[IO[bytes]]:
    """A pipe, or the bytes of a standard stream, which stays open."""
    return nullcontext(standard.buffer) if path == PIPE else open(path, mode)
