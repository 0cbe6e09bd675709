"""Lists of recordings: CSV and JSON lines, as SpeechBrain, NeMo and Lhotse write manifests."""

import gzip
import json
import os
import posixpath
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from bloomnet_sb.utils.csv_files import read_csv
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.stores import is_address

LIST_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
# Where a recording's path is: of SpeechBrain, NeMo, Hugging Face's folders, and others
PATH_KEYS = ("wav", "audio_filepath", "path", "file", "file_name", "filename", "audio")
# In bytes of any encoding, and with the slashes as some programs escape them in JSON
ADDRESS_MARK = re.compile(rb":[\0\\]*(/|u002f)", re.IGNORECASE)
# What SpeechBrain's manifests begin with in place of a folder
ROOTS = ("{data_root}", "$data_root", "{data_folder}", "$data_folder")


def is_list(path: Path) -> bool:
    """Whether a path is that of a list, by its suffix; .gz may follow it.

    Example
    -------
    >>> is_list(Path("cuts.jsonl.gz")), is_list(Path("noisy.wav"))
    (True, False)
    """
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(LIST_SUFFIXES) and not os.path.isdir(path)


def read_list(path: Path) -> list[tuple[Path, Path]]:
    """The recordings that a list names, in its order, each once.

    A CSV file has a column for their paths, called `wav` (SpeechBrain), `audio_filepath` (NeMo),
    `path`, `file`, `file_name`, `filename` or `audio`. A JSON file has an object a line with such a
    key, or what Lhotse writes of recordings and cuts; or it is one object of id to such objects
    (SpeechBrain), or one array of them.

    Arguments
    ---------
    path : Path
        The list. Paths in it that are not absolute begin in its folder, for which {data_root} and
        $data_root stand, too.

    Returns
    -------
    list of (Path, Path)
        Recordings, each with the place of its folder below the folder that they have in common.

    Raises
    ------
    InputError
        Naming the list, and the line or the id, for what names no recording or cannot be read.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "manifest.json"
    >>> _ = path.write_text('{"audio_filepath": "/a/1.wav"}\\n{"audio_filepath": "/a/b/2.wav"}\\n')
    >>> read_list(path)
    [(PosixPath('/a/1.wav'), PosixPath('.')), (PosixPath('/a/b/2.wav'), PosixPath('b'))]
    """
    found = {_located(text, path.parent, where): None for where, text in _texts(path)}
    common = Path(os.path.commonpath([file.parent for file in found]))
    return [(file, file.parent.relative_to(common)) for file in found]


def names_addresses(path: Path) -> bool:
    """Whether a list can be read and has addresses of stores among its paths.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "manifest.json"
    >>> _ = path.write_text('{"path": "1.wav", "licence": "https://example.org/by"}\\n')
    >>> names_addresses(path)
    False
    """
    try:
        # Without parsing those, and they can be long, that have none anywhere.
        may_have = ADDRESS_MARK.search(_content(path)) is not None
        return may_have and any(is_address(text) for _, text in _texts(path))
    except InputError:  # which is said where it is read
        return False


def read_addresses(path: Path, address: str) -> list[tuple[str, str]]:
    """The same of a list in a store, or with addresses of stores in it.

    Arguments
    ---------
    path : Path
        The list, as it was copied here.
    address : str
        Its address, or its path.

    Returns
    -------
    list of (str, str)
        Addresses, each with the place of its folder below the folder that they have in common; ""
        for that folder.

    Raises
    ------
    InputError
        As `read_list`.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "manifest.json"
    >>> _ = path.write_text('{"path": "s3://a/b/1.wav"}\\n{"path": "2.wav"}\\n')
    >>> read_addresses(path, "s3://a/manifest.json")
    [('s3://a/b/1.wav', 'b'), ('s3://a/2.wav', '')]
    """
    folder = posixpath.dirname(address) or "."
    try:
        found = {_address(text, folder, where): None for where, text in _texts(path)}
    except InputError as error:
        raise InputError(str(error).replace(str(path), address)) from None
    parts = [posixpath.dirname(one).rpartition("://")[2].strip("/").split("/") for one in found]
    same = len(os.path.commonprefix(parts))
    return [(one, "/".join(part[same:])) for one, part in zip(found, parts, strict=True)]


