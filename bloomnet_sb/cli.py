"""The command `bloomnet`.

What takes long to import (torch, SpeechBrain, even NumPy) is imported by the command that needs it,
so that the others answer at once.
"""

from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bloomnet_sb import __version__
from bloomnet_sb.utils.errors import InputError, check_blocks, exit_with_one_line

if TYPE_CHECKING:
    from bloomnet_sb.inference.base import BloomInterface
    from bloomnet_sb.utils.folders import LeftOut

Interface = TypeVar("Interface", bound="BloomInterface")

DEFAULT_SOURCE = "convtasnet-16k"
LIVE_SOURCE = "convtasnet-causal-16k"

app = typer.Typer()

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
    to_shards: Annotated[
        bool,
        typer.Option(
            "--to_shards", "--to-shards", help="Pack the results into WebDataset shards in OUT."
        ),
    ] = False,
    shard_mb: Annotated[
        int,
        typer.Option("--shard_mb", "--shard-mb", help="For files: size of a shard, 10^6 bytes."),
    ] = 500,
    shard: Annotated[
        str,
        typer.Option(help="Which share of the corpus, from 1, of how many, as 3/64. Default: all."),
    ] = "",
    strength: Strength = 1.0,
    attenuation_limit_db: AttenuationLimit = None,
    highband: Highband = "follow",
    force: Force = False,
    device: Device = "",
) -> None:
    """Enhance audio files, folders, lists of files (CSV, JSON lines) or WebDataset shards (.tar).

    One audio file IN and an OUT with a suffix: OUT is the file to write; "-" stands for a pipe.
    Otherwise OUT is a folder, and what was in a folder IN keeps its place below it. The folder gets
    report.jsonl, a line for each file, and report.csv and report.html made from it; started again,
    the command goes on where it was.
    """
    from bloomnet_sb.corpus.run import enhance_corpus, is_corpus
    from bloomnet_sb.corpus.shares import parse_share, report_name
    from bloomnet_sb.inference.amount import Amount
    from bloomnet_sb.inference.base import AUTO
    from bloomnet_sb.inference.choice import Choice
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.inference.places import check_folder, is_one_file, one_file
    from bloomnet_sb.utils.folders import one_line

    *inputs, output = _checked(paths, "enhance", "files or folders")
    number = blocks if blocks == AUTO else _number(blocks)
    amount = (strength, attenuation_limit_db, highband)
    share = parse_share(shard)
    if shard or to_shards or is_corpus(inputs):
        check_folder(output)
    elif is_one_file(inputs, output):
        with one_file(inputs[0], output, force) as (file, result):
            enhancer = _load(BloomEnhancer, source, device)
            enhancer.enhance_file(file, result, number, min_gain_db, *amount)
        return
    choice = Choice(source, number, min_gain_db, Amount(*amount), device or None)
    summary, left_out, lines = enhance_corpus(
        inputs, output, choice, jobs, force, to_shards, shard_mb, share
    )
    typer.echo(
        f"{summary.enhanced} files enhanced, {summary.skipped} had been before, "
        f"{len(summary.errors)} could not be; see {one_line(str(output / report_name(share)))}"
    )
    for line in lines:
        typer.echo(line)
    _end(summary.errors, left_out)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="OUT of `bloomnet enhance`, of all its shards.")],
) -> None:
    """Join the reports of a corpus's shards into report.csv and report.html; name what is missing.

    Exits with 1 where a shard is missing or not finished, or a file could not be enhanced.
    """
    from bloomnet_sb.corpus.report_tables import write_tables

    joined = write_tables(folder)
    typer.echo(joined.totals)
    for problem in joined.problems:
        typer.echo(f"error: {problem}", err=True)
    if joined.problems or joined.totals.failed:
        raise typer.Exit(code=1)


@app.command()
def separate(
    paths: Paths,
    source: Source,
    blocks: Blocks = "",
    force: Force = False,
    device: Device = "",
) -> None:
    """Separate the speakers in audio files, or in all of a folder.

    OUT is a folder. It gets a file for each source, NAME_source1 and so on; what was in a folder
    IN keeps its place below it.
    """
    from bloomnet_sb.inference.places import check_folder, find_inputs
    from bloomnet_sb.inference.separate_many import separate_many
    from bloomnet_sb.inference.separator import BloomSeparator

    *inputs, output = _checked(paths, "separate", "files or folders")
    check_folder(output)
    found = find_inputs(inputs, output)
    jobs = [(file, output / place) for file, place in found.files]
    separator = _load(BloomSeparator, source, device)
    if blocks:
        separator.blocks = _number(blocks)  # type: ignore[assignment]  # it refuses what is none
    errors = separate_many(separator, jobs, force)
    _end(errors, found.left_out)


