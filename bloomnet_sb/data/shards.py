"""WebDataset shards of speech: packing a manifest's files into them, and reading them back."""

import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from bloomnet_sb.data.corpus_files import check_upsampling
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.reading import File, file_of, frames_at
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.audio_files import Clip, audio_info
from bloomnet_sb.utils.errors import DISK_FULL, InputError, check_positive

INDEX = "shards.json"
SHARD_NAME = re.compile(r"[\w-][\w.-]*")  # nothing that a shell or a path would take for more
META = ("id", "frames", "spk_id")  # of an utterance, where its manifest has it
UNREADABLE = (OSError, tarfile.TarError, EOFError, ValueError, KeyError)


class Utterance(NamedTuple):
    """An utterance of a shard.

    Arguments
    ---------
    id : str
        Its id in the manifest.
    clip : Clip
        Its audio file.
    frames, sample_rate : int
        The file's length, and its rate in Hz.
    """

    id: str
    clip: Clip
    frames: int
    sample_rate: int

    def file(self, sample_rate: int) -> File:
        """The file, to be read at a rate in Hz."""
        entry = {"wav": self.clip, "frames": self.frames, "sample_rate": self.sample_rate}
        return file_of(entry, sample_rate)


def import_webdataset() -> ModuleType:
    """WebDataset, which only shards need.

    Raises
    ------
    InputError
        If it is not installed.

    Example
    -------
    >>> import_webdataset().__name__
    'webdataset'
    """
    try:
        import webdataset
    except ImportError:
        raise InputError("shards need webdataset: pip install 'bloomnet_sb[shards]'") from None
    return webdataset


def write_shards(
    manifest_folder: str | Path, data_folder: str, out_folder: str | Path, shard_mb: int = 500
) -> dict[str, dict]:
    """Pack the training speech of a manifest into tar files, and list them in shards.json.

    The audio files go in byte by byte, each with a JSON of its id, frames, rate, speaker and
    checksum beside it, in an order that is random, but always the same: neighbours in a shard are
    no neighbours of the corpus. Each shard appears when it is complete, the list last.

    Arguments
    ---------
    manifest_folder : str or Path
        Where speech_train.json is.
    data_folder : str
        What {data_root} stands for.
    out_folder : str or Path
        Where the shards go; made if it is not there.
    shard_mb : int
        About how large a shard is, in 10^6 bytes.

    Returns
    -------
    dict
        Shard to its numbers of utterances and frames, and its sample rate: the lowest of a file's,
        at which the frames are counted.

    Raises
    ------
    InputError
        If the folder already holds shards or cannot be written, or a file cannot be read.

    Example
    -------
    >>> from bloomnet_sb.data import prepare_librispeech_musan
    >>> folder = getfixture("tmpdir")
    >>> prepare_librispeech_musan("tests/samples", folder / "manifests")
    >>> write_shards(folder / "manifests", "tests/samples", folder / "shards")
    {'speech_train-000000.tar': {'utterances': 82, 'frames': 7559273, 'sample_rate': 16000}}
    """
    import_webdataset()  # before anything takes long
    check_positive(shard_mb=shard_mb)
    folder = Path(out_folder)
    if (folder / INDEX).exists():
        raise InputError(f"{folder}: already holds shards; name another folder")
    manifest = load_manifest(manifest_folder, data_folder, "speech_train")
    utterances = [{"id": name, **entry} for name, entry in sorted(manifest.items())]
    np.random.default_rng(0).shuffle(utterances)
    total_bytes = sum(Path(utterance["wav"]).stat().st_size for utterance in utterances)
    number = min(-(-total_bytes // (shard_mb * 10**6)), len(utterances))
    bounds = [round(n * len(utterances) / number) for n in range(number + 1)]
    index = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for n, (start, stop) in enumerate(pairwise(bounds)):
            name = f"speech_train-{n:06d}.tar"
            index[name] = _write_shard(folder / name, utterances[start:stop], first=start)
        with written_whole(folder / INDEX) as partial:
            partial.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise InputError(f"{folder}: cannot be written ({error})") from error
    return index


def _write_shard(path: Path, utterances: Sequence[dict], first: int) -> dict:
    wds, rates = import_webdataset(), []
    with (
        written_whole(path) as partial,
        open(partial, "wb") as file,
        wds.TarWriter(file, mtime=0) as writer,
    ):
        for number, utterance in enumerate(utterances, first):
            audio = Path(utterance["wav"])
            data = audio.read_bytes()
            meta = {key: utterance[key] for key in META if key in utterance}
            meta["sample_rate"] = audio_info(audio, header_only=True).samplerate
            rates.append(meta["sample_rate"])
            meta["crc32"] = zlib.crc32(data)  # a tar file has sums of its headers only
            # A number, as WebDataset ends a key at its first dot and an id may hold some.
            sample = {"__key__": f"{number:09d}", "json": meta}
            writer.write({**sample, audio.suffix[1:].lower(): data})
    lengths = zip(utterances, rates, strict=True)
    return {
        "utterances": len(utterances),
        "frames": sum(frames_at(held["frames"], rate, min(rates)) for held, rate in lengths),
        "sample_rate": min(rates),
    }


def shard_manifest(
    shards: str, sample_rate: int, allow_upsampling: bool = False
) -> dict[str, dict]:
    """A manifest that names shards in place of files, from the list that lies beside them.

    Arguments
    ---------
    shards : str
        Where they are: a folder, an http(s) URL of one, or a command that writes one of them,
        "pipe:ssh host cat /shards/{}", with {} for the name. Without {}, the name comes last.
    sample_rate : int
        The network's, in Hz.
    allow_upsampling : bool
        Whether their files may have a lower one.

    Returns
    -------
    dict
        Name to entry: "shard", its path or URL, "utterances", "frames" and "sample_rate".

    Raises
    ------
    InputError
        If the list cannot be read, or the rate is too low.

    Example
    -------
    >>> from bloomnet_sb.data.manifests import write_manifest
    >>> folder = getfixture("tmpdir")
    >>> entry = {"wav": "{data_root}/clean_0dB.flac", "frames": 99587}
    >>> write_manifest(folder, "speech_train", {"an-id": entry})
    >>> _ = write_shards(folder, "tests/samples/demo", folder / "shards")
    >>> shard_manifest(f"pipe:cat {folder}/shards/{{}}", 16000)
    {'speech_train-000000.tar': {'shard': 'pipe:cat ...tar', 'utterances': 1, ...}}
    """
    source = located(shards, INDEX)
    stream = None
    try:
        stream = import_webdataset().gopen(source)
        index = json.loads(stream.read())
        stream.close()
        entries = {name: _facts(entry) for name, entry in _mapping(index).items()}
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"shards {shards}: {INDEX}, which `bloomnet shard` writes, cannot be read "
            f"({_reason(error)})"
        ) from None
    finally:
        _close(stream)
    if not entries:
        raise InputError(f"{source}: names no shard")
    manifest = {}
    for name, entry in entries.items():
        _check_shard(source, name, entry, sample_rate, allow_upsampling)
        # SpeechBrain takes what is in braces in a manifest for a replacement.
        url = located(shards, name).replace("{", "{{").replace("}", "}}")
        manifest[name] = {"shard": url, **entry}
    return manifest


def located(shards: str, name: str) -> str:
    """The path or URL of a file among the shards.

    Example
    -------
    >>> located("shards", "a.tar"), located("pipe:aws s3 cp s3://bucket/{} -", "a.tar")
    ('shards/a.tar', 'pipe:aws s3 cp s3://bucket/a.tar -')
    """
    return shards.replace("{}", name) if "{}" in shards else f"{str(shards).rstrip('/')}/{name}"


def _mapping(value: object) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} in place of a mapping")
    return value


