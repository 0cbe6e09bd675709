"""VoiceBank-DEMAND's pairs of noisy and clean speech to manifests."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bloomnet_sb.data.corpus_files import by_stem, corpus_root, find_audio, mono_info
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.data.manifests import check_manifests, text_in_manifest, write_manifest
from bloomnet_sb.data.mixtures import mixture_entries
from bloomnet_sb.utils.errors import InputError, check_positive

logger = logging.getLogger(__name__)

# Those of SpeechBrain's recipes; the 56 speakers are others, of Scotland and the United States.
VALID_SPEAKERS = {28: ("p226", "p287"), 56: ("p234", "p237")}
TEST_PAIRS = 824
# Of folders' names: what SpeechBrain resamples the corpus to, and the corpus as it is, 48 kHz
RATE_SUFFIXES = {16000: "_16k", 48000: ""}
ORIGIN = "VoiceBank-DEMAND is at https://datashare.ed.ac.uk/handle/10283/2791"


def prepare_voicebank_demand(
    data_folder: str,
    save_folder: str,
    sample_rate: int = 16000,
    speakers: int = 28,
    valid_speakers: Mapping[int, Sequence[str]] = VALID_SPEAKERS,
    skip_prep: bool = False,
    allow_upsampling: bool = False,
) -> None:
    """Write the manifests mix_{train,valid,test}.json of VoiceBank-DEMAND.

    The corpus (Valentini-Botinhao et al., "Investigating RNN-based speech enhancement methods for
    noise-robust Text-to-Speech", SSW 2016) is pairs of noisy and clean speech of one name, in the
    folders that its zip files hold, such as noisy_testset_wav and clean_testset_wav, at 48 kHz; or
    in those that SpeechBrain's recipes resample to 16 kHz, such as noisy_testset_wav_16k. Its log
    files, log_testset.txt and so on, in `data_folder` or its logfiles/, say of each utterance the
    noise and the SNR in dB; they need not be there.

    Two speakers of the training part are for validation. The entries are those of
    `bloomnet_sb.data.mixtures.mixture_entries`, with the speaker, "spk_id", and by the log files
    "noise" and "snr_db"; paths in a manifest are relative to {data_root}, which stands for
    `data_folder`.

    Arguments
    ---------
    data_folder : str
        The folder that holds those folders.
    save_folder : str
        Where the manifests go.
    sample_rate : int
        The network's, in Hz. Of folders at 16 and at 48 kHz, those of the next rate from this one
        on are used.
    speakers : int
        28 or 56: the training part.
    valid_speakers : mapping
        28 and 56 to the speakers of each that are for validation.
    skip_prep : bool
        Use the manifests that are there; only the rates in them are looked at.
    allow_upsampling : bool
        Whether files of a lower rate than the network's are taken.

    Raises
    ------
    InputError
        Naming an option that cannot be, folders that are missing or empty, noisy files without a
        clean one of the same length, speakers that are not there, lines of a log file that cannot
        be read, or files that are no audio, have several channels or too low a rate.

    Example
    -------
    >>> import numpy as np
    >>> import soundfile as sf
    >>> root = Path(getfixture("tmpdir"))
    >>> names = {"trainset_28spk": ["p226_001", "p227_001"], "testset": ["p232_001"]}
    >>> for kind in ("noisy", "clean"):
    ...     for part, files in names.items():
    ...         (root / f"{kind}_{part}_wav").mkdir()
    ...         for name in files:
    ...             sf.write(root / f"{kind}_{part}_wav" / f"{name}.wav", np.ones(4800), 48000)
    >>> prepare_voicebank_demand(str(root), str(root / "saved"), valid_speakers={28: ["p226"]})
    >>> sorted(path.name for path in (root / "saved").iterdir())
    ['mix_test.json', 'mix_train.json', 'mix_valid.json']
    """
    if skip_prep:
        check_manifests(save_folder, sample_rate, allow_upsampling)
        return
    check_positive(sample_rate=sample_rate)
    if speakers not in list(VALID_SPEAKERS):
        raise InputError(f"speakers is {speakers!r}, but must be one of 28, 56")
    if not isinstance(valid_speakers, Mapping):
        raise InputError(
            f"valid_speakers is {valid_speakers!r}, but must say them for each number of speakers, "
            "such as {28: [p226, p287]}"
        )
    held_out = valid_speakers.get(speakers)
    if not held_out:
        raise InputError(f"valid_speakers names none of the {speakers} speakers")
    root = corpus_root(data_folder)
    faults = Faults(f"data_folder {root}")
    info_of = partial(mono_info, sample_rate=sample_rate, allow_upsampling=allow_upsampling)
    parts: dict[str, dict[str, dict]] = {}
    for part in (f"trainset_{speakers}spk", "testset"):
        noisy, clean = _folders(root, part, sample_rate)
        mixtures = by_stem(_find_audio(root, noisy, faults), faults)
        clean_of = by_stem(_find_audio(root, clean, faults), faults)

        def source_of(mix: Path, known: dict[str, Path] = clean_of, place: str = clean):
            return [known.get(mix.stem, root / place / mix.name)]

        there = mixtures if clean_of else {}
        parts[part] = mixture_entries(root, there, source_of, info_of, faults)
        faults.found += [
            f"{file}: {root / noisy} has no file of this name"
            for name, file in (clean_of if mixtures else {}).items()
            if name not in mixtures
        ]
        _add_log(parts[part], _log_of(root, part), faults)
    trained, tested = parts.values()
    _add_speakers(trained)
    _add_speakers(tested)
    if not faults.found:
        _check_speakers(trained, held_out, speakers, faults)
    faults.refuse_any()
    if len(tested) != TEST_PAIRS:
        logger.warning(
            "%s: %d test pairs, but the official test part has %d: scores cannot be compared",
            root,
            len(tested),
            TEST_PAIRS,
        )
    splits = {
        "train": {name: e for name, e in trained.items() if e["spk_id"] not in held_out},
        "valid": {name: e for name, e in trained.items() if e["spk_id"] in held_out},
        "test": tested,
    }
    for split, manifest in splits.items():
        write_manifest(save_folder, f"mix_{split}", manifest)


def _folders(root: Path, part: str, sample_rate: int) -> tuple[str, str]:
    """The folders of noisy and of clean speech; where neither rate is there, the official ones."""
    wanted = sorted(RATE_SUFFIXES, key=lambda rate: (rate < sample_rate, abs(rate - sample_rate)))
    suffixes = [RATE_SUFFIXES[rate] for rate in wanted]
    pairs = [(f"noisy_{part}_wav{suffix}", f"clean_{part}_wav{suffix}") for suffix in suffixes]
    there = [pair for pair in pairs if all((root / folder).is_dir() for folder in pair)]
    return (there or [(f"noisy_{part}_wav", f"clean_{part}_wav")])[0]


def _find_audio(root: Path, folder: str, faults: Faults) -> list[Path]:
    with faults.noted():
        return find_audio(root, folder, ORIGIN)
    return []


def _log_of(root: Path, part: str) -> Path | None:
    name = f"log_{part}.txt"
    found = [path for path in (root / name, root / "logfiles" / name) if path.is_file()]
    if not found:
        logger.warning("%s: no %s, so that scores are not by noise", root, name)
    return found[0] if found else None


def _add_log(entries: dict[str, dict], log: Path | None, faults: Faults) -> None:
    """Noise and SNR of each utterance: lines of its name, the noise and the SNR in dB."""
    if log is None:
        return
    for number, line in enumerate(log.read_text("utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, noise, snr_db = line.split()
            found = {"noise": text_in_manifest(noise), "snr_db": float(snr_db)}
        except ValueError:
            faults.found.append(
                f"{log}, line {number}: needs an utterance, its noise and its SNR, found {line!r}"
            )
            continue
        entries.get(name.removesuffix(".wav"), {}).update(found)
    unnamed = [name for name, entry in entries.items() if "noise" not in entry]
    if unnamed:
        logger.warning("%s says nothing of %s", log, ", ".join(unnamed))


def _add_speakers(entries: dict[str, dict]) -> None:
    for name, entry in entries.items():
        entry["spk_id"] = text_in_manifest(name.split("_")[0])


def _check_speakers(
    trained: dict[str, dict], held_out: Sequence[str], speakers: int, faults: Faults
) -> None:
    there = {entry["spk_id"] for entry in trained.values()}
    missing = [speaker for speaker in held_out if speaker not in there]
    if missing or there <= set(held_out):
        faults.found.append(
            f"valid_speakers of the {speakers} are {', '.join(held_out)}, but those of the "
            f"training part are {', '.join(sorted(there))}; at least one other is to be trained on"
        )