@app.command()
def info(source: Source = DEFAULT_SOURCE, device: Device = "") -> None:
    """Print what each number of blocks costs: parameters, multiply-accumulates, time."""
    from bloomnet_sb.inference.base import BloomInterface
    from bloomnet_sb.scoring.tables import profile_table

    typer.echo(profile_table(_load(BloomInterface, source, device).profile()))


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
    device: Annotated[str, typer.Option(help="Where the network is run to be written.")] = "cpu",
    sherpa: Annotated[
        bool,
        typer.Option(help="Whether to write a file for each depth, for apps with sherpa-onnx."),
    ] = False,
    data_folder: Annotated[
        str,
        typer.Option(
            "--data_folder",
            "--data-folder",
            help="For --sherpa --int8, the corpus on which 8 bits must lose less than 0.05 dB.",
        ),
    ] = "",
    web: Annotated[
        bool, typer.Option("--web", help="With a page that runs it in the browser, to be served.")
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option(help="For --web: the archive of onnxruntime-web. Default: npm gets it."),
    ] = None,
) -> None:
    """Write a causal network as ONNX files that stream at any depth without torch."""
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.streaming.onnx_export import export_onnx

    if runtime and not web:
        raise InputError(f"--runtime {runtime} is for --web, which is not given")
    if sherpa and web:
        raise InputError("--sherpa and --web write different folders; give one of them")
    if bool(data_folder) != (sherpa and int8):
        raise InputError(
            "--data_folder goes with --sherpa --int8, and they with it: 8 bits are kept at the "
            "depths where they lose less than 0.05 dB on its test mixtures"
        )
    enhancer = _load(BloomEnhancer, source, device)
    model, sample_rate = enhancer.mods.model, enhancer.sample_rate
    if web:
        from bloomnet_sb.web.export import export_web

        return export_web(model, sample_rate, folder, int8, Path(source).name, runtime)
    if not sherpa:
        return export_onnx(model, sample_rate, folder, int8)
    from bloomnet_sb.scoring.corpus import corpus_test_set
    from bloomnet_sb.streaming.sherpa_export import MOST_LOSS_DB, export_sherpa

    mixtures = corpus_test_set(data_folder, enhancer.sample_rate) if data_folder else None
    losses = export_sherpa(model, sample_rate, folder, mixtures)  # type: ignore[arg-type]
    for depth, loss in losses.items():
        kept = "written" if loss < MOST_LOSS_DB else "not written"
        typer.echo(f"depth {depth}: 8 bits lose {loss:.3f} dB; {kept}")