def _facts(entry: object) -> dict[str, int]:
    """What an index says of a shard."""
    facts = {key: _mapping(entry)[key] for key in ("utterances", "frames", "sample_rate")}
    for key, value in facts.items():
        if type(value) is not int:
            raise ValueError(f"{key} is {value!r}")
    return facts


def _check_shard(
    source: str, name: str, facts: dict[str, int], sample_rate: int, allow_upsampling: bool
) -> None:
    if not SHARD_NAME.fullmatch(name):
        raise InputError(f"{source}: {name!r} is no name of a shard")
    check_upsampling(f"{source}, {name}", facts["sample_rate"], sample_rate, allow_upsampling)


def read_shard(url: str, utterances: int) -> Iterator[Utterance]:
    """Read the utterances of a shard, one after the other.

    Arguments
    ---------
    url : str
        A path, or a URL as WebDataset takes it: "pipe:" and a command, http(s):// and others.
    utterances : int
        How many it holds.

    Yields
    ------
    Utterance
        The utterances.

    Raises
    ------
    InputError
        Naming the shard, if it is missing, damaged, or holds another number of them.

    Example
    -------
    >>> from bloomnet_sb.data.manifests import write_manifest
    >>> folder = getfixture("tmpdir")
    >>> entry = {"wav": "{data_root}/clean_0dB.flac", "frames": 99587}
    >>> write_manifest(folder, "speech_train", {"an-id": entry})
    >>> _ = write_shards(folder, "tests/samples/demo", folder / "shards")
    >>> [spoken.id for spoken in read_shard(f"{folder}/shards/speech_train-000000.tar", 1)]
    ['an-id']
    """
    wds = import_webdataset()
    stream, number = None, 0
    try:
        stream = wds.gopen(url)
        files = wds.tariterators.tar_file_expander([{"url": url, "stream": stream}])
        for sample in wds.tariterators.group_by_keys(files):
            number += 1
            yield _utterance(url, sample)
        stream.read()  # a command whose last bytes nobody takes fails
        stream.close()
    except UNREADABLE as error:
        raise InputError(f"{url}: not a readable shard ({_reason(error)})") from error
    finally:
        _close(stream)
    if number != utterances:
        raise InputError(f"{url}: holds {number} utterances, but should hold {utterances}")


def _utterance(url: str, sample: dict) -> Utterance:
    meta = json.loads(sample["json"])
    (suffix,) = (key for key in sample if key != "json" and not key.startswith("__"))
    if zlib.crc32(sample[suffix]) != meta["crc32"]:
        raise ValueError(f"{meta['id']} is damaged")
    clip = Clip(f"{url}, {meta['id']}", sample[suffix])
    return Utterance(meta["id"], clip, meta["frames"], meta["sample_rate"])


def _close(stream) -> None:
    # A command that is stopped early complains; one that failed has raised before.
    if stream is not None:
        with suppress(OSError):
            stream.close()


def _reason(error: Exception) -> str:
    # WebDataset adds the stream to the arguments of what it raises.
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error.args[0]
    return str(reason).splitlines()[0].split(" @ ")[0]
