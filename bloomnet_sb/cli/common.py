"""What commands have in common: their options, how they begin and how they end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bloomnet_sb.utils.errors import InputError

if TYPE_CHECKING:
    from bloomnet_sb.inference.base import BloomInterface
    from bloomnet_sb.utils.folders import LeftOut

Interface = TypeVar("Interface", bound="BloomInterface")
Named = TypeVar("Named", str, Path)

DEFAULT_SOURCE = "bandrnn-16k"

Paths = Annotated[list[Path], typer.Argument(help="IN... OUT: files or folders, and where to.")]
Blocks = Annotated[str, typer.Option(help="How many blocks run. Default: all.")]
Strength = Annotated[
    float, typer.Option(help="How much is enhanced: 1, all that the network does; 0, nothing.")
]
AttenuationLimit = Annotated[
    float | None,
    typer.Option(
        "--attenuation_limit_db",
        "--attenuation-limit-db",
        help="The most, in dB, that anything is lowered. Default: no limit.",
    ),
]
Highband = Annotated[
    str,
    typer.Option(help="The band above the network's: follow what it does below, or mute."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]
Source = Annotated[
    str,
    typer.Option(help="A pretrained folder, a name of `bloomnet list`, or a Hugging Face id."),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, mps.. Default: a GPU, where there is one.")
]


def checked_paths(paths: list[Named], command: str, inputs: str) -> list[Named]:
    """The IN... OUT of a command, once there are two of them."""
    if len(paths) < 2:
        raise InputError(f"{command} takes one or more {inputs}, and where the result goes")
    return paths


def load_network(kind: "type[Interface]", source: str, device: str) -> "Interface":
    """The network that `--source` names, on the device that `--device` names."""
    return kind.from_hparams(source=source, run_opts={"device": device or None})


def number_of_blocks(blocks: str) -> int | str | None:
    """A number of blocks, or what cannot be one, to be refused where it is used."""
    return int(blocks) if blocks.removeprefix("-").isdecimal() else blocks or None


def end_with(errors: "list[str]", left_out: "list[LeftOut]") -> None:
    """Say what files could not be processed, and what were left out; exit with 1 for the former."""
    from bloomnet_sb.utils.folders import one_line, summary_of

    for error in errors:
        typer.echo(f"error: {one_line(error)}", err=True)
    if left_out:
        typer.echo(summary_of(left_out))
    if errors:
        raise typer.Exit(code=1)
