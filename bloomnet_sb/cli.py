"""The command `bloomnet`.

What takes long to import (torch, SpeechBrain, even NumPy) is imported by the command that needs it,
so that the others answer at once.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from bloomnet_sb import __version__
from bloomnet_sb.utils.errors import InputError, check_blocks, exit_with_one_line

if TYPE_CHECKING:
    from bloomnet_sb.inference.base import BloomInterface

DEFAULT_SOURCE = "convtasnet-16k"
LIVE_SOURCE = "convtasnet-causal-16k"

app = typer.Typer()

Paths = Annotated[list[Path], typer.Argument(help="IN... OUT: files or folders, and where to.")]
Blocks = Annotated[str, typer.Option(help="How many blocks run. Default: all.")]
Source = Annotated[
    str,
    typer.Option(help="A pretrained folder, a name of `bloomnet list`, or a Hugging Face id."),
]


class Speed(str, Enum):
    """How fast a file comes in place of a microphone."""

    REALTIME = "realtime"
    FULL = "full"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bloomnet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Speech enhancement with a number of blocks that you choose."""


@app.command()
def enhance(
    paths: Paths,
    source: Source = DEFAULT_SOURCE,
    blocks: Annotated[str, typer.Option(help='How many blocks run, or "auto". Default: all.')] = "",
    min_gain_db: Annotated[
        float,
        typer.Option(
            "--min_gain_db",
            "--min-gain-db",
            help="For auto: stop when a block changes a window by less, in dB of its power.",
        ),
    ] = -20.0,
    jobs: Annotated[int, typer.Option(help="How many files are enhanced at a time.")] = 1,
) -> None:
    """Enhance audio files, or all in a folder.

    One file IN and an OUT with an audio suffix: OUT is the file to write. Otherwise OUT is a
    folder, and what was in a folder IN keeps its place below it. The folder gets report.jsonl, a
    line for each file; started again, the command goes on where it was.
    """
    from bloomnet_sb.inference.base import AUTO
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.inference.many_files import REPORT, Choice, enhance_many
    from bloomnet_sb.utils.audio_files import can_be_written

    *inputs, output = _checked(paths, "enhance", "files or folders")
    number = blocks if blocks == AUTO else _number(blocks)
    if len(inputs) == 1 and not inputs[0].is_dir() and can_be_written(output):
        _check_outputs([(inputs[0], output)])
        enhancer = BloomEnhancer.from_hparams(source=source)
        enhancer.enhance_file(inputs[0], output, number, min_gain_db)
        return
    files = [(file, output / place / file.name) for file, place in _find(inputs, output)]
    _check_outputs(files)
    summary = enhance_many(files, output, Choice(source, number, min_gain_db), jobs)
    for error in summary.errors:
        typer.echo(f"error: {error}", err=True)
    typer.echo(
        f"{summary.enhanced} files enhanced, {summary.skipped} had been before, "
        f"{len(summary.errors)} could not be; see {output / REPORT}"
    )
    if summary.errors:
        raise typer.Exit(code=1)


@app.command()
def separate(paths: Paths, source: Source, blocks: Blocks = "") -> None:
    """Separate the speakers in audio files, or in all of a folder.

    OUT is a folder. It gets a file for each source, NAME_source1 and so on; what was in a folder
    IN keeps its place below it.
    """
    from bloomnet_sb.inference.separator import BloomSeparator

    *inputs, output = _checked(paths, "separate", "files or folders")
    jobs = [(file, output / place) for file, place in _find(inputs, output)]
    _check_outputs([(file, place / file.name) for file, place in jobs])
    _run(_load(BloomSeparator, source, blocks).separate_file, jobs)


@app.command()
def info(source: Source = DEFAULT_SOURCE) -> None:
    """Print what each number of blocks costs: parameters, multiply-accumulates, time."""
    from bloomnet_sb.inference.base import BloomInterface
    from bloomnet_sb.scoring.tables import profile_table

    typer.echo(profile_table(BloomInterface.from_hparams(source=source).profile()))


