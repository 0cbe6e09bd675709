"""LibriMix's mixtures of two or three speakers to manifests and datasets."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from speechbrain.dataio.dataset import DynamicItemDataset

from bloomnet_sb.data.datasets import OUTPUT_KEYS, DrawDataset, mixture_item, with_files
from bloomnet_sb.data.manifests import (
    check_manifests,
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
)
from bloomnet_sb.data.reading import File, read_segment
from bloomnet_sb.utils.audio_files import Clip
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError, check_positive

RATE_FOLDERS = {8000: "wav8k", 16000: "wav16k"}
CHOICES = {
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
    allow_upsampling: bool = False,
) -> None:
    """Write the manifests mix_{train,valid,test}.json of LibriMix (arXiv 2005.11262).

    An entry has the mixture as "wav", its clean sources as "sources", and their common length and
    rate as "frames" and "sample_rate". Paths in a manifest are relative to {data_root}, which
    stands for `data_folder`.

    Arguments
    ---------
    data_folder : str
        The folder that holds Libri2Mix/ (Libri3Mix/ for three sources), or that folder itself, as
        LibriMix's scripts make it.
    save_folder : str
        Where the manifests go.
    sample_rate : int
        The network's, in Hz. Of wav8k/ and wav16k/, the one of this rate is used, else the next
        higher, which is resampled when it is read, else the next lower.
    mode : str
        "min": mixtures end with their shortest source. "max": with their longest.
    mixture : str
        "mix_clean": the sources' sum. "mix_both": with noise.
    num_sources : int
        2 or 3.
    train_split : str
        "train-100" or "train-360".
    skip_prep : bool
        Use the manifests that are there; only the rates in them are looked at.
    allow_upsampling : bool
        Whether mixtures of a lower rate than the network's are taken.

    Raises
    ------
    InputError
        Naming an option that cannot be, a folder that is missing or empty, a source that is
        missing or shorter or longer than its mixture, or a file that is no audio, has several
        channels or too low a rate.

    Example
    -------
    >>>     >>> tmpdir = Path(getfixture("tmpdir"))
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
        check_manifests(save_folder, sample_rate, allow_upsampling)
        return
    check_positive(sample_rate=sample_rate)
    _check_choices(mode=mode, mixture=mixture, num_sources=num_sources, train_split=train_split)
    root = corpus_root(data_folder)
    name = f"Libri{num_sources}Mix"
    place = "" if root.absolute().name == name else f"{name}/"
    place += _rate_folder(root / place, sample_rate)
    for split, part in {"train": train_split, "valid": "dev", "test": "test"}.items():
        folder = f"{place}/{mode}/{part}"
        mixtures = find_audio(root, f"{folder}/{mixture}", ORIGIN)
        sources = [root / folder / f"s{number}" for number in range(1, num_sources + 1)]
        info_of = partial(mono_info, sample_rate=sample_rate, allow_upsampling=allow_upsampling)
        manifest = {mix.stem: _entry(root, mix, sources, info_of) for mix in mixtures}
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
        In Hz; mixtures of other rates are resampled.
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

    def draw(mix: File, sources: list[str], key: tuple[int, int]) -> Mixture:
        rng = np.random.default_rng([seed, *key])

        def draw_segment() -> tuple[str | Clip, np.ndarray]:
            start = random_start(mix.frames, frames, rng)
            return mix.path, _read(mix, sources, start, frames)

        return _scaled(*draw_sounding(draw_segment))

    manifest = load_manifest(manifest_folder, data_folder, "mix_train")
    item = mixture_item(draw, "file", "sources", "key")
    return DrawDataset(with_files(manifest, sample_rate), [item], OUTPUT_KEYS)


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

    def whole(mix: File, sources: list[str]) -> Mixture:
        return _scaled(mix.path, _read(mix, sources, 0, min(mix.frames, max_frames)))

    manifest = load_manifest(manifest_folder, data_folder, f"mix_{split}")
    item = mixture_item(whole, "file", "sources")
    return DynamicItemDataset(with_files(manifest, sample_rate), [item], OUTPUT_KEYS)


def _check_choices(**options: str | int) -> None:
    for name, value in options.items():
        if value not in CHOICES[name]:
            accepted = ", ".join(map(str, CHOICES[name]))
            raise InputError(f"{name} is {value!r}, but must be one of {accepted}")


def _rate_folder(mixtures: Path, sample_rate: int) -> str:
    """Of the folders that are there, that of the next rate from the network's on, or the highest.

    Where none is there, the one that should be.
    """
    wanted = sorted(RATE_FOLDERS, key=lambda rate: (rate < sample_rate, abs(rate - sample_rate)))
    there = [rate for rate in wanted if (mixtures / RATE_FOLDERS[rate]).is_dir()]
    return RATE_FOLDERS[(there or wanted)[0]]


def _entry(
    root: Path,
    mix: Path,
    source_folders: Sequence[Path],
    info_of: Callable[[Path], AudioInfo],
) -> dict:
    info = info_of(mix)
    sources = [folder / mix.name for folder in source_folders]
    for source in sources:
        if not source.is_file():
            raise InputError(f"{source}: no such file, but it is needed as a source of {mix}")
        found = info_of(source)
        for what, one, other in (
            ("samples", found.frames, info.frames),
            ("Hz", found.samplerate, info.samplerate),
        ):
            if one != other:
                raise InputError(f"{source}: {one} {what}, but its mixture {mix} has {other}")
    return {
        "wav": path_in_manifest(root, mix),
        "sources": [path_in_manifest(root, source) for source in sources],
        "frames": info.frames,
        "sample_rate": info.samplerate,
    }


def _read(mix: File, sources: Sequence[str], start: int, frames: int) -> np.ndarray:
    """The same segment of a mixture and of its sources, [files, time]."""
    files = [mix, *(mix._replace(path=source) for source in sources)]
    return np.stack([read_segment(file, start, frames) for file in files])


def _scaled(path: object, signals: np.ndarray) -> Mixture:
    """Mixture [time] and target [time, sources] of a mixture and its sources [signals, time]."""
    if not signals[0].any():
        raise InputError(f"{path}: a silent mixture")
    return Mixture(*at_unit_power(signals[0], np.ascontiguousarray(signals[1:].T)))
