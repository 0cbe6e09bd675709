"""`bloomnet list`, `info`, `convert`, `export` and `push`: networks and their folders."""

from pathlib import Path
from typing import Annotated

import typer

from bloomnet_sb.cli.common import (
    DEFAULT_SOURCE,
    Device,
    Source,
    checked_paths,
    load_network,
)
from bloomnet_sb.utils.errors import InputError


def list_installed() -> None:
    """Name the networks that came with the package."""
    from bloomnet_sb.pretrained.fetching import installed_names

    for name in installed_names():
        typer.echo(name)


def info(source: Source = DEFAULT_SOURCE, device: Device = "") -> None:
    """Print what each number of blocks costs: parameters, multiply-accumulates, time."""
    from bloomnet_sb.inference.base import BloomInterface
    from bloomnet_sb.scoring.tables import profile_table

    typer.echo(profile_table(load_network(BloomInterface, source, device).profile()))


def convert(
    paths: Annotated[list[Path], typer.Argument(help="CHECKPOINT... OUT.")],
    sample_rate: Annotated[
        int,
        typer.Option("--sample_rate", "--sample-rate", help="What they were trained at, in Hz."),
    ] = 16000,
) -> None:
    """Turn checkpoints of the paper's own code into a pretrained folder.

    CHECKPOINT... are the sequential models in order of depth, or the fine-tuned model.
    """
    from bloomnet_sb.pretrained.conversion import convert as convert_checkpoints

    *checkpoints, folder = checked_paths(paths, "convert", "checkpoints")
    convert_checkpoints(checkpoints, folder, sample_rate)


def export(
    folder: Annotated[Path, typer.Argument(help="OUT: a new folder.")],
    source: Source = DEFAULT_SOURCE,
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
    from bloomnet_sb.inference.base import BloomInterface
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
    network = load_network(BloomInterface, source, device)
    model, sample_rate = network.mods.model, network.sample_rate
    if web:
        from bloomnet_sb.web.export import export_web

        return export_web(model, sample_rate, folder, int8, Path(source).resolve().name, runtime)
    if not sherpa:
        return export_onnx(model, sample_rate, folder, int8)
    from bloomnet_sb.scoring.corpus import corpus_test_set
    from bloomnet_sb.streaming.sherpa_export import MOST_LOSS_DB, export_sherpa

    mixtures = corpus_test_set(data_folder, sample_rate) if data_folder else None
    losses = export_sherpa(model, sample_rate, folder, mixtures)  # type: ignore[arg-type]
    for depth, loss in losses.items():
        kept = "written" if loss < MOST_LOSS_DB else "not written"
        typer.echo(f"depth {depth}: 8 bits lose {loss:.3f} dB; {kept}")


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
