"""Validation mixtures in groups: parts of the corpus, and bands of SNR."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from speechbrain.dataio.dataset import DynamicItemDataset

from bloomnet_sb.data.datasets import mixture_item
from bloomnet_sb.data.draws import GroupedFiles
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.mixing import (
    Mixture,
    at_unit_power,
    draw_sounding,
    mix_at_snr,
    random_start,
)
from bloomnet_sb.data.reading import file_of, read_looped, read_segment
from bloomnet_sb.utils.audio_files import Clip
from bloomnet_sb.utils.errors import InputError

LEVEL = 10 ** (-26 / 20)
OUTPUT_KEYS = ["id", "group", "mix", "target"]

Range = Sequence[int | None]


def validation_dataset(
    manifest_folder: str,
    data_folder: str,
    parts: Sequence[Mapping],
    snr_bands_db: Sequence[tuple[float, float]],
    seconds: float,
    sample_rate: int,
) -> DynamicItemDataset:
    """Validation mixtures that are the same in every run, for scores by group.

    Of each part of the corpus there is a group for each band of SNR, and one of clean speech. The
    kinds of speech take turns; speakers are drawn before their utterances, of which there are as
    many as fill the time, and categories of noise before noises. Mixtures are at -26 dB of full
    scale.

    Arguments
    ---------
    manifest_folder : str
        Where speech_valid.json and noise_valid.json are.
    data_folder : str
        What {data_root} stands for.
    parts : sequence of mapping
        Of each "name", "mixtures" (how many there are in a band), "clean" (how many without noise)
        and, if the part is not all of the corpus, "speakers" and "noises": the first and the last
        of their numbers, null for an open end.
    snr_bands_db : sequence of (float, float)
        Lowest and highest SNR of each band.
    seconds : float
        Length of a mixture.
    sample_rate : int
        In Hz.

    Returns
    -------
    DynamicItemDataset
        Items with id, group, mix [time] and target [time, 1].

    Raises
    ------
    InputError
        If a manifest is missing, a part has no speech or no noise, or what has bounds no number.

    Example
    -------
    >>> from bloomnet_sb.data import prepare_librispeech_musan
    >>> folder = str(getfixture("tmpdir"))
    >>> prepare_librispeech_musan("tests/samples", folder)
    >>> parts = [{"name": "all", "mixtures": 2, "clean": 1}]
    >>> dataset = validation_dataset(folder, "tests/samples", parts, [(-5, 10)], 4.0, 16000)
    >>> [item["group"] for item in dataset]
    ['all, -5 to 10 dB', 'all, -5 to 10 dB', 'all, clean']
    """
    speech = load_manifest(manifest_folder, data_folder, "speech_valid")
    noises = load_manifest(manifest_folder, data_folder, "noise_valid")
    drawers = {part["name"]: _Part(part, speech, noises, seconds, sample_rate) for part in parts}
    data: dict[str, dict] = {}
    for part in parts:
        bands = [(f"{low:g} to {high:g} dB", (low, high)) for low, high in snr_bands_db]
        for band, snr_db in [*bands, ("clean", None)]:
            group = f"{part['name']}, {band}"
            for number in range(part["clean" if snr_db is None else "mixtures"]):
                data[f"{group}, {number}"] = {
                    "part": part["name"],
                    "group": group,
                    "number": number,
                    "snr_db": snr_db,
                }

    def make(utterance_id: str, part: str, number: int, snr_db: tuple[float, float] | None):
        rng = np.random.default_rng(list(utterance_id.encode(errors="surrogateescape")))
        return drawers[part].mixture(number, snr_db, rng)

    item = mixture_item(make, "id", "part", "number", "snr_db")
    return DynamicItemDataset(data, [item], OUTPUT_KEYS)


class _Part:
    """The speech and the noise of a part of a corpus."""

    def __init__(
        self,
        part: Mapping,
        speech: Mapping[str, dict],
        noises: Mapping[str, dict],
        seconds: float,
        sample_rate: int,
    ):
        self.frames, self.sample_rate = round(seconds * sample_rate), sample_rate
        spoken = [e for e in speech.values() if _within(part.get("speakers"), e["spk_id"])]
        self.noises = [
            ("", e.get("category", ""), e)
            for key, e in noises.items()
            if _within(part.get("noises"), key)
        ]
        for what, found in (("speech", spoken), ("noise", self.noises)):
            if not found:
                raise InputError(f"the validation part {dict(part)} has no {what}")
        kinds = sorted({e.get("kind", "") for e in spoken})
        self.kinds = [
            GroupedFiles(("", e["spk_id"], e) for e in spoken if e.get("kind", "") == kind)
            for kind in kinds
        ]
        self.noise = GroupedFiles(self.noises)

    def mixture(
        self, number: int, snr_db: tuple[float, float] | None, rng: np.random.Generator
    ) -> Mixture:
        """A mixture of the kind of speech whose turn it is; without noise where no SNR is given."""
        speech = self._speech(self.kinds[number % len(self.kinds)], rng)
        if snr_db is None:
            mix, target = at_unit_power(speech, speech)
        else:
            mix, target = mix_at_snr(speech, self._noise(rng), rng.uniform(*snr_db))
        return Mixture(LEVEL * mix, LEVEL * target)

    def _speech(self, speakers: GroupedFiles, rng: np.random.Generator) -> np.ndarray:
        speaker, pieces, missing = speakers.member(rng), [], self.frames
        while missing > 0:
            file = file_of(speakers.entry(speaker, rng), self.sample_rate)
            start = random_start(file.frames, missing, rng)
            pieces.append(read_segment(file, start, min(missing, file.frames)))
            missing -= len(pieces[-1])
        return np.concatenate(pieces)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        def draw() -> tuple[str | Clip, np.ndarray]:
            file = file_of(self.noise.entry(self.noise.member(rng), rng), self.sample_rate)
            start = int(rng.integers(file.frames))
            return file.path, read_looped(file, start, self.frames)[None]

        return draw_sounding(draw)[1][0]


def _within(bounds: Range | None, name: str) -> bool:
    """Whether the last number in a name is within bounds."""
    if bounds is None:
        return True
    first, last = bounds
    numbers = re.findall(r"\d+", name)
    if not numbers:
        raise InputError(
            f"{name}: its name has no number, by which valid_parts says what is in a part"
        )
    number = int(numbers[-1])
    return (first is None or first <= number) and (last is None or number <= last)
