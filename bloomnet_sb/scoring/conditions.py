"""Conditions: the same noisy speech after its noise alone, and after something worse."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from bloomnet_sb.data.mixing import MAX_REDRAWS, SILENCE_DB, draw_file, power
from bloomnet_sb.data.reading import File, file_of, read_segment
from bloomnet_sb.scoring.trials import LEVEL_DB, TestPart, category, seeded, voice_kind

SNR_DB = 10.0
SPEECH_SECONDS = 4.0
SILENCE_SECONDS = 10.0
OFFSET = 0.1
TALKER_DB = 20.0
LOUD_TALKER_LEVEL_DB = -20.0  # with peaks below full scale
ONSET_SECONDS = 0.5
PAIRS = 40
CONDITIONS = ("louder talker", "softer talker", "digital silence", "offset")
# A voice that starts later, or a noise that changes more, would say little of what was before.
ONSET_DB = -10.0
STEADY_DB = 6.0

Drawn = TypeVar("Drawn")


class ConditionPair(NamedTuple):
    """The same noisy speech, at the end of two signals.

    Arguments
    ---------
    name : str
        The number of the voice and noise, the same in every condition.
    condition : str
        One of `CONDITIONS`.
    after_noise : torch.Tensor
        4 s of the noise, then 4 s of speech in it [time].
    disturbed : torch.Tensor
        The same, disturbed before (the offset: throughout) [time].
    target : torch.Tensor
        The clean speech at the end of both [time].
    kind, category : str
        Of the voice, and of the noise.
    """

    name: str
    condition: str
    after_noise: torch.Tensor
    disturbed: torch.Tensor
    target: torch.Tensor
    kind: str
    category: str


def condition_pairs(part: TestPart, pairs: int = PAIRS) -> Iterator[ConditionPair]:
    """Pairs of every condition, the same in every run and for every system.

    The kinds of voices take turns. The voice is at 10 dB SNR, with the noise scaled to it, and at
    -26 dB of full scale; at -40 where a louder talker is before it, who is at -20 then.

    Arguments
    ---------
    part : TestPart
        Where voices and noises are from.
    pairs : int
        How many voices, each in every condition.

    Yields
    ------
    ConditionPair
        The next.

    Example
    -------
    >>> from bloomnet_sb.data import prepare_librispeech_musan
    >>> folder = str(getfixture("tmpdir"))
    >>> prepare_librispeech_musan("tests/samples", folder)
    >>> part = TestPart(folder, "tests/samples", "test", 16000)
    >>> for pair in condition_pairs(part, pairs=1):
    ...     print(pair.condition, len(pair.after_noise) / 16000, len(pair.disturbed) / 16000)
    louder talker 8.0 8.0
    softer talker 8.0 8.0
    digital silence 8.0 14.0
    offset 8.0 8.0
    """
    speakers = _speakers(part)
    kinds = sorted({kind for kind, _ in speakers})
    frames = round(SPEECH_SECONDS * part.sample_rate)
    noises = [(name, entry) for name, entry in sorted(part.noise.items())]
    for number in range(pairs):
        rng = seeded(f"condition {number}")
        kind = kinds[number % len(kinds)]
        of_kind = sorted(speaker for speaker in speakers if speaker[0] == kind)
        speaker = of_kind[int(rng.integers(len(of_kind)))]
        others = sorted(set(speakers) - {speaker}) or [speaker]
        other = others[int(rng.integers(len(others)))]
        voice = _draw_voice(speakers[speaker], frames, part.sample_rate, rng)
        talker = _draw_voice(speakers[other], frames, part.sample_rate, rng)
        name, entry = noises[int(rng.integers(len(noises)))]
        noise = _draw_noise(file_of(entry, part.sample_rate), frames, rng)
        for condition in CONDITIONS:
            signals = _signals(condition, voice, talker, noise, part.sample_rate)
            calm, disturbed, target = (torch.from_numpy(s.astype(np.float32)) for s in signals)
            yield ConditionPair(
                str(number), condition, calm, disturbed, target, kind, category(entry)
            )


def _signals(
    condition: str, voice: np.ndarray, talker: np.ndarray, noise: np.ndarray, sample_rate: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """After noise, disturbed, and the speech, of a voice and a talker of unit power."""
    frames = len(voice)
    louder = condition == "louder talker"
    level = 10 ** ((LOUD_TALKER_LEVEL_DB - TALKER_DB if louder else LEVEL_DB) / 20)
    before, speech = level * noise[:frames], level * voice
    noisy = speech + level * noise[frames:]
    after_noise = np.concatenate([before, noisy])
    if condition == "offset":
        return after_noise, after_noise + OFFSET, speech
    if condition == "digital silence":
        before = np.zeros(round(SILENCE_SECONDS * sample_rate))
    else:
        before = before + level * 10 ** ((TALKER_DB if louder else -TALKER_DB) / 20) * talker
    return after_noise, np.concatenate([before, noisy]), speech


def _speakers(part: TestPart) -> dict[tuple[str, str], list[File]]:
    """(kind, speaker) to the speaker's utterances."""
    speakers = defaultdict(list)
    for name, entry in sorted(part.speech.items()):
        speaker = entry.get("spk_id", name)
        speakers[voice_kind(entry), speaker].append(file_of(entry, part.sample_rate))
    return dict(speakers)


def _draw_voice(
    utterances: list[File], frames: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Speech of unit power that begins at once; utterances follow each other where one is short."""
    onset = round(ONSET_SECONDS * sample_rate)

    def draw() -> np.ndarray:
        order = rng.permutation(len(utterances))
        first = utterances[order[0]]
        start = int(rng.integers(max(first.frames - frames, first.frames // 2) + 1))
        pieces = [read_segment(first, start, min(first.frames - start, frames))]
        while sum(map(len, pieces)) < frames:
            file = utterances[order[len(pieces) % len(order)]]
            pieces.append(read_segment(file, 0, file.frames))
        return np.concatenate(pieces)[:frames]

    def onset_db(voice: np.ndarray) -> float:
        silent = power(voice) < 10 ** (SILENCE_DB / 10)
        return -np.inf if silent else _ratio_db(voice[:onset], voice)

    voice = _draw_until(draw, onset_db, ONSET_DB)
    return voice / np.sqrt(power(voice))


def _draw_noise(file: File, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Noise [2 frames], at `SNR_DB` below unit power where the speech will be."""

    def draw() -> np.ndarray:
        return draw_file([file], 2 * frames, rng, loop=True)[1]

    def steadiness(noise: np.ndarray) -> float:
        return -abs(_ratio_db(noise[:frames], noise[frames:]))

    noise = _draw_until(draw, steadiness, -STEADY_DB)
    return noise * 10 ** (-SNR_DB / 20) / np.sqrt(power(noise[frames:]))


def _draw_until(draw: Callable[[], Drawn], score: Callable[[Drawn], float], enough: float) -> Drawn:
    """The first draw with a score of `enough`, else the best of 20."""
    draws = []
    for _ in range(MAX_REDRAWS):
        draws.append(draw())
        if score(draws[-1]) >= enough:
            return draws[-1]
    return max(draws, key=score)


def _ratio_db(one: np.ndarray, other: np.ndarray) -> float:
    tiny = 1e-12  # digital silence
    return 10 * np.log10((power(one) + tiny) / (power(other) + tiny))
