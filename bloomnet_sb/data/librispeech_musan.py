"""LibriSpeech speech and MUSAN noise to SpeechBrain manifests."""

import csv
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bloomnet_sb.data.envelopes import speech_snr_db
from bloomnet_sb.data.manifests import (
    by_stem,
    check_manifests,
    corpus_root,
    find_audio,
    mono_info,
    path_in_manifest,
    write_manifest,
)
from bloomnet_sb.data.shards import shard_manifest
from bloomnet_sb.utils.audio_files import read_audio
from bloomnet_sb.utils.errors import InputError

SPEECH_SPLITS = {"train": "train-clean-100", "valid": "dev-clean", "test": "test-clean"}
NOISE_FOLDER = "musan/noise/free-sound"
NOISE_LIST = "noise_split.csv"
SPEAKER_KINDS = "speaker_kinds.csv"
NOISE_KINDS = "noise_kinds.csv"
# Of what these do not list
KIND, CATEGORY = "speech", "noise"
SOURCES = {
    "LibriSpeech": "LibriSpeech is at https://www.openslr.org/12",
    "musan": "MUSAN is at https://www.openslr.org/17",
}


def prepare_librispeech_musan(
    data_folder: str,
    save_folder: str,
    sample_rate: int = 16000,
    noise_split: str | None = None,
    skip_prep: bool = False,
    shards: str | None = None,
    estimate_snr: bool = False,
    allow_upsampling: bool = False,
) -> None:
    """Write the manifests speech_{train,valid,test}.json and noise_{train,valid,test}.json.

    Speech is LibriSpeech's train-clean-100, dev-clean and test-clean; noise is MUSAN's free-sound
    part, split by file: as a list says, or else by a hash of the file's name (80, 10 and 10 in a
    hundred), so that adding files moves none. Paths in a manifest are relative to
    {data_root}, which stands for `data_folder`.

    Utterances are of the kind that speaker_kinds.csv in `data_folder` (speaker, kind) says, noises
    of the category that noise_kinds.csv (file, category) says, where there are such files; all
    others are "speech" and "noise".

    Arguments
    ---------
    data_folder : str
        The folder that holds LibriSpeech/ and musan/.
    save_folder : str
        Where the manifests go.
    sample_rate : int
        The network's, in Hz. Files of higher rates are resampled when they are read.
    noise_split : str, optional
        A CSV file with the columns file (relative to `data_folder`) and split (train, valid or
        test). Default: noise_split.csv in `data_folder` where there is one.
    skip_prep : bool
        Use the manifests that are there; only the rates in them are looked at.
    shards : str, optional
        Where the shards are that `bloomnet shard` made of train-clean-100: a folder, or a URL or
        command as in `bloomnet_sb.data.shards.shard_manifest`. speech_train.json names them, and
        `data_folder` need not hold train-clean-100. Default: the files.
    estimate_snr : bool
        Listen to the training utterances, too, and give them "snr_db", see
        `bloomnet_sb.data.envelopes.speech_snr_db`; not those of shards.
    allow_upsampling : bool
        Whether files of lower rates than the network's are taken; a network learns from them that
        there is nothing above half of their rate.

    Raises
    ------
    InputError
        Naming a folder that is missing or empty, a file that is no audio, has several channels or
        too low a rate, or a fault in one of the lists, or shards that are not there.

    Example
    -------
    >>> tmpdir = getfixture("tmpdir")
    >>> prepare_librispeech_musan("tests/samples", str(tmpdir))
    >>> sorted(path.basename for path in tmpdir.listdir())[:3]
    ['noise_test.json', 'noise_train.json', 'noise_valid.json']
    """
    if skip_prep:
        check_manifests(save_folder, sample_rate, allow_upsampling)
        return
    entry = partial(_entry, sample_rate=sample_rate, allow_upsampling=allow_upsampling)
    root = corpus_root(data_folder)
    noise = _split_noise(root, _find_audio(root, NOISE_FOLDER), noise_split)
    kinds = _read_table(root / SPEAKER_KINDS, "speaker", "kind")
    categories = _read_table(root / NOISE_KINDS, "file", "category", files_of=root)
    for split, part in SPEECH_SPLITS.items():
        if split == "train" and shards is not None:
            spoken = shard_manifest(shards, sample_rate, allow_upsampling)
        else:
            spoken = _spoken(root, part, entry, kinds)
            if split == "train" and estimate_snr:
                _add_snr(spoken, root)
        write_manifest(save_folder, f"speech_{split}", spoken)
        files = by_stem(noise[split])
        noises = {
            name: entry(root, file)
            | {"category": categories.get(file.relative_to(root).as_posix(), CATEGORY)}
            for name, file in files.items()
        }
        write_manifest(save_folder, f"noise_{split}", noises)


