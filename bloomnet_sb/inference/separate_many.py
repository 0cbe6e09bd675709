"""Separating many files: failures noted, nothing overwritten that should stay."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from bloomnet_sb.inference.places import check_new, check_outputs
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.utils.errors import InputError


def separate_many(
    separator: BloomSeparator, jobs: Iterable[tuple[Path, Path]], force: bool = False
) -> list[str]:
    """Separate files; one that cannot be does not stop the others.

    Arguments
    ---------
    separator : BloomSeparator
        What separates.
    jobs : iterable of (Path, Path)
        Files, and the folders for their sources.
    force : bool
        Whether files are overwritten.

    Returns
    -------
    list of str
        The errors.

    Raises
    ------
    InputError
        If a source of one would be written over an input, or over that of another.

    Example
    -------
    >>> separate_many(None, [])
    []
    """
    errors, named = [], []
    for path, folder in jobs:
        try:
            named.append((path, folder, separator.output_names(path, folder)))
        except InputError as error:
            errors.append(str(error))
    check_outputs((path, output) for path, _, outputs in named for output in outputs)
    # None: only where there is a terminal.
    for path, folder, outputs in tqdm(named, unit="file", disable=len(named) <= 1 or None):
        try:
            for output in outputs:
                check_new(output, force)
            separator.separate_file(path, folder)
        except InputError as error:
            errors.append(str(error))
    return errors
