"""The one exception for input that a user can correct, and how programs report it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A file, folder, option or value that the user gave cannot be used.

    The message is one line that names what was given, what was found and what is accepted.

    Example
    -------
    >>> raise InputError("blocks is 7, but this network has 1 to 4 blocks")
    Traceback (most recent call last):
    ...
    bloomnet_sb.errors.InputError: blocks is 7, but this network has 1 to 4 blocks
    """


@contextmanager
def exit_with_one_line() -> Iterator[None]:
    """End the program with one line on stderr and exit code 2 where an `InputError` is raised.

    Every other exception passes through with its traceback: it is a defect, not bad input.

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


def check_blocks(blocks: int, num_blocks: int) -> int:
    """Return `blocks` if it is a number of blocks that a network can run.

    Arguments
    ---------
    blocks : int
        The number of blocks asked for, counted from 1.
    num_blocks : int
        The number of blocks that the network has.

    Returns
    -------
    int
        `blocks`, unchanged.

    Raises
    ------
    InputError
        If it is not an integer from 1 to `num_blocks`.

    Example
    -------
    >>> check_blocks(2, num_blocks=4)
    2
    """
    if isinstance(blocks, bool) or not isinstance(blocks, int) or not 1 <= blocks <= num_blocks:
        raise InputError(f"blocks is {blocks!r}, but this network has 1 to {num_blocks} blocks")
    return blocks


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
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"{name} is {size!r}, but must be a whole number of 1 or more")
