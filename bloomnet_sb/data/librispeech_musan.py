"""LibriSpeech speech and MUSAN noise to SpeechBrain manifests."""

import hashlib
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from bloomnet_sb.data.corpus_files import by_stem, corpus_root, find_audio, mono_info
from bloomnet_sb.data.envelopes import speech_snr_db
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.data.manifests import (
    audio_entries,
    check_manifests,
    text_in_manifest,
    write_manifest,
)
from bloomnet_sb.data.shards import shard_manifest
from bloomnet_sb.utils.audio_files import read_audio
from bloomnet_sb.utils.errors import InputError

logger = logging.getLogger(__name__)

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
        Naming folders that are missing or empty, files that are no audio, have several channels or
        too low a rate, or faults in the lists, or shards that are not there.

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
    root = corpus_root(data_folder)
    faults = Faults(f"data_folder {root}")
    info_of = partial(mono_info, sample_rate=sample_rate, allow_upsampling=allow_upsampling)
    noise = _split_noise(root, noise_split, faults)
    kinds = _read_table(root / SPEAKER_KINDS, "speaker", "kind", faults)
    categories = _read_table(root / NOISE_KINDS, "file", "category", faults, files_of=root)
    manifests = {}
    for split, part in SPEECH_SPLITS.items():
        if split == "train" and shards is not None:
            spoken = shard_manifest(shards, sample_rate, allow_upsampling)
        else:
            files = by_stem(_find_audio(root, f"LibriSpeech/{part}", faults), faults)
            spoken = audio_entries(root, files, info_of, faults)
            for name, entry in spoken.items():
                # LibriSpeech's names are speaker-chapter-utterance.
                speaker = name.split("-")[0]
                entry["spk_id"] = text_in_manifest(speaker)
                entry["kind"] = text_in_manifest(kinds.get(speaker, KIND))
        manifests[f"speech_{split}"] = spoken
        files = by_stem(noise[split], faults)
        noises = audio_entries(root, files, info_of, faults)
        for name, entry in noises.items():
            place = files[name].relative_to(root).as_posix()
            entry["category"] = text_in_manifest(categories.get(place, CATEGORY))
        manifests[f"noise_{split}"] = noises
    faults.refuse_any()
    if estimate_snr and shards is None:
        _add_snr(manifests["speech_train"], root)
    for name, manifest in manifests.items():
        write_manifest(save_folder, name, manifest)


def _add_snr(spoken: dict[str, dict], root: Path) -> None:
    for entry in spoken.values():
        speech = read_audio(entry["wav"].format(data_root=root))[:, 0]
        entry["snr_db"] = round(speech_snr_db(speech, entry["sample_rate"]), 1)


def _find_audio(root: Path, folder: str, faults: Faults) -> list[Path]:
    with faults.noted():
        return find_audio(root, folder, SOURCES[folder.split("/")[0]])
    return []


def _split_noise(root: Path, noise_split: str | None, faults: Faults) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {split: [] for split in SPEECH_SPLITS}
    before = len(faults.found)
    if noise_split is None and (root / NOISE_LIST).is_file():
        noise_split = str(root / NOISE_LIST)
    listed = None if noise_split is None else _read_noise_list(root, noise_split, faults)
    noises = _find_audio(root, NOISE_FOLDER, faults)
    if listed is not None:
        _say_what_is_not_used(str(noise_split), listed, noises)
    for file in noises:
        split = _hashed_split(file.name) if listed is None else listed.get(file)
        if split is not None:
            splits[split].append(file)
    if len(faults.found) > before:
        return splits
    faults.found += [
        f"no noise file of {root / NOISE_FOLDER} falls into the {split} split; name the splits in "
        "a CSV file with --noise_split"
        for split, chosen in splits.items()
        if not chosen
    ]
    return splits


def _say_what_is_not_used(noise_split: str, listed: Iterable[Path], noises: list[Path]) -> None:
    unlisted, elsewhere = sorted({*noises} - {*listed}), sorted({*listed} - {*noises})
    if unlisted:
        logger.warning(
            "%s does not list %d noises of the corpus, which are left out: %s..",
            noise_split,
            len(unlisted),
            unlisted[0],
        )
    if elsewhere:
        logger.warning(
            "%s lists %d files that are no audio of %s, which are left out: %s..",
            noise_split,
            len(elsewhere),
            NOISE_FOLDER,
            elsewhere[0],
        )


def _hashed_split(name: str) -> str:
    share = int(hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest(), 16) % 100
    return "train" if share < 80 else "valid" if share < 90 else "test"


def _read_noise_list(root: Path, noise_split: str, faults: Faults) -> dict[Path, str]:
    listed: dict[Path, str] = {}
    for line, row in faults.rows(noise_split, ["file", "split"]):
        path = root / row["file"]
        with faults.noted():
            if row["split"] not in SPEECH_SPLITS:
                raise InputError(
                    f"{line}: needs a file and a split of {', '.join(SPEECH_SPLITS)}, found {row}"
                )
            if not path.is_file():
                raise InputError(f"{line}: no such file {path}")
            if listed.setdefault(path, row["split"]) != row["split"]:
                raise InputError(f"{line}: {row['file']} is in two splits")
    return listed


def _read_table(
    path: Path, key: str, value: str, faults: Faults, files_of: Path | None = None
) -> dict[str, str]:
    """What a CSV file of two columns says, if it is there; files must be in a folder."""
    table: dict[str, str] = {}
    for line, row in faults.rows(path, [key, value]) if path.is_file() else ():
        with faults.noted():
            if files_of is not None and not (files_of / row[key]).is_file():
                raise InputError(f"{line}: no such file {files_of / row[key]}")
            if table.setdefault(row[key], row[value]) != row[value]:
                raise InputError(
                    f"{line}: {key} {row[key]} has the {value} {row[value]} here, and "
                    f"{table[row[key]]} above"
                )
    return table
