"""Where results go: found inputs, made names, and nothing written over what should stay."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bloomnet_sb.inference.pipes import PIPE, from_pipe, is_pipe, to_pipe
from bloomnet_sb.utils.audio_files import AUDIO_SUFFIXES, audio_info, checked_encoding
from bloomnet_sb.utils.audio_formats import AudioInfo, result_name
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import MOST_NAMES, LeftOut, check_any_audio, list_input, one_line


class Found(NamedTuple):
    """The recordings that a user named.

    Arguments
    ---------
    files : list of (Path, Path)
        Each with its folder's place below the folder that was named.
    left_out : list of LeftOut
        What was in the folders beside them.
    """

    files: list[tuple[Path, Path]]
    left_out: list[LeftOut]


def is_one_file(inputs: list[Path], output: Path) -> bool:
    """Whether one file is to be written, and not a folder.

    Arguments
    ---------
    inputs : list of Path
        Files or folders.
    output : Path
        Where the results go.

    Returns
    -------
    bool
        True for one input that is no folder and an output that has a suffix, is a file or a pipe;
        a folder may have a suffix if it is there already.

    Raises
    ------
    InputError
        If several results would go to what is a file by its being there or by its suffix.

    Example
    -------
    >>> is_one_file([Path("noisy.wav")], Path("clean.wav"))
    True
    >>> is_one_file([Path("noisy.wav")], Path("clean"))
    False
    """
    # Those of os.path: a name may be too long to be asked for.
    if os.path.isdir(output):
        return False
    if len(inputs) == 1 and not os.path.isdir(inputs[0]):
        return output == PIPE or os.path.exists(output) or bool(output.suffix)
    check_folder(output)
    return False


def check_folder(output: Path) -> None:
    """Refuse a file, and what is named like one, as the folder of several results.

    Raises
    ------
    InputError
        If it is one.

    Example
    -------
    >>> check_folder(Path("clean"))
    """
    if os.path.isdir(output):
        return
    if output == PIPE or os.path.exists(output):
        raise InputError(f"{output}: is no folder, but several results go to one")
    if output.suffix.lower() in AUDIO_SUFFIXES:
        raise InputError(f"{output}: is the name of one file, but several results go to a folder")


def find_inputs(inputs: Iterable[Path], output: Path) -> Found:
    """Find the recordings that a user named, without those below `output`: results of a run before.

    Arguments
    ---------
    inputs : iterable of Path
        Files or folders.
    output : Path
        The folder of the results.

    Returns
    -------
    Found
        The recordings.

    Raises
    ------
    InputError
        If a folder holds none, or is that of the results.

    Example
    -------
    >>> found = find_inputs([Path("tests/samples/demo")], Path("out"))
    >>> found.files[0]
    (PosixPath('tests/samples/demo/clean_0dB.flac'), PosixPath('.'))
    """
    files: dict[tuple[Path, Path], None] = {}
    left_out: list[LeftOut] = []
    for path in inputs:
        if not os.path.isdir(path):
            files[path, Path()] = None
            continue
        listing = list_input(path, output)
        check_any_audio(path, listing)
        files |= {(file, file.parent.relative_to(path)): None for file in listing.files}
        left_out += listing.left_out
    return Found(list(files), left_out)


def name_results(
    files: Iterable[tuple[Path, Path]],
    folder: Path,
    info_of: Callable[[Path], AudioInfo] = audio_info,
) -> list[tuple[Path, Path]]:
    """Give each file a place for its result: its own name, where such a file can be written.

    Arguments
    ---------
    files : iterable of (Path, Path)
        Files, and the places of their folders.
    folder : Path
        Where the results go.
    info_of : callable
        What says what a file is.

    Returns
    -------
    list of (Path, Path)
        Files and results. Where the suffix changes and another result has the name, the old suffix
        stays in it.

    Example
    -------
    >>> name_results([(Path("tests/samples/demo/clean_0dB.flac"), Path("a"))], Path("out"))
    [(PosixPath('tests/samples/demo/clean_0dB.flac'), PosixPath('out/a/clean_0dB.flac'))]
    """
    kept = [(path, folder / place / path.name) for path, place in files]
    named = [(path, same, _written_as(same, path, info_of)) for path, same in kept]
    told = told_apart((same, name) for _, same, name in named)
    return [(path, name) for (path, _, _), name in zip(named, told, strict=True)]


def told_apart(names: Iterable[tuple[Path, Path]]) -> list[Path]:
    """Places of results, of which each pair has that of the file's own suffix and that of another.

    Where another result has the name, the old suffix stays in that of another suffix.

    Example
    -------
    >>> told_apart([(Path("a.flac"), Path("a.flac")), (Path("a.m4a"), Path("a.flac"))])
    [PosixPath('a.flac'), PosixPath('a.m4a.flac')]
    """
    names = list(names)
    counts = Counter(name for _, name in names)
    return [
        name if name == same or counts[name] == 1 else same.with_name(same.name + name.suffix)
        for same, name in names
    ]


def summary_of_names(files: Iterable[tuple[Path, Path]]) -> str:
    """One line for the results that have another suffix than their files; "" for none.

    Example
    -------
    >>> summary_of_names([(Path("in/call.m4a"), Path("out/call.flac"))])
    '1 in another format, as such files cannot be written: call.flac'
    """
    names = [one_line(name.name) for path, name in files if path.suffix != name.suffix]
    if not names:
        return ""
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    shown = ", ".join(names[:MOST_NAMES] + more)
    return f"{len(names)} in another format, as such files cannot be written: {shown}"


def _written_as(same: Path, path: Path, info_of: Callable[[Path], AudioInfo]) -> Path:
    try:
        return result_name(same, info_of(path))
    except InputError:  # it will be named when its turn comes
        return same


def check_outputs(files: Iterable[tuple[Path, Path]]) -> None:
    """Refuse to write over an input, by whatever path or link, or two results to one place.

    Raises
    ------
    InputError
        Naming the first such output.

    Example
    -------
    >>> check_outputs([(Path("a/x.wav"), Path("out/x.wav")), (Path("b/x.wav"), Path("out/y.wav"))])
    """
    files = list(files)
    inputs = {identity: path for path, _ in files if (identity := _identity(path))}
    taken: dict[object, Path] = {}
    for path, output in files:
        identity = _identity(output)
        if identity in inputs:
            raise InputError(f"{output}: is an input; its result would be written over it")
        if (first := taken.setdefault(identity or output.resolve(), path)) != path:
            raise InputError(f"{output}: would be the result of both {first} and {path}")


def check_new(output: Path, force: bool) -> None:
    """Refuse to write over a file that is there, unless that was asked for.

    Raises
    ------
    InputError
        If it is there.

    Example
    -------
    >>> check_new(Path("nowhere/clean.wav"), force=False)
    """
    if not force and os.path.lexists(output) and not is_pipe(output):
        raise InputError(refusal(output))


def refusal(output: str | Path) -> str:
    """Why a result is not written over a file that is there.

    Example
    -------
    >>> refusal("clean.wav")
    'clean.wav: is there already; with --force it is overwritten'
    """
    return f"{output}: is there already; with --force it is overwritten"


def is_refusal(entry: dict) -> bool:
    """Whether an entry of a report is that of a file that was not written over.

    Example
    -------
    >>> is_refusal({"output": "clean.wav", "error": refusal("clean.wav")})
    True
    """
    return "output" in entry and entry["error"] == refusal(entry["output"])


@contextmanager
def one_file(path: Path, output: Path, force: bool) -> Iterator[tuple[Path, Path]]:
    """Check that a file can be read and another be written, and give both, for pipes as well.

    Arguments
    ---------
    path, output : Path
        The input, and where its result goes.
    force : bool
        Whether to overwrite what is there.

    Yields
    ------
    (Path, Path)
        What to read and to write.

    Raises
    ------
    InputError
        If one of them cannot be, or they are the same.

    Example
    -------
    >>> noisy = Path("tests/samples/demo/noisy_0dB.flac")
    >>> with one_file(noisy, Path("clean.wav"), force=False) as (file, result):
    ...     result
    PosixPath('clean.wav')
    """
    with from_pipe(path) as file:
        info = audio_info(file)
        with to_pipe(output, info) as result:
            check_outputs([(file, result)])
            check_new(result, force)
            checked_encoding(result, info)
            yield file, result


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    return (about.st_dev, about.st_ino)
