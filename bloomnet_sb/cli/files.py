"""`bloomnet enhance`, `separate` and `report`: audio files, folders of them and corpora."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from bloomnet_sb.cli.common import (
    DEFAULT_SOURCE,
    AttenuationLimit,
    Blocks,
    Device,
    Force,
    Highband,
    Paths,
    Source,
    Strength,
    checked_paths,
    end_with,
    load_network,
    number_of_blocks,
)


def enhance(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="IN... OUT: files or folders, and where to; addresses, too, as s3://bucket/folder."
        ),
    ],
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
    jobs: Annotated[
        int | None,
        typer.Option(
            help="How many files are enhanced at a time. Default: 1; with --ray, as many workers "
            "as there is room for."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Enhance on a Ray cluster: HOST:PORT, ray://HOST:PORT, auto (which runs here) or "
            "local (which is started). Alone: auto if there is one, else local.",
        ),
    ] = None,
    num_cpus: Annotated[
        float, typer.Option("--num_cpus", "--num-cpus", help="For --ray: cores of each worker.")
    ] = 1.0,
    num_gpus: Annotated[
        float,
        typer.Option(
            "--num_gpus", "--num-gpus", help="For --ray: GPUs of each worker, 0.25 for a quarter."
        ),
    ] = 0.0,
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
    from bloomnet_sb.corpus.ray_workers import RayOptions
    from bloomnet_sb.corpus.run import enhance_corpus, goes_to_folder
    from bloomnet_sb.corpus.shares import parse_share, report_name
    from bloomnet_sb.inference.amount import Amount
    from bloomnet_sb.inference.base import AUTO
    from bloomnet_sb.inference.choice import Choice
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.inference.places import check_folder, is_one_file, one_file
    from bloomnet_sb.utils.folders import one_line

    *named, target = checked_paths(paths, "enhance", "files or folders")
    inputs, output = list(map(Path, named)), Path(target)
    number = blocks if blocks == AUTO else number_of_blocks(blocks)
    amount = (strength, attenuation_limit_db, highband)
    share = parse_share(shard)
    cluster = None if ray is None else RayOptions(ray, jobs, num_cpus, num_gpus)
    if shard or to_shards or cluster or goes_to_folder(named, target):
        check_folder(output)
    elif is_one_file(inputs, output):
        with one_file(inputs[0], output, force) as (file, result):
            enhancer = load_network(BloomEnhancer, source, device)
            enhancer.enhance_file(file, result, number, min_gain_db, *amount)
        return
    choice = Choice(source, number, min_gain_db, Amount(*amount), device or None)
    jobs = 1 if jobs is None else jobs
    summary, left_out, lines = enhance_corpus(
        named, target, choice, jobs, force, to_shards, shard_mb, share, cluster
    )
    where = f"{target.rstrip('/')}/{report_name(share)}"
    typer.echo(
        f"{summary.enhanced} files enhanced, {summary.skipped} had been before, "
        f"{len(summary.errors)} could not be; see {one_line(where)}"
    )
    for line in lines:
        typer.echo(line)
    end_with(summary.errors, left_out)


def separate(
    paths: Paths,
    source: Source,
    blocks: Blocks = "",
    force: Force = False,
    device: Device = "",
) -> None:
    """Separate the speakers in audio files, or in all of a folder.

    OUT is a folder. It gets a file for each source, NAME_source1 and so on; what was in a folder
    IN keeps its place below it. "-" stands for a pipe, whose sources are stdin_source1 and so on.
    """
    from bloomnet_sb.inference.pipes import from_pipe
    from bloomnet_sb.inference.places import check_folder, find_inputs
    from bloomnet_sb.inference.separate_many import separate_many
    from bloomnet_sb.inference.separator import BloomSeparator

    *inputs, output = checked_paths(paths, "separate", "files or folders")
    check_folder(output)
    with ExitStack() as pipes:
        found = find_inputs([pipes.enter_context(from_pipe(path)) for path in inputs], output)
        jobs = [(file, output / place) for file, place in found.files]
        separator = load_network(BloomSeparator, source, device)
        if blocks:
            separator.blocks = number_of_blocks(blocks)  # type: ignore[assignment]  # it refuses what is none
        errors = separate_many(separator, jobs, output, force)
    end_with(errors, found.left_out)


def report(
    folder: Annotated[str, typer.Argument(help="OUT of `bloomnet enhance`, of all its shards.")],
) -> None:
    """Join the reports of a corpus's shards into report.csv and report.html; name what is missing.

    Exits with 1 where a shard is missing or not finished, or a file could not be enhanced.
    """
    from bloomnet_sb.corpus.report_tables import write_tables
    from bloomnet_sb.corpus.stored_run import write_stored_tables
    from bloomnet_sb.utils.stores import is_address

    joined = write_stored_tables(folder) if is_address(folder) else write_tables(folder)
    typer.echo(joined.totals)
    for problem in joined.problems:
        typer.echo(f"error: {problem}", err=True)
    if joined.problems or joined.totals.failed:
        raise typer.Exit(code=1)