@app.command()
def convert(
    paths: Annotated[list[Path], typer.Argument(help="CHECKPOINT... OUT.")],
    sample_rate: Annotated[int, typer.Option(help="What they were trained at, in Hz.")] = 16000,
) -> None:
    """Turn checkpoints of the paper's own code into a pretrained folder.

    CHECKPOINT... are the sequential models in order of depth, or the fine-tuned model.
    """
    from bloomnet_sb.pretrained.conversion import convert as convert_checkpoints

    *checkpoints, folder = _checked(paths, "convert", "checkpoints")
    convert_checkpoints(checkpoints, folder, sample_rate)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="OUT: a new folder.")],
    source: Source = LIVE_SOURCE,
    int8: Annotated[bool, typer.Option(help="Whether to quantise to 8 bits.")] = False,
) -> None:
    """Write a causal network as ONNX files that stream at any depth without torch."""
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.streaming.onnx_export import export_onnx

    enhancer = BloomEnhancer.from_hparams(source=source)
    export_onnx(enhancer.mods.model, enhancer.sample_rate, folder, int8)


@app.command()
def live(
    source: Source = LIVE_SOURCE,
    input: Annotated[str, typer.Option(help="A file, or a sound device. Default: its own.")] = "",
    output: Annotated[str, typer.Option(help="A file, or a sound device. Default: its own.")] = "",
    blocks: Annotated[int, typer.Option(help="How many blocks run. Default: by the load.")] = 0,
    target: Annotated[float, typer.Option(help="The load to keep to, where it decides.")] = 0.3,
    speed: Annotated[
        Speed, typer.Option(help="For a file: as a microphone, or as fast as it goes.")
    ] = Speed.REALTIME,
    compiled: Annotated[bool, typer.Option(help="Whether to compile it for this CPU.")] = False,
) -> None:
    """Enhance a microphone as it comes; a digit sets the blocks, "a" the automatic, "q" ends."""
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.streaming.live import run_live
    from bloomnet_sb.streaming.policies import Fixed, RealTime

    enhancer = BloomEnhancer.from_hparams(source=source)
    policy = Fixed(check_blocks(blocks, enhancer.num_blocks)) if blocks else RealTime(target)
    stream = enhancer.stream(blocks or None, compiled=compiled)
    report = run_live(stream, policy, input or None, output or None, speed.value)
    typer.echo(
        f"{report.chunks} chunks, {report.missed} of them late, {report.blocks:.2f} blocks on "
        f"average, load {report.compute_seconds / max(report.audio_seconds, 1e-9):.1%}"
    )


@app.command()
def evaluate(
    data_folder: Annotated[
        str,
        typer.Option(
            "--data_folder", "--data-folder", help="The folder of LibriSpeech/ and musan/."
        ),
    ],
    source: Source = DEFAULT_SOURCE,
    noise_split: Annotated[
        str, typer.Option("--noise_split", "--noise-split", help="A CSV file of file and split.")
    ] = "",
    max_seconds: Annotated[
        float, typer.Option("--max_seconds", "--max-seconds", help="Longest test mixture.")
    ] = 10.0,
    dnsmos: Annotated[bool, typer.Option(help="Whether DNSMOS is computed.")] = True,
    limit: Annotated[
        int, typer.Option(min=0, help="How many mixtures, for a quick look. Default: all.")
    ] = 0,
    allow_upsampling: Annotated[
        bool,
        typer.Option(
            "--allow_upsampling",
            "--allow-upsampling",
            help="Whether to take files of lower rates than the network's.",
        ),
    ] = False,
) -> None:
    """Score every number of blocks on a corpus's test part, and print the tables."""
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.scoring.corpus import evaluate_on_librispeech_musan
    from bloomnet_sb.scoring.tables import results_table

    enhancer = BloomEnhancer.from_hparams(source=source)
    results = evaluate_on_librispeech_musan(
        enhancer.mods.model,
        enhancer.sample_rate,
        data_folder,
        noise_split or None,
        max_seconds=max_seconds,
        with_dnsmos=dnsmos,
        limit=limit or None,
        allow_upsampling=allow_upsampling,
    )
    typer.echo(results_table(results))


