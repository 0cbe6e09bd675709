"""Recordings of one's own, in any layout, to manifests."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path, PurePath

from bloomnet_sb.data.corpus_files import corpus_root, usable_info
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.data.listening import (
    Listener,
    first_sounds,
    forget_heard,
    mean_sounds,
    note_heard,
    were_heard,
)
from bloomnet_sb.data.manifests import (
    audio_entries,
    check_manifests,
    files_in,
    names_in,
    text_in_manifest,
    write_manifest,
)
from bloomnet_sb.data.mixtures import mixture_entries
from bloomnet_sb.data.splits import FEWEST, SPLITS, named_split, split_by_group
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import list_audio, log_left_out

logger = logging.getLogger(__name__)

ROOMS = "rir_train"
KINDS = ("mix", "speech", "noise", "rir")
MOST_NAMES = 10


def prepare_own_data(
    data_folder: str,
    save_folder: str,
    sample_rate: int = 16000,
    clean_folder: str = "clean",
    noise_folder: str | None = None,
    noisy_folder: str | None = None,
    rir_folder: str | None = None,
    speech_list: str | None = None,
    noise_list: str | None = None,
    listen: bool = True,
    skip_prep: bool = False,
    allow_upsampling: bool = False,
) -> None:
    """Write the manifests of recordings of one's own: of speech and noise, or of pairs.

    With `noise_folder`, the manifests are speech_{train,valid,test}.json and
    noise_{train,valid,test}.json, to be mixed; with `noisy_folder`, mix_{train,valid,test}.json of
    the pairs of noisy and clean recordings that have the same place and name, the suffix apart.
    Files may have any format that can be read from any sample on, any number of channels (their
    mean is used) and any rate from the network's on.

    Recordings are split into training, validation and test by speakers, see
    `bloomnet_sb.data.splits.split_by_group`. A recording's speaker is the first folder in which the
    recordings differ; those in none count as of a speaker each, and so do all of less than three
    speakers. Where these folders are named after splits, such as train-clean-100, dev and test,
    they are the splits, and the next folder is the speaker. Noises are split file by file; their
    category is the first folder in which they differ. Fewer than three noises are for all splits.

    Arguments
    ---------
    data_folder : str
        Where the other folders are, unless they are whole paths; {data_root} in the manifests.
    save_folder : str
        Where the manifests go.
    sample_rate : int
        The network's, in Hz. Files of higher rates are resampled when they are read.
    clean_folder : str
        Clean speech.
    noise_folder, noisy_folder : str, optional
        Noise, or noisy recordings of the clean speech: one of them.
    rir_folder : str, optional
        Impulse responses of rooms, for the augmentation; of several channels, the first is used.
    speech_list, noise_list : str, optional
        CSV files with the columns file (its place in the folder of clean speech or of noise) and,
        if they are to decide it, split (train, valid or test) and speaker or category. What they
        do not list is left out.
    listen : bool
        Whether all files are read through, so that damaged and silent ones are found now and not
        in training; if the run before read them through, those that were there are not read again.
    skip_prep : bool
        Use the manifests that are there; only the rates in them are looked at.
    allow_upsampling : bool
        Whether files of lower rates than the network's are taken; a network learns from them that
        there is nothing above half of their rate.

    Raises
    ------
    InputError
        With a report of all that is wrong: folders that are missing or empty, files that are
        damaged, silent (in the mean of their channels, an offset apart) or of too low a rate, two
        of one name, noisy ones without a clean one of the same length, faults in the lists, a split
        without any, folders of clean speech of which only some are named after splits.

    Example
    -------
    >>> tmpdir = str(getfixture("tmpdir"))
    >>> folders = {"clean_folder": "LibriSpeech/train-clean-100", "noise_folder": "musan/noise"}
    >>> prepare_own_data("tests/samples", tmpdir, **folders, listen=False)
    >>> sorted(path.name for path in Path(tmpdir).iterdir())[3:]
    ['speech_test.json', 'speech_train.json', 'speech_valid.json']
    """
    if skip_prep:
        check_manifests(save_folder, sample_rate, allow_upsampling)
        return
    _check_folders(clean_folder, noise_folder, noisy_folder, rir_folder, noise_list)
    root = corpus_root(data_folder)
    faults = Faults("the recordings")
    header = partial(usable_info, sample_rate=sample_rate, allow_upsampling=allow_upsampling)
    known = files_in(save_folder, str(root)) if listen and were_heard(save_folder, root) else {}
    info_of = Listener(header, known, mean_sounds) if listen else header
    clean = _find(root, "clean_folder", clean_folder, faults)
    listed = _read_list(speech_list, root / clean_folder, clean, "speaker", faults)
    clean = _only(clean, listed)
    places = {file.resolve() for file in clean.values()}
    manifests: dict[str, dict[str, dict]] = {}
    if noisy_folder is not None:
        noisy = _only(_find(root, "noisy_folder", noisy_folder, faults), listed)
        _note_shared(places, noisy, "noisy_folder", faults)
        entries = _pairs(root, noisy, clean, root / clean_folder, info_of, faults)
        manifests |= _of_speakers(entries, listed, "mix", faults)
    if noise_folder is not None:
        entries = audio_entries(root, clean, info_of, faults)
        manifests |= _of_speakers(entries, listed, "speech", faults)
        noises = _find(root, "noise_folder", noise_folder, faults)
        _note_shared(places, noises, "noise_folder", faults)
        listed = _read_list(noise_list, root / noise_folder, noises, "category", faults)
        entries = audio_entries(root, _only(noises, listed), info_of, faults)
        manifests |= _of_noises(entries, listed, faults)
    if rir_folder is not None:
        rooms = _find(root, "rir_folder", rir_folder, faults)
        _note_shared(places, rooms, "rir_folder", faults)
        info_of = Listener(header, known, first_sounds) if listen else header
        manifests[ROOMS] = audio_entries(root, rooms, info_of, faults)
    _note_moved(save_folder, manifests, faults)
    faults.refuse_any()
    forget_heard(save_folder)  # first: a run may be killed between any two files
    _replace_manifests(save_folder, manifests)
    if listen:
        note_heard(save_folder, root)


def _check_folders(
    clean: str, noise: str | None, noisy: str | None, rir: str | None, listed: str | None
) -> None:
    folders = {"clean_folder": clean, "noise_folder": noise, "noisy_folder": noisy}
    for name, folder in {**folders, "rir_folder": rir}.items():
        if not isinstance(folder, str) and (folder is not None or name == "clean_folder"):
            raise InputError(
                f"{name} is {folder!r}, but must be one folder; several may lie in it, or links"
            )
    if (noise is None) == (noisy is None):
        found = "neither" if noise is None else "both"
        raise InputError(
            f"noise_folder (noise to be mixed with the clean speech) or noisy_folder (noisy "
            f"recordings of it) is needed, but {found} is given"
        )
    for name, value in (("rir_folder", rir), ("noise_list", listed)):
        if noisy is not None and value is not None:
            raise InputError(f"{name} is {value}, but recordings of noisy_folder are mixed already")


def _note_shared(clean: set[Path], others: Mapping[str, Path], option: str, faults: Faults) -> None:
    """Note files that are clean speech and something else at once, as of folders in each other."""
    if shared := [str(file) for file in others.values() if file.resolve() in clean]:
        faults.found.append(f"both in clean_folder and in {option}: {_some(shared)}")


def _note_moved(
    save_folder: str, manifests: Mapping[str, Mapping[str, dict]], faults: Faults
) -> None:
    """Note what was trained on by the manifests of before, and would be validated or tested on now.

    Which groups are for what depends on all that there are.
    """
    for kind in KINDS:
        train, valid, test = (names_in(save_folder, f"{kind}_{split}") for split in SPLITS)
        trained = train - valid - test
        for split in ("valid", "test"):
            moved = sorted(trained & manifests.get(f"{kind}_{split}", {}).keys())
            if moved:
                faults.found.append(
                    f"{kind}: {_some(moved)} would be in {split}, but a training with the "
                    f"manifests in {save_folder} has heard them; --skip_prep goes on with those "
                    "manifests, and without them all is split anew"
                )


def _find(root: Path, option: str, folder: str, faults: Faults) -> dict[str, Path]:
    """The recordings of a folder, by their places in it without suffix."""
    place = root / folder
    found: dict[str, Path] = {}
    with faults.noted():
        if not place.is_dir():
            raise InputError(f"{option} {place}: no such folder")
        files, left_out = list_audio(place, media=False)
        log_left_out(place, left_out)
        if not files:
            raise InputError(f"{option} {place}: holds no audio file")
        for file in files:
            name = file.relative_to(place).with_suffix("").as_posix()
            if found.setdefault(name, file) != file:
                faults.found.append(f"{file}: has the name of {found[name]}; names are ids")
    return found


def _read_list(
    path: str | None, place: Path, files: dict[str, Path], about: str, faults: Faults
) -> dict[str, dict[str, str]] | None:
    """What a CSV file says of the recordings, by their names; None without one."""
    if path is None:
        return None
    name_of = {file: name for name, file in files.items()}
    listed: dict[str, dict[str, str]] = {}
    for line, row in faults.rows(path, ["file"], [about, "split"]):
        with faults.noted():
            file = place / row["file"]
            if file not in name_of:
                raise InputError(f"{line}: no audio file {file}")
            if row["split"] not in ("", *SPLITS):
                raise InputError(f"{line}: split is {row['split']}, but one of {', '.join(SPLITS)}")
            if listed.setdefault(name_of[file], row) != row:
                raise InputError(f"{line}: {row['file']} is listed above, too, with other words")
    unlisted = [name for name in files if name not in listed]
    if unlisted:
        logger.warning("%s does not list %s, left out", path, _some(unlisted))
    for column in ("split", "speaker") if about == "speaker" else ("split",):
        without = [name for name, row in listed.items() if not row[column]]
        if 0 < len(without) < len(listed):
            faults.found.append(f"{path}: names the {column} of some, but not of {_some(without)}")
    return listed


def _only(files: dict[str, Path], listed: Mapping[str, dict] | None) -> dict[str, Path]:
    return files if listed is None else {name: f for name, f in files.items() if name in listed}


def _pairs(
    root: Path,
    noisy: dict[str, Path],
    clean: dict[str, Path],
    clean_place: Path,
    info_of: Callable,
    faults: Faults,
) -> dict[str, dict]:
    names = {file: name for name, file in noisy.items()}

    def source_of(mix: Path) -> list[Path]:
        name = names[mix]
        return [clean.get(name, clean_place / f"{name}{mix.suffix}")]

    alone = [name for name in clean if name not in noisy]
    if alone:
        logger.warning("no noisy recording of %s, left out", _some(alone))
    return mixture_entries(root, noisy, source_of, info_of, faults)


def _of_speakers(
    entries: dict[str, dict], listed: Mapping[str, dict] | None, kind: str, faults: Faults
) -> dict[str, dict]:
    """The manifests of a kind of recordings by speakers, who are noted in their entries."""
    differing = _from_differing(_folders(entries))
    by_folder = {name: named_split(folder) for name, folder in _first(differing).items()}
    folders = differing
    if all(by_folder.values()):
        folders = _from_differing({name: parts[1:] for name, parts in differing.items()})
    speakers = _said(entries, listed, "speaker") or _first(folders)
    for name, entry in entries.items():
        if speakers[name]:
            entry["spk_id"] = text_in_manifest(speakers[name])
    split_of = _said(entries, listed, "split")
    if not split_of and any(by_folder.values()):
        _check_named_splits(by_folder, _first(differing), kind, faults)
        split_of = {name: split or "" for name, split in by_folder.items()}
    if not split_of:
        split_of = _split_by_speaker(entries, speakers, kind, faults)
    return _by_split(entries, split_of, kind, faults)


def _check_named_splits(
    by_folder: Mapping[str, str | None], folders: Mapping[str, str], kind: str, faults: Faults
) -> None:
    """Note folders of which only some are named after splits, or not after each of them."""
    named = set(by_folder.values())
    # After other faults a split may seem to have no folder, as none of its files can be used.
    if None in named or (len(named) < len(SPLITS) and not faults.found):
        found = sorted(folder or "." for folder in set(folders.values()))
        faults.found.append(
            f"{kind}: the folders {_some(found)} seem to be splits, but are not all named after "
            "one, or not after each of train, valid and test; a --speech_list with the columns "
            "file and split says what each recording is for"
        )


def _split_by_speaker(
    entries: Mapping[str, dict], speakers: Mapping[str, str], kind: str, faults: Faults
) -> dict[str, str]:
    group_of = {name: speakers[name] or f"/{name}" for name in entries}
    if 0 < len(set(group_of.values())) < FEWEST <= len(entries):
        logger.warning(
            "%s: %d speakers, so that the same are in training, validation and test",
            kind,
            len(set(group_of.values())),
        )
        group_of = {name: name for name in entries}
    if len(set(group_of.values())) >= FEWEST:
        return split_by_group(group_of)
    if not faults.found:
        faults.found.append(
            f"{kind}: {len(entries)} recordings that can be used, but {FEWEST} are needed, "
            "one each for training, validation and test"
        )
    return dict.fromkeys(entries, "")


def _of_noises(
    entries: dict[str, dict], listed: Mapping[str, dict] | None, faults: Faults
) -> dict[str, dict]:
    categories = _said(entries, listed, "category") or _first(_from_differing(_folders(entries)))
    for name, entry in entries.items():
        if categories[name]:
            entry["category"] = text_in_manifest(categories[name])
    split_of = _said(entries, listed, "split")
    if split_of:
        return _by_split(entries, split_of, "noise", faults)
    if len(entries) < FEWEST:
        logger.warning(
            "noise: %d files, so that the same are in training, validation and test", len(entries)
        )
        return {f"noise_{split}": entries for split in SPLITS}
    return _by_split(entries, split_by_group({name: name for name in entries}), "noise", faults)


def _by_split(
    entries: dict[str, dict], split_of: Mapping[str, str], kind: str, faults: Faults
) -> dict[str, dict]:
    found = {
        f"{kind}_{split}": {name: e for name, e in entries.items() if split_of[name] == split}
        for split in SPLITS
    }
    if not faults.found:
        faults.found += [
            f"{name}: no recording is for it" for name, one in found.items() if not one
        ]
    return found


def _said(
    entries: Mapping[str, dict], listed: Mapping[str, dict] | None, column: str
) -> dict[str, str]:
    """What a list says of each recording in a column; nothing where it has none."""
    said = {name: listed[name][column] for name in entries} if listed is not None else {}
    return said if any(said.values()) else {}


def _folders(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return {name: PurePath(name).parent.parts for name in names}


def _from_differing(folders: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The folders of names from the first on in which they differ."""
    common = len(os.path.commonprefix(list(folders.values())))
    return {name: parts[common:] for name, parts in folders.items()}


def _first(folders: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The first folder of each name, or "" for one in none."""
    return {name: "".join(parts[:1]) for name, parts in folders.items()}


def _replace_manifests(save_folder: str, manifests: Mapping[str, dict[str, dict]]) -> None:
    """Write manifests, and remove those of a run on the other kind of data."""
    for name, manifest in manifests.items():
        write_manifest(save_folder, name, manifest)
        seconds = sum(entry["frames"] / entry["sample_rate"] for entry in manifest.values())
        speakers = len({entry.get("spk_id") for entry in manifest.values()} - {None})
        about = f", {speakers} speakers" if speakers else ""
        logger.info("%s: %d files%s, %.1f minutes", name, len(manifest), about, seconds / 60)
    for kind in KINDS:
        for split in SPLITS:
            if f"{kind}_{split}" not in manifests:
                (Path(save_folder) / f"{kind}_{split}.json").unlink(missing_ok=True)


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