@app.command()
def live(
    source: Source = LIVE_SOURCE,
    input: Annotated[str, typer.Option(help="A file, or a sound device's number or name.")] = "",
    output: Annotated[str, typer.Option(help="A file, or a sound device's number or name.")] = "",
    list_devices: Annotated[
        bool,
        typer.Option("--list_devices", "--list-devices", help="Name the sound devices, and exit."),
    ] = False,
    virtual_microphone: Annotated[
        bool,
        typer.Option(
            "--virtual_microphone",
            "--virtual-microphone",
            help="Play into a microphone that other programs can choose, BLOOM-Net (Linux).",
        ),
    ] = False,
    blocks: Annotated[int, typer.Option(help="How many blocks run. Default: by the load.")] = 0,
    target: Annotated[float, typer.Option(help="The load to keep to, where it decides.")] = 0.3,
    speed: Annotated[
        Speed, typer.Option(help="For a file: as a microphone, or as fast as it goes.")
    ] = Speed.REALTIME,
    compiled: Annotated[bool, typer.Option(help="Whether to compile it for this CPU.")] = False,
    strength: Strength = 1.0,
    attenuation_limit_db: AttenuationLimit = None,
    highband: Highband = "follow",
    force: Force = False,
    device: Device = "",
) -> None:
    """Enhance a microphone as it comes; a digit sets the blocks, "a" the automatic, "q" ends.

    Without --input and --output, the system's default devices.
    """
    if list_devices:
        from bloomnet_sb.streaming.devices import device_lines

        typer.echo("\n".join(device_lines()) or "no sound devices")
        return
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.inference.places import check_new
    from bloomnet_sb.streaming.live import run_live
    from bloomnet_sb.streaming.policies import Fixed, RealTime
    from bloomnet_sb.utils.audio_files import is_same_file

    if Path(output).suffix and not is_same_file(input, output):  # which is refused for itself
        check_new(Path(output), force)
    enhancer = _load(BloomEnhancer, source, device)
    policy = Fixed(check_blocks(blocks, enhancer.num_blocks)) if blocks else RealTime(target)
    report = run_live(
        enhancer, policy, input or None, output or None, speed.value, virtual=virtual_microphone,
        blocks=blocks or None, compiled=compiled, strength=strength,
        attenuation_limit_db=attenuation_limit_db, highband=highband,
    )  # fmt: skip
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
    ] = "",
    noisy: Annotated[str, typer.Option(help="Or a folder of noisy recordings, and..")] = "",
    clean: Annotated[str, typer.Option(help="..one of clean ones of the same names.")] = "",
    enhanced: Annotated[
        list[str] | None,
        typer.Option(help="A folder of what another program made of the noisy ones, to score."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(help="As of `enhance`. Default: convtasnet-16k, with --enhanced none."),
    ] = "",
    output_folder: Annotated[
        str,
        typer.Option(
            "--output_folder",
            "--output-folder",
            help="For --noisy: where results.md, results.json and scores.csv go.",
        ),
    ] = "results/evaluate",
    force: Annotated[bool, typer.Option(help="Whether to write over those of before.")] = False,
    noise_split: Annotated[
        str, typer.Option("--noise_split", "--noise-split", help="A CSV file of file and split.")
    ] = "",
    max_seconds: Annotated[
        float,
        typer.Option(
            "--max_seconds", "--max-seconds", help="Longest test mixture. Default: 10, pairs whole."
        ),
    ] = 0.0,
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
    device: Device = "",
) -> None:
    """Score every number of blocks on a corpus's test part or on pairs, and print the tables."""
    if noisy or clean or enhanced:
        from bloomnet_sb.inference.evaluation import evaluate_folders

        if data_folder or not (noisy and clean):
            raise InputError("evaluate takes --data_folder, or --noisy and --clean")
        network = source or ("" if enhanced else DEFAULT_SOURCE)
        table = evaluate_folders(
            noisy, clean, enhanced or (), network, output_folder, force, dnsmos,
            max_seconds or None, limit or None, allow_upsampling, device or None,
        )  # fmt: skip
        return typer.echo(table)
    if not data_folder:
        raise InputError("evaluate takes --data_folder, or --noisy and --clean")
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.scoring.corpus import evaluate_on_librispeech_musan
    from bloomnet_sb.scoring.tables import results_table

    enhancer = _load(BloomEnhancer, source or DEFAULT_SOURCE, device)
    results = evaluate_on_librispeech_musan(
        enhancer.mods.model,
        enhancer.sample_rate,
        data_folder,
        noise_split or None,
        max_seconds=max_seconds or 10.0,
        with_dnsmos=dnsmos,
        limit=limit or None,
        allow_upsampling=allow_upsampling,
    )
    typer.echo(results_table(results))


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="A pretrained folder, with its README.md.")],
    repo_id: Annotated[str, typer.Argument(help="NAME/MODEL on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option(help="Whether a new repository is private.")] = False,
    license: Annotated[
        str, typer.Option(help="Of the weights, by the hub's name for it, such as cc-by-4.0.")
    ] = "",
    message: Annotated[str, typer.Option(help="Of the commit.")] = "",
) -> None:
    """Put a pretrained folder and its card on the Hugging Face hub."""
    from bloomnet_sb.pretrained.pushing import push as push_folder

    address = push_folder(folder, repo_id, private, license or None, message or None)
    typer.echo(f"{address}: --source {repo_id} loads it")


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
    device: Device = "",
) -> None:
    """Write a page to hear recordings at every number of blocks, in one HTML file."""
    from bloomnet_sb.page.comparison import compare_files

    *files, output = _checked(paths, "page", "recordings")
    written = compare_files(files, output, source, clean, device or None)
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


def _load(kind: "type[Interface]", source: str, device: str) -> "Interface":
    return kind.from_hparams(source=source, run_opts={"device": device or None})


def _number(blocks: str) -> int | str | None:
    """A number of blocks, or what cannot be one, to be refused where it is used."""
    return int(blocks) if blocks.removeprefix("-").isdecimal() else blocks or None


def _end(errors: "list[str]", left_out: "list[LeftOut]") -> None:
    """Say what files could not be processed, and what were left out; exit with 1 for the former."""
    from bloomnet_sb.utils.folders import one_line, summary_of

    for error in errors:
        typer.echo(f"error: {one_line(error)}", err=True)
    if left_out:
        typer.echo(summary_of(left_out))
    if errors:
        raise typer.Exit(code=1)
