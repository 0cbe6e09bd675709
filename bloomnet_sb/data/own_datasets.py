"""Datasets of recordings of one's own, of whichever kind they are."""

from pathlib import Path

from speechbrain.dataio.dataset import DynamicItemDataset

from bloomnet_sb.data.augmentation import Augmentation
from bloomnet_sb.data.datasets import DrawDataset, eval_dataset, train_dataset
from bloomnet_sb.data.manifests import holds_mixtures, load_manifest
from bloomnet_sb.data.mixtures import mixture_eval_dataset, mixture_train_dataset
from bloomnet_sb.data.own_data import ROOMS
from bloomnet_sb.data.reading import file_of
from bloomnet_sb.data.shard_dataset import ShardDataset


def own_train_dataset(
    manifest_folder: str,
    data_folder: str,
    segment_seconds: float,
    snr_db: tuple[float, float],
    sample_rate: int,
    seed: int,
    augment: Augmentation | None = None,
) -> "DrawDataset | ShardDataset":
    """Training mixtures of what `bloomnet_sb.data.prepare_own_data` found.

    Arguments
    ---------
    manifest_folder, data_folder, segment_seconds, snr_db, sample_rate, seed, augment
        See `bloomnet_sb.data.train_dataset`; pairs have their own SNR and are not augmented. Where
        there are impulse responses, the rooms of the augmentation are theirs.

    Returns
    -------
    DrawDataset or ShardDataset
        See `bloomnet_sb.data.train_dataset`.

    Raises
    ------
    InputError
        As `bloomnet_sb.data.train_dataset`.

    Example
    -------
    See recipes/common/own_data.yaml.
    """
    if holds_mixtures(manifest_folder):
        return mixture_train_dataset(
            manifest_folder, data_folder, segment_seconds, sample_rate, seed
        )
    if augment is not None and (Path(manifest_folder) / f"{ROOMS}.json").is_file():
        rooms = load_manifest(manifest_folder, data_folder, ROOMS)
        augment = augment.in_rooms([file_of(room, sample_rate) for room in rooms.values()])
    return train_dataset(
        manifest_folder, data_folder, segment_seconds, snr_db, sample_rate, seed, augment
    )


def own_eval_dataset(
    manifest_folder: str,
    data_folder: str,
    split: str,
    max_seconds: float,
    snr_db: tuple[float, float],
    sample_rate: int,
) -> DynamicItemDataset:
    """Validation or test mixtures of what `prepare_own_data` found, the same in every run.

    Arguments
    ---------
    manifest_folder, data_folder, split, max_seconds, snr_db, sample_rate
        See `bloomnet_sb.data.eval_dataset`; pairs have their own SNR.

    Returns
    -------
    DynamicItemDataset
        See `bloomnet_sb.data.eval_dataset`.

    Raises
    ------
    InputError
        As `bloomnet_sb.data.eval_dataset`.

    Example
    -------
    See recipes/common/own_data.yaml.
    """
    if holds_mixtures(manifest_folder):
        return mixture_eval_dataset(manifest_folder, data_folder, split, max_seconds, sample_rate)
    return eval_dataset(manifest_folder, data_folder, split, max_seconds, snr_db, sample_rate)
