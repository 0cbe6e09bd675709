"""The command `bloomnet`.

What takes long to import (torch, SpeechBrain, even NumPy) is imported by the command that needs it,
so that the others answer at once.
"""

from typing import Annotated

import typer

from bloomnet_sb import __version__
from bloomnet_sb.cli import files, live, networks, scores, shards
from bloomnet_sb.cli.addresses import AddressMayFollow
from bloomnet_sb.utils.errors import exit_with_one_line

app = typer.Typer()


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bloomnet {__version__}")
        raise typer.Exit


@app.callback()
def bloomnet(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Speech enhancement with a number of blocks that you choose."""


# In the order of `bloomnet --help`.
for command in (
    files.enhance, files.report, files.separate, networks.info, networks.convert, networks.export,
    live.live, scores.evaluate, networks.push, shards.shard, scores.page,
):  # fmt: skip
    app.command(cls=AddressMayFollow)(command)
app.command("list")(networks.list_installed)


def main() -> None:
    """The entry point of the command `bloomnet`."""
    with exit_with_one_line():
        app()
