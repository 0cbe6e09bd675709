"""What is played to a system under test: mixtures, clean speech and noise of a corpus's part."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from bloomnet_sb.data.librispeech_musan import CATEGORY, KIND
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.mixing import draw_file, fixed_mixture, power
from bloomnet_sb.data.reading import file_of
from bloomnet_sb.utils.errors import check_seconds

# The mean power of what is played, in dB of full scale: that of ordinary recordings.
LEVEL_DB = -26.0


class Trial(NamedTuple):
    """What is played, and what should come out.

    Arguments
    ---------
    name : str
        The id of the utterance, or the name of the noise where there is no speech.
    mix : torch.Tensor
        What is played [time].
    target : torch.Tensor
        The clean speech in it [time].
    kind : str
        The kind of the voice.
    noise : str
        The name of the noise; empty where there is none.
    category : str
        The category of the noise.
    """

    name: str
    mix: torch.Tensor
    target: torch.Tensor
    kind: str = KIND
    noise: str = ""
    category: str = CATEGORY


class TestPart:
    """The validation or test part of a corpus, as `bloomnet_sb.data.eval_dataset` mixes it.

    Manifest entries may name the "kind" of a voice and the "category" of a noise; without them all
    speech is of one kind and all noise of one category.

    Arguments
    ---------
    manifest_folder : str
        Where speech_<split>.json and noise_<split>.json are.
    data_folder : str
        What {data_root} stands for.
    split : str
        "valid" or "test".
    sample_rate : int
        In Hz.
    max_seconds : float
        Longest trial.
    limit : int, optional
        Use no more utterances than this, as many of each kind as can be, and no more noises.
        Default: all.

    Raises
    ------
    InputError
        If a manifest is missing, empty, or names a missing file, or for a length that cannot be.

    Example
    -------
    >>> from bloomnet_sb.data import prepare_librispeech_musan
    >>> folder = str(getfixture("tmpdir"))
    >>> prepare_librispeech_musan("tests/samples", folder)
    >>> part = TestPart(folder, "tests/samples", "test", 16000, max_seconds=2.0)
    >>> trial = next(part.mixtures((-5, 10)))
    >>> trial.mix.shape, trial.kind, trial.category
    (torch.Size([32000]), 'speech', 'noise')
    """

    __test__ = False  # for pytest

    def __init__(
        self,
        manifest_folder: str,
        data_folder: str,
        split: str,
        sample_rate: int,
        max_seconds: float = 10.0,
        limit: int | None = None,
    ):
        self.sample_rate = sample_rate
        check_seconds(max_seconds=max_seconds)
        self.max_frames = round(max_seconds * sample_rate)
        self.limit = limit
        self.speech = load_manifest(manifest_folder, data_folder, f"speech_{split}")
        self.noise = load_manifest(manifest_folder, data_folder, f"noise_{split}")
        self._chosen = _of_each_kind(self.speech, limit)
        self._noises = [file_of(entry, sample_rate, n) for n, entry in sorted(self.noise.items())]
        self._categories = {name: category(entry) for name, entry in self.noise.items()}

    def mixtures(self, snr_db: tuple[float, float]) -> Iterator[Trial]:
        """The mixtures of a range of SNR; with another one, the same voices and noises.

        Arguments
        ---------
        snr_db : (float, float)
            Lowest and highest SNR, in dB.

        Yields
        ------
        Trial
            The next.
        """
        for name in self._chosen:
            entry = self.speech[name]
            speech = file_of(entry, self.sample_rate)
            mix, target, noise = fixed_mixture(name, speech, self._noises, self.max_frames, snr_db)
            gain = 10 ** (LEVEL_DB / 20)  # the mixture has unit power
            tensors = torch.from_numpy(gain * mix), torch.from_numpy(gain * target)
            yield Trial(name, *tensors, voice_kind(entry), noise, self._categories[noise])

    def clean_speech(self) -> Iterator[Trial]:
        """The speech of the mixtures, alone.

        Yields
        ------
        Trial
            The next.
        """
        for trial in self.mixtures((0, 0)):
            clean = torch.from_numpy(at_level(trial.target.numpy()))
            yield Trial(trial.name, clean, clean, trial.kind)

    def noises(self) -> Iterator[Trial]:
        """A stretch of each noise, alone, looped where it is too short.

        Yields
        ------
        Trial
            The next; its target is silence.
        """
        for name, entry in sorted(self.noise.items())[: self.limit]:
            file = file_of(entry, self.sample_rate)
            _, drawn = draw_file([file], self.max_frames, seeded(name), loop=True)
            noise = torch.from_numpy(at_level(drawn))
            silence = torch.zeros_like(noise)
            yield Trial(name, noise, silence, noise=name, category=category(entry))

    def fingerprint(self) -> str:
        """A name for the trials of this part, wherever its files are, of 32 hexadecimal digits."""
        about = [
            [(name, {**entry, "wav": ""}) for name, entry in sorted(manifest.items())]
            for manifest in (self.speech, self.noise)
        ]
        parts = (about, self._chosen, self.sample_rate, self.max_frames)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def at_level(signal: np.ndarray, level_db: float = LEVEL_DB) -> np.ndarray:
    """Scale a signal to a mean power.

    Arguments
    ---------
    signal : numpy.ndarray
        [time], not all zeros.
    level_db : float
        In dB of full scale.

    Returns
    -------
    numpy.ndarray
        The same, scaled, float32.

    Example
    -------
    >>> at_level(np.ones(2), -20.0).round(3).tolist()
    [0.10000000149011612, 0.10000000149011612]
    """
    return (signal * (10 ** (level_db / 20) / np.sqrt(power(signal)))).astype(np.float32)


def seeded(name: str) -> np.random.Generator:
    """A generator whose draws a name decides, also one that is no text, as file names may be.

    Example
    -------
    >>> int(seeded("rain").integers(100)) == int(seeded("rain").integers(100))
    True
    """
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return np.random.default_rng(list(digest))


def voice_kind(entry: dict) -> str:
    """The kind of a voice, by its manifest entry.

    Example
    -------
    >>> voice_kind({"kind": "acted"}), voice_kind({})
    ('acted', 'speech')
    """
    return entry.get("kind", KIND)


def category(entry: dict) -> str:
    """The category of a noise, by its manifest entry.

    Example
    -------
    >>> category({"category": "rain"}), category({})
    ('rain', 'noise')
    """
    return entry.get("category", CATEGORY)


def _of_each_kind(speech: dict[str, dict], limit: int | None) -> list[str]:
    """The ids in order; with a limit, in turns from every kind, spread over each."""
    if limit is None:
        return sorted(speech)
    kinds = defaultdict(list)
    for name in sorted(speech):
        kinds[voice_kind(speech[name])].append(name)
    each = -(-limit // len(kinds))
    turns = [names[:: max(len(names) // each, 1)] for names in kinds.values()]
    longest = max(map(len, turns))
    mixed = [names[place] for place in range(longest) for names in turns if place < len(names)]
    return mixed[:limit]
