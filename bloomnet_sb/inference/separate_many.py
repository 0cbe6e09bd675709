"""Separating many files: failures noted, nothing overwritten that should stay."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from tqdm import tqdm

from bloomnet_sb.inference.places import check_new, check_outputs
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.utils.atomic_files import lock_folder
from bloomnet_sb.utils.errors import InputError


def separate_many(
    separator: BloomSeparator,
    jobs: Iterable[tuple[Path, Path]],
    output: Path,
    force: bool = False,
) -> list[str]:
    """Separate files; one that cannot be does not stop the others.

    Arguments
    ---------
    separator : BloomSeparator
        What separates.
    jobs : iterable of (Path, Path)
        Files, and the folders for their sources.
    output : Path
        The folder of them all, which no other process separates or enhances into meanwhile.
    force : bool
        Whether files are overwritten.

    Returns
    -------
    list of str
        The errors.

    Raises
    ------
    InputError
        If a source of one would be written over an input, or over that of another; if the folder
        cannot be written, or another process is at work in it.

    Example
    -------
    >>> separate_many(None, [], Path(getfixture("tmpdir")))
    []
    """
    errors, named = [], []
    for path, folder in jobs:
        try:
            named.append((path, separator.output_names(path, folder)))
        except InputError as error:
            errors.append(str(error))
    named = _told_apart(named)
    check_outputs((path, source) for path, sources in named for source in sources)
    with _locked(output):
        # None: only where there is a terminal.
        for path, sources in tqdm(named, unit="file", disable=len(named) <= 1 or None):
            try:
                for source in sources:
                    check_new(source, force)
                separator.separate_to(path, sources)
            except InputError as error:
                errors.append(str(error))
    return errors


def _told_apart(named: list[tuple[Path, list[Path]]]) -> list[tuple[Path, list[Path]]]:
    """Where two files would have one result, the old suffix stays in that of another suffix."""
    counts = Counter(sources[0] for _, sources in named)
    return [
        (path, sources)
        if counts[sources[0]] == 1 or sources[0].suffix == path.suffix
        else (path, [name.with_name(f"{name.stem}{path.suffix}{name.suffix}") for name in sources])
        for path, sources in named
    ]


def _locked(folder: Path) -> IO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return lock_folder(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
