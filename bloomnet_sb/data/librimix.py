"""LibriMix's mixtures of two or three speakers to manifests and datasets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from speechbrain.dataio.dataset import DynamicItemDataset

from bloomnet_sb.data.datasets import OUTPUT_KEYS, DrawDataset, mixture_item
from bloomnet_sb.data.manifests import (
    corpus_root,
    find_audio,
    load_manifest,
    mono_info,
    path_in_manifest,
    write_manifest,
)
from bloomnet_sb.data.mixing import (
    Mixture,
    at_unit_power,
    draw_sounding,
    random_start,
    read_segment,
)
from bloomnet_sb.utils.errors import InputError

RATE_FOLDERS = {8000: "wav8k", 16000: "wav16k"}
CHOICES = {
    "sample_rate": tuple(RATE_FOLDERS),
    "mode": ("min", "max"),
    "mixture": ("mix_clean", "mix_both"),
    "num_sources": (2, 3),
    "train_split": ("train-100", "train-360"),
}
ORIGIN = "LibriMix is made by the scripts at https://github.com/JorisCos/LibriMix"


def prepare_librimix(
    data_folder: str,
    save_folder: str,
    sample_rate: int = 8000,
    mode: str = "min",
    mixture: str = "mix_clean",
    num_sources: int = 2,
    train_split: str = "train-100",
    skip_prep: bool = False,
) -> None:
    """Write the manifests mix_{train,valid,test}.json of LibriMix (arXiv 2005.11262).

    An entry has the mixture as "wav", its clean sources as "sources" and their common length as
    "frames". Paths in a manifest are relative to {data_root}, which stands for `data_folder`.

    Arguments
    ---------
    data_folder : str
        The folder that holds Libri2Mix/ (Libri3Mix/ for three sources), or that folder itself, as
        LibriMix's scripts make it.
    save_folder : str
        Where the manifests go.
    sample_rate : int
        8000 or 16000 Hz: the mixtures in wav8k/ or in wav16k/.
    mode : str
        "min": mixtures end with their shortest source. "max": with their longest.
    mixture : str
        "mix_clean": the sources' sum. "mix_both": with noise.
    num_sources : int
        2 or 3.
    train_split : str
        "train-100" or "train-360".
    skip_prep : bool
        Use the manifests that are there.

    Raises
    ------
    InputError
        Naming an option that cannot be, a folder that is missing or empty, a source that is
        missing or shorter or longer than its mixture, or a file that is no audio or has another
        rate or more channels.

    Example
    -------
    >>> import soundfile as sf
    >>> tmpdir = Path(getfixture("tmpdir"))
    >>> for split in ("train-100", "dev", "test"):
    ...     for part in ("mix_clean", "s1", "s2"):
    ...         folder = tmpdir / "Libri2Mix" / "wav8k" / "min" / split / part
    ...         folder.mkdir(parents=True)
    ...         sf.write(folder / "an-id.wav", np.ones(800), 8000)
    >>> prepare_librimix(str(tmpdir), str(tmpdir / "manifests"))
    >>> load_manifest(tmpdir / "manifests", str(tmpdir), "mix_test")["an-id"]["frames"]
    800
    """
    if skip_prep:
        return
    _check_choices(
        sample_rate=sample_rate,
        mode=mode,
        mixture=mixture,
        num_sources=num_sources,
        train_split=train_split,
    )
    root = corpus_root(data_folder)
    name = f"Libri{num_sources}Mix"
    place = "" if root.absolute().name == name else f"{name}/"
    for split, part in {"train": train_split, "valid": "dev", "test": "test"}.items():
        folder = f"{place}{RATE_FOLDERS[sample_rate]}/{mode}/{part}"
        mixtures = find_audio(root, f"{folder}/{mixture}", ORIGIN)
        sources = [root / folder / f"s{number}" for number in range(1, num_sources + 1)]
        manifest = {mix.stem: _entry(root, mix, sources, sample_rate) for mix in mixtures}
        write_manifest(save_folder, f"mix_{split}", manifest)


def librimix_train_dataset(
    manifest_folder: str, data_folder: str, segment_seconds: float, sample_rate: int, seed: int
) -> DrawDataset:
    """Segments of LibriMix's training mixtures, drawn anew each time.

    To be read with `bloomnet_sb.data.train_sampler`; as in `bloomnet_sb.data.train_dataset`, a
    draw is a function of the seed, the epoch and the place in the epoch. Segments in which a
    source is silent, below -60 dB of full scale, are drawn again, up to 20 times. Only the
    segments are read. Their means are taken off, and mixture and sources are scaled by one factor
    that gives the mixture unit power. Mixtures that are too short are padded with zeros.

    Arguments
    ---------
    manifest_folder : str
        Where mix_train.json is.
    data_folder : str
        What {data_root} stands for.
    segment_seconds : float
        Length of a segment.
    sample_rate : int
        In Hz.
    seed : int
        Another seed, other draws.

    Returns
    -------
    DrawDataset
        Items with id, mix [time], target [time, sources] and noise, an empty name.

    Raises
    ------
    InputError
        If the manifest is missing, empty, or names a missing file; on reading an item, if a file
        cannot be read or the mixture is silent.

    Example
    -------
    >>> files = {"wav": "{data_root}/noisy_0dB.flac", "sources": ["{data_root}/clean_0dB.flac"] * 2}
    >>> folder = getfixture("tmpdir")
    >>> write_manifest(folder, "mix_train", {"an-id": {**files, "frames": 99587}})
    >>> segments = librimix_train_dataset(folder, "tests/samples/demo", 3.0, 16000, seed=1)
    >>> epoch, place = 1, 0
    >>> segments[0, (epoch, place)]["target"].shape
    torch.Size([48000, 2])
    """
    frames = round(segment_seconds * sample_rate)

    def draw(mix: str, sources: list[str], length: int, key: tuple[int, int]) -> Mixture:
        rng = np.random.default_rng([seed, *key])

        def draw_segment() -> tuple[str, np.ndarray]:
            return mix, _read((mix, *sources), random_start(length, frames, rng), frames)

        return _scaled(*draw_sounding(draw_segment))

    manifest = load_manifest(manifest_folder, data_folder, "mix_train")
    item = mixture_item(draw, "wav", "sources", "frames", "key")
    return DrawDataset(manifest, [item], OUTPUT_KEYS)


def librimix_eval_dataset(
    manifest_folder: str, data_folder: str, split: str, max_seconds: float, sample_rate: int
) -> DynamicItemDataset:
    """LibriMix's validation or test mixtures, from their beginning on.

    Arguments
    ---------
    manifest_folder, data_folder, sample_rate
        As `librimix_train_dataset`.
    split : str
        "valid" or "test".
    max_seconds : float
        Longest mixture; what lies beyond is left out.

    Returns
    -------
    DynamicItemDataset
        Items with id, mix [time], target [time, sources] and noise, an empty name; scaled as
        `librimix_train_dataset` does.

    Raises
    ------
    InputError
        As `librimix_train_dataset`.

    Example
    -------
    >>> files = {"wav": "{data_root}/noisy_0dB.flac", "sources": ["{data_root}/clean_0dB.flac"] * 2}
    >>> folder = getfixture("tmpdir")
    >>> write_manifest(folder, "mix_test", {"an-id": {**files, "frames": 99587}})
    >>> mixtures = librimix_eval_dataset(folder, "tests/samples/demo", "test", 60.0, 16000)
    >>> mixtures[0]["target"].shape
    torch.Size([99587, 2])
    """
    max_frames = round(max_seconds * sample_rate)

    def whole(mix: str, sources: list[str], length: int) -> Mixture:
        return _scaled(mix, _read((mix, *sources), 0, min(length, max_frames)))

    manifest = load_manifest(manifest_folder, data_folder, f"mix_{split}")
    return DynamicItemDataset(
        manifest, [mixture_item(whole, "wav", "sources", "frames")], OUTPUT_KEYS
    )


def _check_choices(**options: str | int) -> None:
    for name, value in options.items():
        if value not in CHOICES[name]:
            accepted = ", ".join(map(str, CHOICES[name]))
            raise InputError(f"{name} is {value!r}, but must be one of {accepted}")


def _entry(root: Path, mix: Path, source_folders: Sequence[Path], sample_rate: int) -> dict:
    frames = mono_info(mix, sample_rate).frames
    sources = [folder / mix.name for folder in source_folders]
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source}: no such file, but it is needed as a source of {mix}")
        found = mono_info(source, sample_rate).frames
        if found != frames:
            raise InputError(f"{source}: {found} samples, but its mixture {mix} has {frames}")
    return {
        "wav": path_in_manifest(root, mix),
        "sources": [path_in_manifest(root, source) for source in sources],
        "frames": frames,
    }


def _read(paths: Sequence[str], start: int, frames: int) -> np.ndarray:
    """The same segment of several files, [files, time]."""
    return np.stack([read_segment(path, start, frames) for path in paths])


def _scaled(path: object, signals: np.ndarray) -> Mixture:
    """Mixture [time] and target [time, sources] of a mixture and its sources [signals, time]."""
    if not signals[0].any():
        raise InputError(f"{path}: a silent mixture")
    return Mixture(*at_unit_power(signals[0], np.ascontiguousarray(signals[1:].T)))
