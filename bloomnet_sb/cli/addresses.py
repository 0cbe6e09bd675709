"""An option whose value may be left out, which typer has not."""

import re

from typer.core import TyperCommand

RAY = "--ray"
ADDRESS = re.compile(r"auto|local|(ray://)?[^\s/:]+:\d+")


class AddressMayFollow(TyperCommand):
    """A command whose option --ray may stand alone; what follows it is its own if an address.

    Typer has no options whose value may be left out.

    Example
    -------
    >>> with_value(["in", "out", "--ray"]), with_value(["--ray", "in", "out"])
    (['in', 'out', '--ray='], ['--ray=', 'in', 'out'])
    >>> with_value(["--ray", "head:6379", "in", "out"])
    ['--ray', 'head:6379', 'in', 'out']
    """

    def parse_args(self, ctx, args):
        """Parse arguments, with an empty address where none is given."""
        return super().parse_args(ctx, with_value(args))


def with_value(arguments: list[str]) -> list[str]:
    """The arguments with an empty address where --ray stands alone.

    Example
    -------
    >>> with_value([]), with_value(["--ray"])
    ([], ['--ray='])
    """
    following = [*arguments, ""][1:]
    return [
        f"{RAY}=" if word == RAY and not ADDRESS.fullmatch(after) else word
        for word, after in zip(arguments, following, strict=True)
    ]