@app.command()
def shard(
    data_folder: Annotated[Path, typer.Argument(help="The folder of LibriSpeech/ and musan/.")],
    folder: Annotated[Path, typer.Argument(help="OUT: a folder without shards.")],
    shard_mb: Annotated[
        int, typer.Option("--shard_mb", "--shard-mb", help="How large a shard is, in 10^6 bytes.")
    ] = 500,
    sample_rate: Annotated[
        int, typer.Option("--sample_rate", "--sample-rate", help="The lowest that is taken, in Hz.")
    ] = 16000,
) -> None:
    """Pack a corpus's training speech into WebDataset shards, for the `shards` of a recipe."""
    from bloomnet_sb.data import prepare_librispeech_musan, write_shards

    with TemporaryDirectory() as manifests:
        prepare_librispeech_musan(str(data_folder), manifests, sample_rate)
        index = write_shards(manifests, str(data_folder), folder, shard_mb)
    utterances = sum(entry["utterances"] for entry in index.values())
    typer.echo(f"{utterances} utterances in {len(index)} shards; see {folder / 'shards.json'}")


@app.command()
def page(
    paths: Annotated[list[Path], typer.Argument(help="NOISY... OUT.html.")],
    clean: Annotated[
        list[Path], typer.Option(help="The clean speech, for scores; once for each recording.")
    ] = [],  # noqa: B006 (typer asks for it, and nobody changes it)
    source: Annotated[
        list[str], typer.Option(help="As in `enhance`; more than once for several networks.")
    ] = [DEFAULT_SOURCE],  # noqa: B006
) -> None:
    """Write a page to hear recordings at every number of blocks, in one HTML file."""
    from bloomnet_sb.page.comparison import compare_files

    *files, output = _checked(paths, "page", "recordings")
    written = compare_files(files, output, source, clean)
    typer.echo(f"{output}: {written.tracks} tracks as {written.codec}, {written.size / 1e6:.1f} MB")


@app.command("list")
def list_installed() -> None:
    """Name the networks that came with the package."""
    from bloomnet_sb.pretrained.fetching import installed_names

    for name in installed_names():
        typer.echo(name)


def main() -> None:
    """The entry point of the command `bloomnet`."""
    with exit_with_one_line():
        app()


def _checked(paths: list[Path], command: str, inputs: str) -> list[Path]:
    if len(paths) < 2:
        raise InputError(f"{command} takes one or more {inputs}, and where the result goes")
    return paths


def _find(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """The audio files in `inputs`, each with its folder's place below the folder it is from.

    Without those below `output`: they are results of a run before.
    """
    from bloomnet_sb.utils.audio_files import AUDIO_SUFFIXES, audio_files

    found = []
    for path in inputs:
        if not path.is_dir():
            found.append((path, Path()))
            continue
        if path.resolve() == output.resolve():
            raise InputError(f"{output}: where the files are; name another folder for the results")
        results = output.resolve()
        files = [file for file in audio_files(path) if results not in file.resolve().parents]
        if not files:
            raise InputError(f"{path}: holds no {', '.join(AUDIO_SUFFIXES)} file")
        found += [(file, file.parent.relative_to(path)) for file in files]
    return list(dict.fromkeys(found))


def _check_outputs(files: list[tuple[Path, Path]]) -> None:
    """Refuse to write over an input, or two results to one place."""
    inputs = {path.resolve() for path, _ in files}
    taken: dict[Path, Path] = {}
    for path, output in files:
        place = output.resolve()
        if place in inputs:
            raise InputError(f"{output}: is an input; its result would be written over it")
        if taken.setdefault(place, path) != path:
            raise InputError(f"{output}: would be the result of both {taken[place]} and {path}")


def _load(kind: "type[BloomInterface]", source: str, blocks: str):
    interface = kind.from_hparams(source=source)
    if blocks:
        interface.blocks = _number(blocks)  # type: ignore[assignment]  # it refuses what is none
    return interface


def _number(blocks: str) -> int | str | None:
    """A number of blocks, or what cannot be one, to be refused where it is used."""
    return int(blocks) if blocks.removeprefix("-").isdecimal() else blocks or None


def _run(process: Callable[[Path, Path], object], jobs: list[tuple[Path, Path]]) -> None:
    """Process each file; one that cannot be does not stop the others."""
    from tqdm import tqdm

    failures = 0
    # None: only where there is a terminal.
    for path, output in tqdm(jobs, unit="file", disable=True if len(jobs) == 1 else None):
        try:
            process(path, output)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            failures += 1
    if failures:
        raise typer.Exit(code=1)
