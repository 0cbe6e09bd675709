"""SpeechBrain datasets of mixtures, from the manifests."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from speechbrain.dataio.dataio import load_data_json
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.utils.data_pipeline import provides, takes

from bloomnet_sb.data.mixing import File, draw_mixture, fixed_mixture
from bloomnet_sb.errors import InputError, check_positive

OUTPUT_KEYS = ["id", "mix", "target"]


def train_dataset(
    manifest_folder: str,
    data_folder: str,
    segment_seconds: float,
    snr_db: tuple[float, float],
    sample_rate: int,
    seed: int,
) -> "DrawDataset":
    """Training mixtures, drawn anew each time; to be read with `train_sampler`.

    Every draw is a function of the seed, the epoch and the place in the epoch: neither the number
    of workers nor that of processes changes an epoch, and no two of them draw the same.

    Arguments
    ---------
    manifest_folder : str
        Where speech_train.json and noise_train.json are.
    data_folder : str
        What {data_root} stands for.
    segment_seconds : float
        Length of a mixture.
    snr_db : (float, float)
        Lowest and highest SNR, in dB.
    sample_rate : int
        In Hz.
    seed : int
        Another seed, other draws.

    Returns
    -------
    DrawDataset
        Items with id, mix [time] and target [time, 1].

    Raises
    ------
    InputError
        If a manifest is missing, empty, or names a missing file.
    """
    noises = _noises(manifest_folder, data_folder, "train")
    frames = round(segment_seconds * sample_rate)

    def draw(utterance_id: str, speech: File, key: tuple[int, int]):
        rng = np.random.default_rng([seed, *key])
        return draw_mixture(speech, noises, frames, snr_db, rng)

    speech = _load_manifest(manifest_folder, data_folder, "speech_train")
    return DrawDataset(speech, [_mixture_item(draw)], OUTPUT_KEYS)


def eval_dataset(
    manifest_folder: str,
    data_folder: str,
    split: str,
    max_seconds: float,
    snr_db: tuple[float, float],
    sample_rate: int,
) -> DynamicItemDataset:
    """Validation or test mixtures: the same in every run and for every model.

    Arguments
    ---------
    manifest_folder, data_folder, snr_db, sample_rate
        As `train_dataset`.
    split : str
        "valid" or "test".
    max_seconds : float
        Longest mixture.

    Returns
    -------
    DynamicItemDataset
        Items with id, mix [time] and target [time, 1].

    Raises
    ------
    InputError
        As `train_dataset`.
    """
    noises = _noises(manifest_folder, data_folder, split)
    max_frames = round(max_seconds * sample_rate)

    def fixed(utterance_id: str, speech: File, key: None):
        return fixed_mixture(utterance_id, speech, noises, max_frames, snr_db)

    speech = _load_manifest(manifest_folder, data_folder, f"speech_{split}")
    return DynamicItemDataset(speech, [_mixture_item(fixed)], OUTPUT_KEYS)


def train_sampler(
    dataset: "DrawDataset", seed: int, segments_per_epoch: int | None = None
) -> "DrawSampler":
    """A sampler for `train_dataset`; SpeechBrain's Brain sets its epoch.

    Arguments
    ---------
    dataset : DrawDataset
        The training mixtures.
    seed : int
        Another seed, another order.
    segments_per_epoch : int, optional
        Length of an epoch. Default: each utterance once.

    Returns
    -------
    DrawSampler
        The sampler.

    Raises
    ------
    InputError
        If `segments_per_epoch` is no whole number of 1 or more.
    """
    if segments_per_epoch is not None:
        check_positive(segments_per_epoch=segments_per_epoch)
    return DrawSampler(dataset, seed=seed, num_samples=segments_per_epoch)


def manifests_summary(manifest_folder: str, sample_rate: int) -> str:
    """What a run was trained, validated and tested on, as a Markdown list.

    Arguments
    ---------
    manifest_folder : str
        Where the manifests are.
    sample_rate : int
        In Hz.

    Returns
    -------
    str
        For each manifest, its number of files and minutes.
    """
    lines = []
    for path in sorted(Path(manifest_folder).glob("*_*.json")):
        frames = [
            entry["frames"] for entry in load_data_json(str(path), {"data_root": ""}).values()
        ]
        minutes = sum(frames) / sample_rate / 60
        lines.append(f"- {path.stem}: {len(frames)} files, {minutes:.1f} minutes\n")
    return "".join(lines)


class DrawDataset(DynamicItemDataset):
    """A dataset whose items are drawn: its indices carry the draw's epoch and place."""

    def __getitem__(self, index: tuple[int, tuple[int, int]]) -> dict:
        """The item of one `(index, (epoch, place))` of `DrawSampler`."""
        index, key = index
        data_id = self.data_ids[index]
        return self.pipeline.compute_outputs({"id": data_id, **self.data[data_id], "key": key})


class DrawSampler(ReproducibleRandomSampler):
    """SpeechBrain's reproducible shuffling, each index with its epoch and place in the epoch."""

    def __iter__(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield `(index, (epoch, place))`."""
        epoch = self.epoch
        return ((index, (epoch, place)) for place, index in enumerate(super().__iter__()))


def _mixture_item(make: Callable) -> dict:
    @takes("id", "wav", "frames", "key")
    @provides("mix", "target")
    def mixture(utterance_id, wav, frames, key):
        mix, target = make(utterance_id, (wav, frames), key)
        yield torch.from_numpy(mix)
        yield torch.from_numpy(target).unsqueeze(-1)

    return mixture


def _noises(manifest_folder: str, data_folder: str, split: str) -> list[File]:
    manifest = _load_manifest(manifest_folder, data_folder, f"noise_{split}")
    return [(entry["wav"], entry["frames"]) for _, entry in sorted(manifest.items())]


def _load_manifest(manifest_folder: str, data_folder: str, name: str) -> dict:
    path = Path(manifest_folder) / f"{name}.json"
    if not path.is_file():
        raise InputError(f"{path}: no such manifest; run without --skip_prep to make it")
    try:
        manifest = load_data_json(str(path), {"data_root": data_folder})
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: no JSON ({error})") from None
    if not manifest:
        raise InputError(f"{path}: an empty manifest")
    for entry in manifest.values():
        if not os.path.isfile(entry["wav"]):
            raise InputError(f"{path} names {entry['wav']}, but there is no such file")
    # The pipeline knows the keys of the manifest only; a training draw brings its own "key".
    return {name: {**entry, "key": None} for name, entry in manifest.items()}
