"""The command `bloomnet`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from bloomnet_sb.data.audio import AUDIO_SUFFIXES
from bloomnet_sb.errors import InputError, exit_with_one_line

app = typer.Typer(help="Speech enhancement with a number of blocks that you choose.")

Source = Annotated[
    str, typer.Option(help="A pretrained folder, or the id of one on the Hugging Face hub.")
]


@app.command()
def enhance(
    paths: Annotated[list[Path], typer.Argument(help="IN... OUT: files or folders, and where to.")],
    source: Source,
    blocks: Annotated[str, typer.Option(help="How many blocks run. Default: all.")] = "",
) -> None:
    """Enhance audio files, or all in a folder.

    One file IN and an OUT with an audio suffix: OUT is the file to write. Otherwise OUT is a
    folder, and what was in a folder IN keeps its place below it.
    """
    if len(paths) < 2:
        raise InputError("enhance takes one or more files or folders, and where the result goes")
    *inputs, output = paths
    jobs = _plan(inputs, output)
    from bloomnet_sb.inference import BloomEnhancer

    enhancer = BloomEnhancer.from_hparams(source=source)
    if blocks:
        enhancer.blocks = int(blocks) if blocks.removeprefix("-").isdecimal() else blocks
    failures = 0
    for noisy, enhanced in track(jobs, "Enhancing", disable=len(jobs) == 1, transient=True):
        try:
            enhancer.enhance_file(noisy, enhanced)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            failures += 1
    if failures:
        raise typer.Exit(code=1)


@app.command()
def info(source: Source) -> None:
    """Print what each number of blocks costs: parameters, multiply-accumulates, time."""
    from bloomnet_sb.inference import BloomEnhancer
    from bloomnet_sb.reports import profile_table

    typer.echo(profile_table(BloomEnhancer.from_hparams(source=source).profile()))


def main() -> None:
    """The entry point of the command `bloomnet`."""
    with exit_with_one_line():
        app()


def _plan(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """The pairs of a file to read and a file to write."""
    if len(inputs) == 1 and not inputs[0].is_dir() and output.suffix in AUDIO_SUFFIXES:
        return [(inputs[0], output)]
    jobs = []
    for path in inputs:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
            if not files:
                raise InputError(f"{path}: holds no {', '.join(AUDIO_SUFFIXES)} file")
            jobs += [(file, output / file.relative_to(path)) for file in files]
        else:
            jobs.append((path, output / path.name))
    return jobs