def _spoken(
    root: Path, part: str, entry: Callable[[Path, Path], dict], kinds: dict[str, str]
) -> dict[str, dict]:
    spoken = {}
    for name, file in by_stem(_find_audio(root, f"LibriSpeech/{part}")).items():
        # LibriSpeech's names are speaker-chapter-utterance.
        speaker = name.split("-")[0]
        about = {"spk_id": speaker, "kind": kinds.get(speaker, KIND)}
        spoken[name] = entry(root, file) | about
    return spoken


def _add_snr(spoken: dict[str, dict], root: Path) -> None:
    for entry in spoken.values():
        speech = read_audio(entry["wav"].format(data_root=root))[:, 0]
        entry["snr_db"] = round(speech_snr_db(speech, entry["sample_rate"]), 1)


def _find_audio(root: Path, folder: str) -> list[Path]:
    return find_audio(root, folder, SOURCES[folder.split("/")[0]])


def _entry(root: Path, file: Path, sample_rate: int, allow_upsampling: bool) -> dict:
    info = mono_info(file, sample_rate, allow_upsampling)
    place = path_in_manifest(root, file)
    return {"wav": place, "frames": info.frames, "sample_rate": info.samplerate}


def _split_noise(root: Path, files: list[Path], noise_split: str | None) -> dict[str, list[Path]]:
    if noise_split is None and (root / NOISE_LIST).is_file():
        noise_split = str(root / NOISE_LIST)
    listed = None if noise_split is None else _read_noise_list(root, noise_split)
    splits: dict[str, list[Path]] = {split: [] for split in SPEECH_SPLITS}
    for file in files:
        split = _hashed_split(file.name) if listed is None else listed.get(file)
        if split is not None:
            splits[split].append(file)
    for split, chosen in splits.items():
        if not chosen:
            raise InputError(
                f"no noise file of {root / NOISE_FOLDER} falls into the {split} split; name the "
                "splits in a CSV file with --noise_split"
            )
    return splits


def _hashed_split(name: str) -> str:
    share = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
    return "train" if share < 80 else "valid" if share < 90 else "test"


def _read_noise_list(root: Path, noise_split: str) -> dict[Path, str]:
    listed: dict[Path, str] = {}
    for number, row in enumerate(_read_rows(noise_split), 2):
        if row.get("split") not in SPEECH_SPLITS or not row.get("file"):
            raise InputError(
                f"{noise_split}, line {number}: needs a file and a split of "
                f"{', '.join(SPEECH_SPLITS)}, found {row}"
            )
        path = root / row["file"]
        if not path.is_file():
            raise InputError(f"{noise_split}, line {number}: no such file {path}")
        if listed.setdefault(path, row["split"]) != row["split"]:
            raise InputError(f"{noise_split}, line {number}: {row['file']} is in two splits")
    return listed


def _read_table(path: Path, key: str, value: str, files_of: Path | None = None) -> dict[str, str]:
    """What a CSV file of two columns says, if it is there; files must be in a folder."""
    if not path.is_file():
        return {}
    table: dict[str, str] = {}
    for number, row in enumerate(_read_rows(str(path)), 2):
        if not row.get(key) or not row.get(value):
            raise InputError(f"{path}, line {number}: needs a {key} and a {value}, found {row}")
        if files_of is not None and not (files_of / row[key]).is_file():
            raise InputError(f"{path}, line {number}: no such file {files_of / row[key]}")
        if table.setdefault(row[key], row[value]) != row[value]:
            raise InputError(
                f"{path}, line {number}: {key} {row[key]} has the {value} {row[value]} here, and "
                f"{table[row[key]]} above"
            )
    return table


def _read_rows(path: str) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV file in UTF-8 ({error})") from None
