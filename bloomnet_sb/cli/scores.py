"""`bloomnet evaluate` and `page`: what every number of blocks is worth, in figures and to hear."""

from pathlib import Path
from typing import Annotated

import typer

from bloomnet_sb.cli.common import DEFAULT_SOURCE, Device, checked_paths, load_network
from bloomnet_sb.utils.errors import InputError


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
        typer.Option(help="As of `enhance`. Default: bandrnn-16k, with --enhanced none."),
    ] = "",
    output_folder: Annotated[
        str,
        typer.Option(
            "--output_folder",
            "--output-folder",
            help="For --noisy: where results.md, results.json and scores.csv go. Default: "
            "results/evaluate.",
        ),
    ] = "",
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
        from bloomnet_sb.inference.evaluation import OUTPUT_FOLDER, evaluate_folders

        if data_folder or not (noisy and clean):
            raise InputError("evaluate takes --data_folder, or --noisy and --clean")
        if noise_split:
            raise InputError("--noise_split goes with --data_folder")
        network = source or ("" if enhanced else DEFAULT_SOURCE)
        folder = output_folder or OUTPUT_FOLDER
        table = evaluate_folders(
            noisy, clean, enhanced or (), network, folder, force, dnsmos,
            max_seconds or None, limit or None, allow_upsampling, device or None,
        )  # fmt: skip
        return typer.echo(table)
    if not data_folder:
        raise InputError("evaluate takes --data_folder, or --noisy and --clean")
    if output_folder or force:
        raise InputError("--output_folder and --force go with --noisy and --clean")
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.scoring.corpus import evaluate_on_librispeech_musan
    from bloomnet_sb.scoring.tables import results_table

    enhancer = load_network(BloomEnhancer, source or DEFAULT_SOURCE, device)
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

    *files, output = checked_paths(paths, "page", "recordings")
    written = compare_files(files, output, source, clean, device or None)
    kbits = f" at {written.opus_kbits:.0f} kbit/s" if written.opus_kbits else ""
    kind = f"{written.codec}{kbits}"
    typer.echo(f"{output}: {written.tracks} tracks as {kind}, {written.size / 1e6:.1f} MB")
