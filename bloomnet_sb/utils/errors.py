"""The exceptions that a program reports with one line, and how it does."""

import errno
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from numbers import Integral
from os import PathLike
from typing import TypeGuard

# No space, over a quota, over a limit of file sizes
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Its power, summed over a long signal's features, is still a float32.
LARGEST_SAMPLE = 1e12


class InputError(ValueError):
    """A file, folder, option or value that the user gave cannot be used.

    The message is one line that names what was given, what was found and what is accepted.

    Example
    -------
    >>> raise InputError("blocks is 7, but this network has 1 to 4 blocks")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: blocks is 7, but this network has 1 to 4 blocks
    """


class NotWritten(InputError):
    """A result could not be written, as on a full disk: another time it may be.

    Example
    -------
    >>> isinstance(NotWritten("out.wav: cannot be written (No space left)"), InputError)
    True
    """


class Stopped(Exception):
    """A program ended before its work was done, by no defect of its own or of its input.

    Arguments
    ---------
    message : str
        One line that names what stopped it, and how to go on.
    exit_code : int
        What the program exits with: 128 and the number of the signal that stopped it, else 1.

    Example
    -------
    >>> Stopped("stopped by SIGTERM", exit_code=143).exit_code
    143
    """

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def exit_with_one_line() -> Iterator[None]:
    """End the program with one line on stderr where an `InputError` or `Stopped` is raised.

    The exit code is 2 for an `InputError`. Every other exception passes through with its
    traceback: it is a defect.

    Example
    -------
    >>> with exit_with_one_line():
    ...     blocks = 4
    """
    try:
        yield
    except InputError as error:
        # From a worker of a data loader, the message is a traceback that ends in the message.
        message = str(error).strip().splitlines()[-1].rsplit("InputError: ", 1)[-1]
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(f"stopped: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print(f"stopped: {error}; make room and start again", file=sys.stderr)
        sys.exit(1)


def check_blocks(blocks: object, num_blocks: int) -> int:
    """Return `blocks` if it is a number of blocks that a network can run.

    Arguments
    ---------
    blocks : int
        The number of blocks asked for, counted from 1; NumPy's integers are taken, too.
    num_blocks : int
        The number of blocks that the network has.

    Returns
    -------
    int
        `blocks`, as Python's integer.

    Raises
    ------
    InputError
        If it is not an integer from 1 to `num_blocks`.

    Example
    -------
    >>> check_blocks(2, num_blocks=4)
    2
    """
    whole = isinstance(blocks, Integral) and not isinstance(blocks, bool)
    if not whole or not 1 <= int(blocks) <= num_blocks:  # type: ignore[call-overload]
        raise InputError(f"blocks is {blocks!r}, but this network has 1 to {num_blocks} blocks")
    return int(blocks)  # type: ignore[call-overload]


def check_path(**paths: object) -> None:
    """Refuse what is no path, such as a file object.

    Raises
    ------
    InputError
        Naming the first argument that is none; None is taken for one that was not given.

    Example
    -------
    >>> check_path(filename="noisy.wav", output_filename=None)
    """
    for name, path in paths.items():
        if path is not None and not isinstance(path, str | PathLike):
            raise InputError(f"{name} is {path!r}, but must be the path of a file")


def check_positive(**sizes: int) -> None:
    """Refuse sizes of a network that are not whole numbers of 1 or more.

    Raises
    ------
    InputError
        Naming the first size that is not.

    Example
    -------
    >>> check_positive(num_blocks=4, kernel_size=3)
    """
    _check_whole(1, sizes)


def check_not_negative(**numbers: int) -> None:
    """Refuse what are not whole numbers of 0 or more.

    Raises
    ------
    InputError
        Naming the first number that is not.

    Example
    -------
    >>> check_not_negative(num_workers=0)
    """
    _check_whole(0, numbers)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether an option's value is a number, and no truth value.

    Example
    -------
    >>> is_number(0.5), is_number("fast"), is_number(True)
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_amounts(**amounts: object) -> None:
    """Refuse what are not finite numbers of 0 or more.

    Raises
    ------
    InputError
        Naming the first that is not.

    Example
    -------
    >>> check_amounts(pesq_weight=0.1, level_weight=0)
    """
    for name, amount in amounts.items():
        if not is_number(amount) or not 0 <= amount < inf:
            raise InputError(f"{name} is {amount!r}, but must be a number of 0 or more")


def _check_whole(least: int, numbers: Mapping[str, object]) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise InputError(f"{name} is {number!r}, but must be a whole number of {least} or more")


def check_seconds(**lengths: object) -> None:
    """Refuse what are not lengths of time above 0.

    Raises
    ------
    InputError
        Naming the first that is not.

    Example
    -------
    >>> check_seconds(max_seconds=-1.0)
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: max_seconds is -1.0, but must be a number of seconds ...
    """
    for name, length in lengths.items():
        if not is_number(length) or not 0 < length < inf:
            raise InputError(f"{name} is {length!r}, but must be a number of seconds above 0")


def check_range_db(**ranges: object) -> None:
    """Refuse what are not two rising numbers of dB, from -200 to 200.

    Arguments
    ---------
    **ranges
        By the name of the option.

    Raises
    ------
    InputError
        Naming the option.

    Example
    -------
    >>> check_range_db(snr_db=(10, -5))
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: snr_db is [10, -5], but must be two rising numbers from ...
    """
    for name, bounds in ranges.items():
        found = [*bounds] if isinstance(bounds, list | tuple) else bounds
        if not _is_range_db(found):
            raise InputError(f"{name} is {found}, but must be two rising numbers from -200 to 200")


def _is_range_db(bounds: object) -> bool:
    if not isinstance(bounds, list) or len(bounds) != 2:
        return False
    numbers = all(map(is_number, bounds))
    return numbers and -200 <= bounds[0] <= bounds[1] <= 200


def check_samples(samples, what: str) -> None:
    """Refuse NaN, infinity, and samples so large that their power would overflow.

    Arguments
    ---------
    samples : numpy.ndarray or torch.Tensor
        Of any shape.
    what : str
        What the message calls them, and its verb.

    Raises
    ------
    InputError
        If one is not within 1e12 in size.

    Example
    -------
    >>> import torch
    >>> check_samples(torch.tensor([0.1, float("nan")]), "a chunk holds")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: a chunk holds NaN, infinite or absurdly large samples
    """
    if not (abs(samples) <= LARGEST_SAMPLE).all():
        raise InputError(f"{what} NaN, infinite or absurdly large samples")
