"""SpeechBrain's JSON manifests: what every corpus needs to write and to read them."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from speechbrain.dataio.dataio import load_data_json

from bloomnet_sb.data.corpus_files import check_upsampling
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError


def audio_entries(
    root: Path,
    files: Mapping[str, Path],
    info_of: Callable[[Path], AudioInfo],
    faults: Faults,
) -> dict[str, dict]:
    """The entries of a manifest for audio files.

    Arguments
    ---------
    root : Path
        What {data_root} stands for.
    files : mapping
        Id to file.
    info_of : callable
        Gives the header of a file, see `usable_info`.
    faults : Faults
        Where files that cannot be used are noted; they have no entry.

    Returns
    -------
    dict
        Id to "wav", "frames" and "sample_rate".

    Example
    -------
    >>> from bloomnet_sb.utils.audio_files import audio_info
    >>> root = Path("tests/samples/demo")
    >>> files = {"clean": root / "clean_0dB.flac"}
    >>> audio_entries(root, files, audio_info, Faults("the samples"))["clean"]["wav"]
    '{data_root}/clean_0dB.flac'
    """
    entries = {}
    for name, file in files.items():
        with faults.noted():
            info = info_of(file)
            entries[name] = {
                "wav": path_in_manifest(root, file),
                "frames": info.frames,
                "sample_rate": info.samplerate,
            }
    return entries


def check_manifests(manifest_folder: str | Path, sample_rate: int, allow_upsampling: bool) -> None:
    """Refuse manifests with files of a lower rate than the network; see `check_upsampling`.

    Arguments
    ---------
    manifest_folder : str or Path
        Where they are; there may be none.
    sample_rate : int
        The network's, in Hz.
    allow_upsampling : bool
        Whether files may have a lower one.

    Raises
    ------
    InputError
        Naming the files that may not.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> entry = {"wav": "{data_root}/a.wav", "frames": 9, "sample_rate": 16000}
    >>> write_manifest(folder, "speech_test", {"an-id": entry})
    >>> check_manifests(folder, 8000, allow_upsampling=False)
    """
    faults = Faults(str(manifest_folder))
    for path in sorted(Path(manifest_folder).glob("*_*.json")):
        for name, entry in _loaded(path, "").items():
            rate = entry.get("sample_rate", sample_rate)
            with faults.noted():
                check_upsampling(f"{path}, {name}", rate, sample_rate, allow_upsampling)
    faults.refuse_any()


def path_in_manifest(root: Path, path: Path) -> str:
    """A path as a manifest has it: {data_root} stands for the corpus, braces are doubled.

    One that is not in the corpus is a whole path.

    Example
    -------
    >>> path_in_manifest(Path("/corpora"), Path("/corpora/musan/noise.wav"))
    '{data_root}/musan/noise.wav'
    >>> path_in_manifest(Path("/corpora"), Path("/noise/{1}.wav"))
    '/noise/{{1}}.wav'
    """
    if not path.is_relative_to(root):
        return text_in_manifest(path.absolute().as_posix())
    return "{data_root}/" + text_in_manifest(path.relative_to(root).as_posix())


def text_in_manifest(text: str) -> str:
    """A text as a manifest has it, which SpeechBrain formats: braces are doubled.

    Example
    -------
    >>> text_in_manifest("speaker {1}")
    'speaker {{1}}'
    """
    return text.replace("{", "{{").replace("}", "}}")


def write_manifest(save_folder: str | Path, name: str, manifest: dict[str, dict]) -> None:
    """Write a manifest; it appears when it is complete.

    Arguments
    ---------
    save_folder : str or Path
        Where it goes; made if it is not there.
    name : str
        Its name, without .json.
    manifest : dict
        Id to entry: "wav" (a path with {data_root}), "frames" and "sample_rate", both the file's
        own (without a rate, it is the network's); where it is known "spk_id", the speaker, "kind"
        of speech, "category" of noise, and "snr_db", the level of a recording of speech over that
        of its pauses; and, where a file is a mixture that has its clean sources beside it,
        "sources" (a list of such paths), "noise", the name of what is in it, and its "snr_db".
        Or, in speech_train, name to "shard" (such a path, or a URL), "utterances" (how many it
        holds), "frames" (of all of them) and "sample_rate".

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> write_manifest(folder, "speech_test", {"an-id": {"wav": "{data_root}/a.wav", "frames": 9}})
    >>> [path.basename for path in folder.listdir()]
    ['speech_test.json']
    """
    os.makedirs(save_folder, exist_ok=True)
    with written_whole(Path(save_folder) / f"{name}.json") as partial:
        partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def files_in(manifest_folder: str | Path, data_folder: str) -> dict[str, int]:
    """The files that manifests name, with their lengths in samples.

    Example
    -------
    >>> files_in(getfixture("tmpdir"), "tests/samples")
    {}
    """
    entries = [
        entry
        for path in sorted(Path(manifest_folder).glob("*_*.json"))
        for entry in _loaded(path, data_folder).values()
    ]
    return {file: entry["frames"] for entry in entries for file in _files(entry)}


def names_in(manifest_folder: str | Path, name: str) -> set[str]:
    """The ids in a manifest; none where there is no such manifest.

    Example
    -------
    >>> names_in(getfixture("tmpdir"), "speech_train")
    set()
    """
    path = Path(manifest_folder) / f"{name}.json"
    return set(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else set()


def holds_mixtures(manifest_folder: str | Path) -> bool:
    """Whether manifests are of finished mixtures, see `bloomnet_sb.data.mixtures`.

    Else they are of speech and noise apart.

    Example
    -------
    >>> holds_mixtures(getfixture("tmpdir"))
    False
    """
    return (Path(manifest_folder) / "mix_test.json").is_file()


def load_manifest(manifest_folder: str | Path, data_folder: str, name: str) -> dict[str, dict]:
    """Read a manifest and see that its files are there.

    Arguments
    ---------
    manifest_folder : str or Path
        Where it is.
    data_folder : str
        What {data_root} stands for.
    name : str
        Its name, without .json.

    Returns
    -------
    dict
        Id to entry, see `write_manifest`.

    Raises
    ------
    InputError
        If it is missing, no JSON or empty, names missing files, or names shards and is not that
        of the training speech.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> entry = {"wav": "{data_root}/clean_0dB.flac", "frames": 99587}
    >>> write_manifest(folder, "speech_test", {"an-id": entry})
    >>> load_manifest(folder, "tests/samples/demo", "speech_test")["an-id"]["wav"]
    'tests/samples/demo/clean_0dB.flac'
    """
    path = Path(manifest_folder) / f"{name}.json"
    if not path.is_file():
        raise InputError(f"{path}: no such manifest; run without --skip_prep to make it")
    manifest = _loaded(path, data_folder)
    if not manifest:
        raise InputError(f"{path}: an empty manifest")
    faults = Faults(str(path))
    for entry in manifest.values():
        if "shard" in entry and name != "speech_train":
            raise InputError(f"{path} names shards, but only speech_train.json may")
        missing = [file for file in _files(entry) if not os.path.isfile(file)]
        faults.found += [f"{path} names {file}, but there is no such file" for file in missing]
    faults.refuse_any()
    return manifest


def _loaded(path: Path, data_folder: str) -> dict[str, dict]:
    try:
        return load_data_json(str(path), {"data_root": data_folder})
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: no JSON ({error})") from None


def _files(entry: dict) -> list[str]:
    """What an entry names on this machine."""
    if "shard" in entry:
        is_url = re.match(r"\w{2,}:", entry["shard"])
        return [] if is_url else [entry["shard"]]
    return [entry["wav"], *entry.get("sources", ())]


def manifests_summary(manifest_folder: str, sample_rate: int) -> str:
    """What a run was trained, validated and tested on, as a Markdown list.

    Arguments
    ---------
    manifest_folder : str
        Where the manifests are.
    sample_rate : int
        In Hz, of files whose rate the manifests do not name.

    Returns
    -------
    str
        For each manifest, its number of entries and their minutes. A mixture and its sources are
        one entry.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> entry = {"wav": "{data_root}/a.wav", "frames": 960000}
    >>> write_manifest(folder, "speech_test", {"one": entry, "two": entry})
    >>> print(manifests_summary(folder, 16000), end="")
    - speech_test: 2 files, 2.0 minutes
    """
    lines = []
    for path in sorted(Path(manifest_folder).glob("*_*.json")):
        entries = _loaded(path, "").values()
        files = sum(entry.get("utterances", 1) for entry in entries)
        seconds = sum(entry["frames"] / entry.get("sample_rate", sample_rate) for entry in entries)
        lines.append(f"- {path.stem}: {files} files, {seconds / 60:.1f} minutes\n")
    return "".join(lines)