def _address(text: str, folder: str, where: str) -> str:
    """The address or the path that a list names, without a step up in it."""
    for root in ROOTS:
        text = text.replace(root, folder)
    whole = text if is_address(text) or text.startswith("/") else f"{folder}/{text}"
    protocol, _, place = whole.rpartition("://")
    place = posixpath.normpath(place)
    if place.startswith("..") and protocol:
        raise InputError(f"{where}: {text} leads out of the store")
    return f"{protocol}://{place}" if protocol else place


def _texts(path: Path) -> list[tuple[str, str]]:
    """What a list has as paths, each with where that is."""
    name = path.name.lower().removesuffix(".gz")
    entries = _csv_entries(path) if name.endswith((".csv", ".tsv")) else _json_entries(path)
    found = [(where, text) for where, entry in entries for text in _paths_of(entry, where)]
    if not found:
        raise InputError(f"{path}: names no recording")
    return found


def _csv_entries(path: Path) -> Iterator[tuple[str, object]]:
    if path.name.lower().endswith(".gz"):
        raise InputError(f"{path}: a compressed list must be one of JSON lines")
    for number, row in read_csv(path, [], PATH_KEYS):
        yield f"{path}, line {number}", {key: text for key, text in row.items() if text}


def _json_entries(path: Path) -> Iterator[tuple[str, object]]:
    text = _text(path)
    try:
        whole = json.loads(text)
    except ValueError:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{path}, line {number}", _parsed(line, f"{path}, line {number}")
        return
    if isinstance(whole, list):
        for number, entry in enumerate(whole, 1):
            yield f"{path}, entry {number}", entry
    elif isinstance(whole, dict) and whole and all(isinstance(v, dict) for v in whole.values()):
        for name, entry in whole.items():
            yield f"{path}, {name}", entry
    else:  # a list of one line
        yield f"{path}, line 1", whole


def _text(path: Path) -> str:
    try:
        return _content(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not in UTF-8") from None


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.name.lower().endswith(".gz") else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _parsed(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: no JSON ({error})") from None


def _paths_of(entry: object, where: str) -> list[str]:
    """The recordings that an entry names: one, or those of the sources of a Lhotse recording."""
    if isinstance(entry, str):
        return [entry]
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {type(entry).__name__}, but must be an object with a path")
    for key in PATH_KEYS:
        if isinstance(entry.get(key), str):
            return [entry[key]]
    if isinstance(entry.get("recording"), dict):  # of a cut
        return _paths_of(entry["recording"], where)
    if isinstance(entry.get("tracks"), list):  # of a mixed cut
        cuts = [track.get("cut") for track in entry["tracks"] if isinstance(track, dict)]
        return [path for cut in cuts if not _is_padding(cut) for path in _paths_of(cut, where)]
    if isinstance(entry.get("sources"), list):
        return [_source_path(source, where) for source in entry["sources"]]
    raise InputError(
        f"{where}: no path of a recording among {', '.join(map(str, entry)) or 'nothing'}; "
        f"it is looked for as {', '.join(PATH_KEYS)}"
    )


def _is_padding(cut: object) -> bool:
    """Whether a cut is Lhotse's of silence, which no recording has."""
    return isinstance(cut, dict) and cut.get("type") == "PaddingCut"


def _source_path(source: object, where: str) -> str:
    """Of a source of a Lhotse recording."""
    about = source if isinstance(source, dict) else {}
    if about.get("type") not in ("file", "url") or not isinstance(about.get("source"), str):
        raise InputError(
            f"{where}: a recording of type {about.get('type')!r}, but must be a file or a URL"
        )
    return about["source"]


def _located(text: str, folder: Path, where: str) -> Path:
    for root in ROOTS:
        text = text.replace(root, str(folder))
    if "://" in text:
        raise InputError(f"{where}: {text} is no path of a file")
    return Path(os.path.abspath(folder / text))
