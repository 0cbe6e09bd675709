"""SpeechBrain datasets of mixtures, from the manifests."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import (
    ReproducibleRandomSampler,
    ReproducibleWeightedRandomSampler,
)
from speechbrain.utils.data_pipeline import provides, takes

from bloomnet_sb.data.augmentation import Augmentation
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.mixing import Mixture, draw_mixture, fixed_mixture
from bloomnet_sb.data.reading import File, file_of
from bloomnet_sb.data.shard_dataset import ShardDataset, ShardSampler
from bloomnet_sb.utils.errors import InputError, check_positive, check_seconds, is_number

OUTPUT_KEYS = ["id", "mix", "target", "noise"]
BABBLERS = 16  # utterances of a shard that a babble is drawn from


def train_dataset(
    manifest_folder: str,
    data_folder: str,
    segment_seconds: float,
    snr_db: tuple[float, float],
    sample_rate: int,
    seed: int,
    augment: Augmentation | None = None,
) -> "DrawDataset | ShardDataset":
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
        In Hz; files of other rates are resampled.
    seed : int
        Another seed, other draws.
    augment : Augmentation, optional
        Random changes of speech, noise and recording. Default: none.

    Returns
    -------
    DrawDataset or ShardDataset
        Items with id, mix [time], target [time, 1] and noise, its name; a ShardDataset where
        speech_train.json names shards.

    Raises
    ------
    InputError
        If a manifest is missing, empty, or names a missing file.
    """
    noises = _noises(manifest_folder, data_folder, "train", sample_rate)
    manifest = load_manifest(manifest_folder, data_folder, "speech_train")
    frames = round(segment_seconds * sample_rate)

    def draw(speech: File, key: tuple[int, int], voices: Sequence[File]) -> Mixture:
        rng = np.random.default_rng([seed, *key])
        return draw_mixture(speech, noises, frames, snr_db, rng, augment, voices)

    if any("shard" in entry for entry in manifest.values()):
        babbles = augment is not None and augment.babble > 0
        return ShardDataset(manifest, draw, sample_rate, BABBLERS if babbles else 0)
    voices = _files(manifest, sample_rate)

    def draw_file(speech: File, key: tuple[int, int]) -> Mixture:
        return draw(speech, key, voices)

    item = mixture_item(draw_file, "file", "key")
    return DrawDataset(with_files(manifest, sample_rate), [item], OUTPUT_KEYS)


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
        Items with id, mix [time], target [time, 1] and noise, its name.

    Raises
    ------
    InputError
        As `train_dataset`.
    """
    check_seconds(max_seconds=max_seconds)
    noises = _noises(manifest_folder, data_folder, split, sample_rate)
    max_frames = round(max_seconds * sample_rate)

    def fixed(utterance_id: str, speech: File) -> Mixture:
        return fixed_mixture(utterance_id, speech, noises, max_frames, snr_db)

    manifest = load_manifest(manifest_folder, data_folder, f"speech_{split}")
    item = mixture_item(fixed, "id", "file")
    return DynamicItemDataset(with_files(manifest, sample_rate), [item], OUTPUT_KEYS)


def train_sampler(
    dataset: "DrawDataset | ShardDataset",
    seed: int,
    segments_per_epoch: int | None = None,
    speaker_balance: float = 0.0,
) -> "DrawSampler | BalancedDrawSampler | ShardSampler":
    """A sampler for `train_dataset`; SpeechBrain's Brain sets its epoch.

    Arguments
    ---------
    dataset : DrawDataset or ShardDataset
        The training mixtures.
    seed : int
        Another seed, another order.
    segments_per_epoch : int, optional
        Length of an epoch. Default: as many as there are utterances.
    speaker_balance : float
        0: the utterances in a random order. Above 0: utterances are drawn with replacement, those
        of a speaker of n utterances with a probability in proportion to n^-speaker_balance; with 1
        every speaker is heard as often.

    Returns
    -------
    DrawSampler, BalancedDrawSampler or ShardSampler
        The sampler.

    Raises
    ------
    InputError
        If `segments_per_epoch` is no whole number of 1 or more, if `speaker_balance` is not within
        0 and 1, or if speakers are to be balanced and the manifest does not name them, as one of
        shards does not.
    """
    if segments_per_epoch is not None:
        check_positive(segments_per_epoch=segments_per_epoch)
    if not is_number(speaker_balance) or not 0 <= speaker_balance <= 1:
        raise InputError(f"speaker_balance is {speaker_balance!r}, but must be within 0 and 1")
    if isinstance(dataset, ShardDataset):
        if speaker_balance:
            raise InputError(
                f"speaker_balance is {speaker_balance}, but utterances of shards are drawn as they "
                "come; set it to 0, or train from files"
            )
        return ShardSampler([held for _, held in dataset.shards], seed, segments_per_epoch)
    if speaker_balance == 0:
        return DrawSampler(dataset, seed=seed, num_samples=segments_per_epoch)
    speakers = [dataset.data[data_id].get("spk_id") for data_id in dataset.data_ids]
    if None in speakers:
        raise InputError(
            f"speaker_balance is {speaker_balance}, but speech_train.json has no spk_id of "
            f"{dataset.data_ids[speakers.index(None)]}; make it anew, or set speaker_balance to 0"
        )
    utterances = Counter(speakers)
    weights = [utterances[speaker] ** -speaker_balance for speaker in speakers]
    return BalancedDrawSampler(
        weights, segments_per_epoch or len(dataset), replacement=True, seed=seed
    )


class DrawDataset(DynamicItemDataset):
    """A dataset whose items are drawn: its indices carry the draw's epoch and place.

    Takes the arguments of SpeechBrain's `DynamicItemDataset`. A dynamic item gets the epoch and
    the place as "key".
    """

    def __init__(self, data: dict[str, dict], *args, **kwargs):
        # The pipeline knows the keys of the data only; each draw brings its own "key".
        data = {name: {**entry, "key": None} for name, entry in data.items()}
        super().__init__(data, *args, **kwargs)

    def __getitem__(self, index: tuple[int, tuple[int, int]]) -> dict:
        """The item of one `(index, (epoch, place))` of `DrawSampler`."""
        number, key = index
        data_id = self.data_ids[number]
        return self.pipeline.compute_outputs({"id": data_id, **self.data[data_id], "key": key})


class _WithKey:
    """A reproducible sampler of SpeechBrain's, each index with its epoch and place in the epoch."""

    epoch: int

    def __iter__(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield `(index, (epoch, place))`."""
        epoch = self.epoch
        return ((index, (epoch, place)) for place, index in enumerate(super().__iter__()))  # type: ignore[misc]


class DrawSampler(_WithKey, ReproducibleRandomSampler):
    """SpeechBrain's reproducible shuffling, each index with its epoch and place in the epoch."""


class BalancedDrawSampler(_WithKey, ReproducibleWeightedRandomSampler):
    """SpeechBrain's weighted sampling, each index with its epoch and place in the epoch."""


def mixture_item(make: Callable[..., Mixture], *inputs: str) -> Callable:
    """The dynamic items mix [time], target [time, sources] and noise, its name.

    Arguments
    ---------
    make : callable
        Gives a mixture.
    *inputs : str
        The keys of what it takes.

    Returns
    -------
    callable
        SpeechBrain's dynamic item.

    Example
    -------
    >>> item = mixture_item(lambda frames: Mixture(np.ones(frames), np.ones(frames)), "frames")
    >>> DynamicItemDataset({"an-id": {"frames": 9}}, [item], OUTPUT_KEYS)[0]["target"].shape
    torch.Size([9, 1])
    """

    @takes(*inputs)
    @provides("mix", "target", "noise")
    def mixture(*values):
        mix, target, noise = make(*values)
        yield torch.from_numpy(mix)
        yield torch.from_numpy(target.reshape(len(mix), -1))
        yield noise

    return mixture


def with_files(manifest: dict[str, dict], sample_rate: int) -> dict[str, dict]:
    """A manifest whose entries have their file at a rate as "file".

    Example
    -------
    >>> with_files({"an-id": {"wav": "a.wav", "frames": 9, "sample_rate": 8000}}, 8000)["an-id"]
    {'wav': 'a.wav', 'frames': 9, 'sample_rate': 8000, 'file': File(...)}
    """
    return {
        name: {**entry, "file": file_of(entry, sample_rate)} for name, entry in manifest.items()
    }


def _noises(manifest_folder: str, data_folder: str, split: str, sample_rate: int) -> list[File]:
    return _files(load_manifest(manifest_folder, data_folder, f"noise_{split}"), sample_rate)


def _files(manifest: dict[str, dict], sample_rate: int) -> list[File]:
    return [file_of(entry, sample_rate, name) for name, entry in sorted(manifest.items())]
