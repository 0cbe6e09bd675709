"""Separating many files: failures noted, nothing overwritten that should stay."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from bloomnet_sb.inference.places import check_new, check_outputs, told_apart
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.utils.atomic_files import made_and_locked
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
    with made_and_locked(output):
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
    """Files with their sources, of which no two have one name, see `places.told_apart`."""
    pairs = [(name.with_suffix(path.suffix), name) for path, names in named for name in names]
    places = iter(told_apart(pairs))
    return [(path, [next(places) for _ in names]) for path, names in named]
