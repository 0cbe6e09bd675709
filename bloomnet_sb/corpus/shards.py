"""WebDataset shards of recordings: taking them out of a tar file, and packing results into one."""

import copy
import io
import json
import os
import shutil
import tarfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.audio_files import AUDIO_SUFFIXES
from bloomnet_sb.utils.errors import DISK_FULL, InputError

SHARD_SUFFIX = ".tar"
UNREADABLE = (OSError, tarfile.TarError, EOFError)
# Headers of a member that would win over its name, its size and what it is now
OF_BEFORE = ("path", "size", "linkpath")


class Member(NamedTuple):
    """A recording of a shard.

    Arguments
    ---------
    name : str
        Its name in the shard.
    file : Path
        The file that it was taken out to.
    """

    name: str
    file: Path


class Packed(NamedTuple):
    """What is to be packed as one sample.

    Arguments
    ---------
    id : str
        What its JSON calls it.
    file : Path
        The file.
    """

    id: str
    file: Path


def is_shard(path: Path) -> bool:
    """Whether a path is that of a shard, by its suffix.

    Example
    -------
    >>> is_shard(Path("speech-000000.tar")), is_shard(Path("noisy.wav"))
    (True, False)
    """
    return path.suffix.lower() == SHARD_SUFFIX and not os.path.isdir(path)


def check_found(files: Collection[Any], shards: Collection[Any], output: object) -> None:
    """Refuse a corpus of nothing, or of both files and shards.

    Raises
    ------
    InputError
        Naming the first shard, or the folder of the results.

    Example
    -------
    >>> check_found([Path("noisy.wav")], [], "out")
    """
    if files and shards:
        raise InputError(
            f"{next(iter(shards))}: shards are not taken together with files; enhance them apart"
        )
    if not files and not shards:
        raise InputError(f"{output}: nothing to be enhanced for it")


def key_of(name: str) -> str:
    """The key of a member's sample: its name without all after the first dot.

    Example
    -------
    >>> key_of("train/0001.seg.flac")
    'train/0001'
    """
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}" if folder else base.partition(".")[0]


def is_recording(name: str) -> bool:
    """Whether a member is a recording, by its suffix.

    Example
    -------
    >>> is_recording("0001.flac"), is_recording("0001.json"), is_recording("._0001.flac")
    (True, False, False)
    """
    path = PurePosixPath(name)
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("._")


def take_out(shard: Path, folder: Path) -> list[Member]:
    """Take the recordings out of a shard.

    Arguments
    ---------
    shard : Path
        The tar file.
    folder : Path
        Where the files go. They are as old as the shard.

    Returns
    -------
    list of Member
        The recordings, in the shard's order.

    Raises
    ------
    InputError
        If the shard cannot be read to its end, has no recording, a name twice, or one that leads
        elsewhere.

    Example
    -------
    >>> shard, demo = Path(getfixture("tmpdir")) / "a.tar", Path("tests/samples/demo")
    >>> pack([Packed("a", demo / "noisy_0dB.flac")], 0, shard)
    >>> [member.name for member in take_out(shard, shard.parent / "out")]
    ['000000000.flac']
    """
    folder.mkdir(parents=True, exist_ok=True)
    members: dict[Path, Member] = {}
    try:
        changed = shard.stat().st_mtime_ns
        with tarfile.open(shard, "r:*") as tar:
            for info in tar:
                if not (_is_file(info) and is_recording(info.name)):
                    continue
                # The filter refuses a name that leads out of the folder.
                file = folder / tarfile.data_filter(_as_file(info), str(folder)).name
                if file in members:
                    raise InputError(f"{shard}: holds {info.name} twice")
                file.parent.mkdir(parents=True, exist_ok=True)
                with _content(tar, info) as content, open(file, "wb") as taken:
                    shutil.copyfileobj(content, taken)
                members[file] = Member(info.name, file)
                os.utime(file, ns=(changed, changed))
    except UNREADABLE as error:
        raise _unreadable(shard, error) from None
    if not members:
        raise InputError(f"{shard}: holds no recording")
    return list(members.values())


def repack(shard: Path, results: dict[str, Path], output: Path) -> None:
    """Write a shard anew with results in place of its recordings; it appears when it is complete.

    What else a sample has (texts, labels) is copied. A sample of which a recording has no result is
    left out.

    Arguments
    ---------
    shard : Path
        The tar file.
    results : dict of str to Path
        For the names of recordings, their results; where one has another suffix, its name does.
    output : Path
        The tar file to be.

    Raises
    ------
    InputError
        If the shard cannot be read, or the other not be written.
    """
    try:
        with tarfile.open(shard, "r:*") as tar, _writing(output) as packed:
            files = [info for info in tar if _is_file(info)]
            recordings = (info.name for info in files if is_recording(info.name))
            lost = {key_of(name) for name in recordings if name not in results}
            for info in files:
                if key_of(info.name) in lost:
                    continue
                if info.name not in results:
                    with _content(tar, info) as content:
                        _add(packed, info, content)
                    continue
                result = results[info.name]
                # As it was spelled, "./" too: the sample's other members keep their names.
                folder, slash, _ = info.name.rpartition("/")
                info.name = f"{folder}{slash}{result.name}"
                with open(result, "rb") as content:
                    _add(packed, info, content)
    except (tarfile.TarError, EOFError) as error:
        raise _unreadable(shard, error) from None


def pack(samples: Iterable[Packed], first: int, output: Path) -> None:
    """Pack files into a shard, each with a JSON of its id; it appears when it is complete.

    Arguments
    ---------
    samples : iterable of Packed
        The files.
    first : int
        The number of the first. They are keys, as WebDataset ends those at their first dot.
    output : Path
        The tar file to be.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    with _writing(output) as packed:
        for number, (name, file) in enumerate(samples, first):
            with open(file, "rb") as content:
                _add(packed, tarfile.TarInfo(f"{number:09d}{file.suffix.lower()}"), content)
            about = json.dumps({"id": name}).encode()
            _add(packed, tarfile.TarInfo(f"{number:09d}.json"), io.BytesIO(about))


@contextmanager
def _writing(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file that is written; it appears when the block ends well."""
    try:
        with (
            written_whole(path) as partial,
            tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar,
        ):
            yield tar
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


def _is_file(info: tarfile.TarInfo) -> bool:
    """Whether a member is a file, or stands for one: tar has one of several names as a link."""
    return info.isfile() or info.islnk() or info.issym()


def _as_file(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member as a file, whatever it was."""
    file = copy.copy(info)
    file.type, file.linkname = tarfile.REGTYPE, ""
    return file


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    """What is in a file, or in what a link leads to."""
    try:
        content = tar.extractfile(info)
    except (KeyError, RecursionError):
        content = None
    if content is None:
        raise tarfile.TarError(f"{info.name} is a link to {info.linkname}, no file in it")
    return content


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, content: IO[bytes]) -> None:
    """Add a file; one that was a link, or of another name or size before, by what it is now."""
    file = _as_file(info)
    file.pax_headers = {n: text for n, text in info.pax_headers.items() if n not in OF_BEFORE}
    file.size = content.seek(0, os.SEEK_END)
    content.seek(0)
    tar.addfile(file, content)


def _unreadable(shard: Path, error: Exception) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"{shard}: not a readable shard ({reason})")
