"""Mixtures that a corpus has finished, with their clean sources: manifests and datasets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes

from bloomnet_sb.data.datasets import OUTPUT_KEYS, DrawDataset, with_files
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.data.manifests import load_manifest, path_in_manifest
from bloomnet_sb.data.mixing import (
    at_unit_power,
    draw_sounding,
    every_start,
    generator_of,
    random_start,
)
from bloomnet_sb.data.reading import File, read_segment
from bloomnet_sb.utils.audio_files import Clip
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError, check_seconds


def mixture_entries(
    root: Path,
    mixtures: Mapping[str, Path],
    sources_of: Callable[[Path], Sequence[Path]],
    info_of: Callable[[Path], AudioInfo],
    faults: Faults,
) -> dict[str, dict]:
    """The entries of a manifest mix_{train,valid,test}.json.

    Arguments
    ---------
    root : Path
        What {data_root} stands for.
    mixtures : mapping
        Id to the file of the mixture.
    sources_of : callable
        Gives the files of a mixture's clean sources.
    info_of : callable
        Gives the header of a file, see `bloomnet_sb.data.manifests.usable_info`.
    faults : Faults
        Where are noted: a file that cannot be used, a source that is missing, and one of another
        rate or length than its mixture.

    Returns
    -------
    dict
        Id to entry: the mixture as "wav", its clean "sources", and their common length and rate as
        "frames" and "sample_rate".

    Example
    -------
    >>> from bloomnet_sb.utils.audio_files import audio_info
    >>> root, faults = Path("tests/samples/demo"), Faults("the samples")
    >>> def clean(file):
    ...     return [file.with_name(file.name.replace("noisy", "clean"))]
    >>> files = {"0dB": root / "noisy_0dB.flac"}
    >>> mixture_entries(root, files, clean, audio_info, faults)["0dB"]["sources"]
    ['{data_root}/clean_0dB.flac']
    """
    entries = {}
    for name, mix in mixtures.items():
        sources, before = sources_of(mix), len(faults.found)
        info = None
        with faults.noted():
            info = info_of(mix)
        for source in sources:
            with faults.noted():
                _check_source(source, mix, info, info_of)
        if info is not None and len(faults.found) == before:
            entries[name] = {
                "wav": path_in_manifest(root, mix),
                "sources": [path_in_manifest(root, source) for source in sources],
                "frames": info.frames,
                "sample_rate": info.samplerate,
            }
    return entries


def mixture_train_dataset(
    manifest_folder: str, data_folder: str, segment_seconds: float, sample_rate: int, seed: int
) -> DrawDataset:
    """Segments of a corpus's training mixtures, drawn anew each time.

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
        Items with id, mix [time], target [time, sources] and noise, its name or "".

    Raises
    ------
    InputError
        If the manifest is missing, empty, or names missing files; on reading an item, if a file
        cannot be read or the mixture is silent.

    Example
    -------
    >>> from bloomnet_sb.data.manifests import write_manifest
    >>> files = {"wav": "{data_root}/noisy_0dB.flac", "sources": ["{data_root}/clean_0dB.flac"] * 2}
    >>> folder = getfixture("tmpdir")
    >>> write_manifest(folder, "mix_train", {"an-id": {**files, "frames": 99587}})
    >>> segments = mixture_train_dataset(folder, "tests/samples/demo", 3.0, 16000, seed=1)
    >>> epoch, place = 1, 0
    >>> segments[0, (epoch, place)]["target"].shape
    torch.Size([48000, 2])
    """
    frames = round(segment_seconds * sample_rate)

    def draw(mix: File, sources: list[str], key: tuple[int, int]) -> list[torch.Tensor]:
        rng = np.random.default_rng([seed, *key])

        def draw_segment() -> tuple[str | Clip, np.ndarray]:
            start = random_start(mix.frames, frames, rng)
            return mix.path, _read(mix, sources, start, frames)

        return _scaled(*draw_sounding(draw_segment))

    data = _with_noise(load_manifest(manifest_folder, data_folder, "mix_train"))
    item = _item(draw, "file", "sources", "key")
    return DrawDataset(with_files(data, sample_rate), [item], OUTPUT_KEYS)


def mixture_eval_dataset(
    manifest_folder: str, data_folder: str, split: str, max_seconds: float, sample_rate: int
) -> DynamicItemDataset:
    """A corpus's validation or test mixtures, from their beginning on.

    Where a source is silent for `max_seconds`, below -60 dB of full scale, a longer mixture is
    taken from another place, which its id decides: the first from there on in which all sound.

    Arguments
    ---------
    manifest_folder, data_folder, sample_rate
        As `mixture_train_dataset`.
    split : str
        "valid" or "test".
    max_seconds : float
        Longest mixture; the rest is left out.

    Returns
    -------
    DynamicItemDataset
        Items with id, mix [time], target [time, sources], noise, its name or "", and, where the
        manifest says it of every mixture, snr_db; scaled as `mixture_train_dataset` does.

    Raises
    ------
    InputError
        As `mixture_train_dataset`.

    Example
    -------
    >>> from bloomnet_sb.data.manifests import write_manifest
    >>> files = {"wav": "{data_root}/noisy_0dB.flac", "sources": ["{data_root}/clean_0dB.flac"]}
    >>> entry = {**files, "frames": 99587, "noise": "rain", "snr_db": 2.5}
    >>> folder = getfixture("tmpdir")
    >>> write_manifest(folder, "mix_test", {"an-id": entry})
    >>> mixtures = mixture_eval_dataset(folder, "tests/samples/demo", "test", 60.0, 16000)
    >>> mixtures[0]["target"].shape, mixtures[0]["noise"], mixtures[0]["snr_db"]
    (torch.Size([99587, 1]), 'rain', 2.5)
    """
    check_seconds(max_seconds=max_seconds)
    max_frames = round(max_seconds * sample_rate)

    def fixed(name: str, mix: File, sources: list[str]) -> list[torch.Tensor]:
        frames, starts = min(mix.frames, max_frames), [0]
        if mix.frames > max_frames:
            starts += every_start(mix.frames, frames, generator_of(name))
        places = iter(starts)
        return _scaled(
            *draw_sounding(
                lambda: (mix.path, _read(mix, sources, next(places), frames)), len(starts)
            )
        )

    data = _with_noise(load_manifest(manifest_folder, data_folder, f"mix_{split}"))
    keys = [*OUTPUT_KEYS, *(["snr_db"] if all("snr_db" in e for e in data.values()) else [])]
    item = _item(fixed, "id", "file", "sources")
    return DynamicItemDataset(with_files(data, sample_rate), [item], keys)


def _check_source(
    source: Path,
    mix: Path,
    info: AudioInfo | None,
    info_of: Callable[[Path], AudioInfo],
) -> None:
    if not source.is_file():
        raise InputError(f"{source}: no such file, but it is needed as a source of {mix}")
    found = info_of(source)
    if info is None:
        return
    for what, one, other in (
        ("samples", found.frames, info.frames),
        ("Hz", found.samplerate, info.samplerate),
    ):
        if one != other:
            raise InputError(f"{source}: {one} {what}, but its mixture {mix} has {other}")


def _with_noise(manifest: dict[str, dict]) -> dict[str, dict]:
    return {name: {"noise": "", **entry} for name, entry in manifest.items()}


def _item(make: Callable[..., list[torch.Tensor]], *inputs: str) -> Callable:
    @takes(*inputs)
    @provides("mix", "target")
    def mixture(*values):
        yield from make(*values)

    return mixture


def _read(mix: File, sources: Sequence[str], start: int, frames: int) -> np.ndarray:
    """The same segment of a mixture and of its sources, [files, time]."""
    files = [mix, *(mix._replace(path=source) for source in sources)]
    return np.stack([read_segment(file, start, frames) for file in files])


def _scaled(path: object, signals: np.ndarray) -> list[torch.Tensor]:
    """Mixture [time] and target [time, sources] of a mixture and its sources [signals, time]."""
    if not signals[0].any():
        raise InputError(f"{path}: a silent mixture")
    scaled = at_unit_power(signals[0], np.ascontiguousarray(signals[1:].T))
    return [torch.from_numpy(signal) for signal in scaled]
