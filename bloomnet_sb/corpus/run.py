"""Enhancing a whole corpus on one machine: what comes in, what goes out, and its reports."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bloomnet_sb.corpus.lists import is_list, read_list
from bloomnet_sb.corpus.on_ray import ray_engine
from bloomnet_sb.corpus.parts import enhance_parts, parts_of_files, parts_of_shards
from bloomnet_sb.corpus.ray_workers import RayOptions
from bloomnet_sb.corpus.report_tables import check_tables, write_tables
from bloomnet_sb.corpus.shards import check_found, is_shard
from bloomnet_sb.corpus.shares import WHOLE, Share, report_name
from bloomnet_sb.corpus.stored_run import enhance_stored, in_stores
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.many_files import Summary, enhance_many
from bloomnet_sb.inference.places import name_results, summary_of_names
from bloomnet_sb.utils.errors import check_positive
from bloomnet_sb.utils.folders import LeftOut, check_any_audio, list_input


class Corpus(NamedTuple):
    """What is to be enhanced.

    Arguments
    ---------
    files : list of (Path, Path)
        Recordings, each with the place of its folder.
    shards : list of Path
        Or WebDataset shards.
    left_out : list of LeftOut
        What was in folders beside them.
    """

    files: list[tuple[Path, Path]]
    shards: list[Path]
    left_out: list[LeftOut]


class Enhanced(NamedTuple):
    """What became of a corpus.

    Arguments
    ---------
    summary : Summary
        How many files.
    left_out : list of LeftOut
        What was no recording.
    lines : list of str
        What a user should know of it.
    """

    summary: Summary
    left_out: list[LeftOut]
    lines: list[str]


def goes_to_folder(inputs: Iterable[str], output: str) -> bool:
    """Whether an input is a list, a shard or in a store, so that the results go to a folder.

    Example
    -------
    >>> goes_to_folder(["manifest.csv"], "out"), goes_to_folder(["noisy.wav"], "clean.wav")
    (True, False)
    """
    named = list(inputs)
    kinds = (is_list(path) or is_shard(path) for path in map(Path, named))
    return in_stores(named, output) or any(kinds)


def find_corpus(inputs: Iterable[Path], output: Path) -> Corpus:
    """Find what is to be enhanced: files, folders, lists of files; or shards, folders of shards.

    Arguments
    ---------
    inputs : iterable of Path
        What a user named.
    output : Path
        The folder of the results.

    Raises
    ------
    InputError
        If a folder or a list names none, or there are both files and shards.

    Example
    -------
    >>> len(find_corpus([Path("tests/samples/demo")], Path("out")).files)
    4
    """
    files: dict[tuple[Path, Path], None] = {}
    shards: dict[Path, None] = {}
    left_out: list[LeftOut] = []
    for path in inputs:
        if is_shard(path):
            shards[path] = None
        elif is_list(path):
            files |= dict.fromkeys(read_list(path))
        elif not os.path.isdir(path):
            files[path, Path()] = None
        else:
            listing = list_input(path, output)
            inside = {item.path for item in listing.left_out if is_shard(item.path)}
            if not inside:
                check_any_audio(path, listing)
            shards |= dict.fromkeys(sorted(inside))
            files |= {(file, file.parent.relative_to(path)): None for file in listing.files}
            left_out += [item for item in listing.left_out if item.path not in inside]
    check_found(files, shards, output)
    return Corpus(list(files), list(shards), left_out)


def enhance_corpus(
    inputs: Iterable[str | Path],
    output: str | Path,
    choice: Choice,
    processes: int = 1,
    force: bool = False,
    to_shards: bool = False,
    shard_mb: int = 500,
    share: Share = WHOLE,
    ray: RayOptions | None = None,
) -> Enhanced:
    """Enhance files, folders, lists or WebDataset shards into a folder or shards.

    The folder of results gets report.jsonl, see `enhance_many` and `enhance_parts`, and made from
    it report.csv and report.html; a share of the corpus a report of its own, which `write_tables`
    joins with those of the others.

    Arguments
    ---------
    inputs : iterable of str or Path
        What a user named, see `find_corpus`; addresses of stores, too, such as s3://bucket/folder.
    output : str or Path
        The folder of the results, or its address.
    choice : Choice
        The network, and how it runs.
    processes : int
        How many files are enhanced at a time.
    force : bool
        Whether files are overwritten that are no results of a run before.
    to_shards : bool
        Whether results go to shards: one for each shard, or files packed together.
    shard_mb : int
        For files that are packed: their size in a shard, in 10^6 bytes.
    share : Share
        Of the corpus, where several runs share it. Default: all of it.
    ray : RayOptions, optional
        The cluster whose workers do it, each file or shard at a time. Default: this machine alone.

    Returns
    -------
    Enhanced
        What became of it.

    Raises
    ------
    InputError
        As `find_corpus`, `enhance_many` and `ray_engine`, or if the share is in work.

    Example
    -------
    >>> out, choice = Path(getfixture("tmpdir")), Choice("convtasnet-16k", blocks=1)
    >>> enhanced = enhance_corpus([Path("tests/samples/demo/noisy_0dB.flac")], out, choice)
    >>> enhanced.summary.enhanced, sorted(path.name for path in out.glob("report*"))
    (1, ['report.csv', 'report.html', 'report.jsonl'])
    """
    check_positive(shard_mb=shard_mb, processes=processes)
    named = [str(path) for path in inputs]
    if in_stores(named, str(output)):
        how = (choice, processes, force, to_shards, shard_mb, share, ray)
        return Enhanced(*enhance_stored(named, str(output), *how))
    output = Path(output)
    corpus, report = find_corpus(map(Path, named), output), report_name(share)
    lines: list[str] = []
    check_tables(output)
    with ExitStack() as stack:
        enhancer, run, run_tasks = None, None, None
        if ray is not None:
            enhancer = choice.load()
            engine = stack.enter_context(ray_engine(ray, choice.head(enhancer), output))
            run, run_tasks = engine.run_batches, engine.run_tasks
        options = (choice, processes, force, corpus.left_out, report, enhancer)
        if corpus.shards:
            shards = [path for path, _ in share.of((path, Path()) for path in corpus.shards)]
            parts = parts_of_shards(shards, output, to_shards)
            summary = enhance_parts(parts, output, *options, run_tasks)
        elif to_shards:
            parts = parts_of_files(share.of(corpus.files), output, shard_mb, share.packed)
            summary = enhance_parts(parts, output, *options, run_tasks)
        else:
            files = name_results(share.of(corpus.files), output)
            summary = enhance_many(files, output, *options, run)
            lines += filter(None, [summary_of_names(files)])
    if share == WHOLE:
        lines.append(str(write_tables(output).totals))
    return Enhanced(summary, corpus.left_out, lines)
