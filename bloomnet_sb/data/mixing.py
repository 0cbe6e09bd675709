"""Drawing segments, and mixing clean speech with noise: anew for training, fixed for evaluation."""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from bloomnet_sb.data.augmentation import Augmentation
from bloomnet_sb.data.reading import File, read_looped, read_segment
from bloomnet_sb.utils.errors import InputError

SILENCE_DB = -60.0
MAX_REDRAWS = 20

Source = TypeVar("Source")


class Mixture(NamedTuple):
    """A mixture, what is to be estimated from it, and what else is in it.

    Arguments
    ---------
    mix : numpy.ndarray
        [time].
    target : numpy.ndarray
        [time] or [time, sources].
    noise : str
        The name of the noise; empty where it has none.
    """

    mix: np.ndarray
    target: np.ndarray
    noise: str = ""


def mix_at_snr(
    speech: np.ndarray, noise: np.ndarray, snr_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mix speech and noise and scale the mixture to unit variance.

    Arguments
    ---------
    speech, noise : numpy.ndarray
        Signals [time] of the same length, neither of them all zeros.
    snr_db : float
        Power of the speech over that of the noise, in dB.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        The mixture [time] of mean power 1, and the speech in it [time].

    Example
    -------
    >>> mix, target = mix_at_snr(np.random.randn(8000), np.random.randn(8000), snr_db=5.0)
    >>> float(np.mean(mix**2).round(6))
    1.0
    """
    gain = np.sqrt(power(speech) / power(noise) * 10 ** (-snr_db / 10))
    return at_unit_power(speech + gain * noise, speech)


def at_unit_power(mix: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale a mixture to a mean power of 1, and what it is made of by the same factor.

    Arguments
    ---------
    mix : numpy.ndarray
        The mixture [time], not all zeros.
    target : numpy.ndarray
        Signals in it, of any shape.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        Both, scaled, float32.

    Example
    -------
    >>> at_unit_power(np.full(4, 2.0), np.full(4, 1.0))[1]
    array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    scale = 1 / np.sqrt(power(mix))
    return (scale * mix).astype(np.float32), (scale * target).astype(np.float32)


def power(signal: np.ndarray) -> float:
    """The mean power of a signal.

    Example
    -------
    >>> power(np.array([1.0, -1.0, 2.0, -2.0]))
    2.5
    """
    return float(np.mean(np.square(signal, dtype=np.float64)))


def draw_mixture(
    speech: File,
    noises: Sequence[File],
    frames: int,
    snr_db: tuple[float, float],
    rng: np.random.Generator,
    augment: Augmentation | None = None,
    voices: Sequence[File] = (),
) -> Mixture:
    """Draw a random segment of an utterance, a random stretch of a noise, and an SNR.

    Segments below -60 dB of full scale are drawn again. Only the segments are read, and their
    mean is taken off. An utterance that is too short is padded with zeros, a noise that is too
    short is looped.

    Arguments
    ---------
    speech : File
        The utterance.
    noises : sequence of File
        The noises to choose from.
    frames : int
        Length of the mixture.
    snr_db : (float, float)
        Lowest and highest SNR, in dB.
    rng : numpy.random.Generator
        Where every draw comes from.
    augment : Augmentation, optional
        Random changes of speech, noise and recording. Default: none.
    voices : sequence of File
        Utterances to make a babble of, for an augmentation that does. Default: this one.

    Returns
    -------
    Mixture
        Mixture and target, see `mix_at_snr`.

    Raises
    ------
    InputError
        Naming a file that is silent from beginning to end, or one that cannot be read.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> speech = File("tests/samples/demo/clean_0dB.flac", 96000)
    >>> noise = File("tests/samples/musan/noise/free-sound/noise-free-sound-0000.flac", 64000)
    >>> draw_mixture(speech, [noise], 16000, (-5, 10), rng)[0].shape
    (16000,)
    """

    drawn = []

    def draw_speech(length: int) -> np.ndarray:
        return draw_file([speech], length, rng, loop=False)[1]

    def draw_noise(length: int) -> np.ndarray:
        file, noise = draw_file(noises, length, rng, loop=True)
        drawn.append(file.label)
        return noise

    def draw_voice(length: int) -> np.ndarray:
        return draw_file(voices or [speech], length, rng, loop=True)[1]

    if augment is None:
        mixture = mix_at_snr(draw_speech(frames), draw_noise(frames), rng.uniform(*snr_db))
    else:
        clean = augment.speech(draw_speech, frames, rng)
        noise = augment.noise(draw_noise, draw_voice, frames, rng)
        mixture = mix_at_snr(clean, noise, rng.uniform(*snr_db))
        mixture = at_unit_power(*augment.recording(*mixture, rng))
    return Mixture(*mixture, noise=" and ".join(drawn))


def fixed_mixture(
    utterance_id: str,
    speech: File,
    noises: Sequence[File],
    max_frames: int,
    snr_db: tuple[float, float],
) -> Mixture:
    """The one evaluation mixture of an utterance: its id decides every draw.

    Arguments
    ---------
    utterance_id : str
        The id.
    speech, noises, snr_db
        As `draw_mixture`.
    max_frames : int
        The mixture is as long as the utterance, or this long.

    Returns
    -------
    Mixture
        Mixture and target, see `mix_at_snr`.

    Example
    -------
    >>> speech = File("tests/samples/demo/clean_0dB.flac", 96000)
    >>> noise = File("tests/samples/musan/noise/free-sound/noise-free-sound-0000.flac", 64000)
    >>> one, two = (fixed_mixture("an-id", speech, [noise], 16000, (-5, 10)) for _ in range(2))
    >>> np.array_equal(one.mix, two.mix), one.noise
    (True, 'noise-free-sound-0000')
    """
    frames = min(speech.frames, max_frames)
    return draw_mixture(speech, noises, frames, snr_db, generator_of(utterance_id))


def draw_sounding(
    draw: Callable[[], tuple[Source, np.ndarray]], draws: int = MAX_REDRAWS
) -> tuple[Source, np.ndarray]:
    """Draw signals until none of them is silent, that is below -60 dB of full scale.

    Arguments
    ---------
    draw : callable
        Gives what the signals are from, and the signals [signals, time].
    draws : int
        How often at most.

    Returns
    -------
    (object, numpy.ndarray)
        The first draw without a silent signal; after all of them the one whose quietest signal is
        the loudest.

    Example
    -------
    >>> draws = iter([("a.wav", np.zeros((2, 50))), ("b.wav", np.ones((2, 50)))])
    >>> draw_sounding(lambda: next(draws))[0]
    'b.wav'
    """
    loudest: tuple[Source, np.ndarray] | None = None
    levels: list[float] = []
    for _ in range(draws):
        source, signals = draw()
        # Quietest first: where two draws are equal in that, the next signal decides.
        drawn = sorted(power(signal) for signal in signals)
        if loudest is None or drawn > levels:
            loudest, levels = (source, signals), drawn
        if levels[0] > 10 ** (SILENCE_DB / 10):
            break
    assert loudest is not None
    return loudest


def random_start(length: int, frames: int, rng: np.random.Generator) -> int:
    """Where a random segment of `frames` begins in a file of `length` frames.

    Example
    -------
    >>> random_start(100, 200, np.random.default_rng(0))
    0
    """
    return int(rng.integers(max(length - frames, 0) + 1))


def every_start(length: int, frames: int, rng: np.random.Generator) -> list[int]:
    """Where segments of `frames` begin that cover a file of `length`, from a random one on.

    Example
    -------
    >>> sorted(every_start(100, 40, np.random.default_rng(0)))
    [0, 40, 60]
    """
    starts = [min(start, max(length - frames, 0)) for start in range(0, length, frames)]
    first = int(rng.integers(len(starts)))
    return starts[first:] + starts[:first]


def generator_of(utterance_id: str) -> np.random.Generator:
    """A generator whose draws an id decides, also one that is no text, as file names may be.

    Example
    -------
    >>> int(generator_of("an-id").integers(100)) == int(generator_of("an-id").integers(100))
    True
    """
    name = utterance_id.encode(errors="surrogateescape")
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))


def draw_file(
    files: Sequence[File], frames: int, rng: np.random.Generator, loop: bool
) -> tuple[File, np.ndarray]:
    """Draw a file and a segment of it that is not silent, see `draw_sounding`.

    A file of which only digital silence was drawn is searched, from a random place on.

    Arguments
    ---------
    files : sequence of File
        The files to choose from.
    frames : int
        Length of the segment.
    rng : numpy.random.Generator
        Where every draw comes from.
    loop : bool
        Whether a file that is too short is looped; else it is padded with zeros.

    Returns
    -------
    (File, numpy.ndarray)
        The file, and the segment [frames] without its mean.

    Raises
    ------
    InputError
        As `draw_mixture`.

    Example
    -------
    >>> file = File("tests/samples/demo/clean_0dB.flac", 96000)
    >>> draw_file([file], 200000, np.random.default_rng(0), loop=True)[1].shape
    (200000,)
    """
    read = read_looped if loop else read_segment

    def draw() -> tuple[File, np.ndarray]:
        file = files[int(rng.integers(len(files)))]
        start = int(rng.integers(file.frames)) if loop else random_start(file.frames, frames, rng)
        return file, read(file, start, frames)[None]

    file, (segment,) = draw_sounding(draw)
    if segment.any():
        return file, segment
    # It may be muted but for a few words.
    starts = every_start(file.frames, frames, rng)
    places = iter(starts)
    _, (segment,) = draw_sounding(
        lambda: (file, read(file, next(places), frames)[None]), len(starts)
    )
    if not segment.any():
        raise InputError(f"{file.path}: silent from beginning to end")
    return file, segment
