"""Augmentation of training draws: more voices, noises and recordings than a corpus has."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain.processing.signal_processing import reverberate

from bloomnet_sb.data.envelopes import gate as gate_gain
from bloomnet_sb.data.envelopes import wandering_gain
from bloomnet_sb.data.reading import File
from bloomnet_sb.data.rooms import measured_response, room_response
from bloomnet_sb.data.synthetic import gain_curve, synthetic_noise, unit_power
from bloomnet_sb.utils.errors import InputError, check_positive, is_number

EQ_POINTS = 8
LOWEST_EQ_HZ = 60.0
CLIP_AT = (0.2, 0.8)  # of the peak

Draw = Callable[[int], np.ndarray]


class Augmentation:
    """Random changes of the speech, of the noise and of the recording of both.

    Speech and noise are played at a random speed (SpeechBrain's `SpeedPerturb`), some in a room,
    and each through a random equaliser; the noise is the sum of several, some of them reversed in
    time, some synthetic, some a babble of voices; the recording of both has a random upper band
    limit, and some are clipped. The target is the speech as it is in the recording, with its
    reverberation, and not clipped. Every choice comes from the draw's own generator.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    speech_speeds, noise_speeds : sequence of int
        Speeds to choose from, in per cent; the pitch changes with them.
    most_noises : int
        The most noises that are summed.
    eq_db, noise_eq_db : float
        The gains of the equalisers of the speech and of the noise are random between minus and
        plus this, in dB.
    band_limits_hz : sequence of float
        Upper band limits to choose from; one at or above half the sample rate is none.
    synthetic : float
        Which share of the noises is synthetic, see `bloomnet_sb.data.synthetic`.
    babble : float
        Which share of the noises is made of voices.
    babble_voices : (int, int)
        The fewest and the most voices in a babble.
    reverb : float
        Which share of the speech, and of the noises, is in a room, see `bloomnet_sb.data.rooms`.
    clip : float
        Which share of the recordings is clipped, between 0.2 and 0.8 of the peak.
    modulate : float
        Which share of the noises has a level that wanders, see
        `bloomnet_sb.data.envelopes.wandering_gain`.
    gate : float
        Which share of the noises comes and goes, see `bloomnet_sb.data.envelopes.gate`.

    Raises
    ------
    InputError
        For a value that cannot be.

    Example
    -------
    >>> augment = Augmentation(16000, speech_speeds=[80, 120])
    >>> augment.speech(np.random.randn, 8000, np.random.default_rng(0)).shape
    (8000,)
    """

    def __init__(
        self,
        sample_rate: int,
        speech_speeds: Sequence[int] = (85, 90, 95, 100, 105, 110, 115),
        noise_speeds: Sequence[int] = (60, 70, 80, 90, 100, 115, 130, 150),
        most_noises: int = 2,
        eq_db: float = 6.0,
        noise_eq_db: float = 6.0,
        band_limits_hz: Sequence[float] = (4000.0, 6000.0, np.inf, np.inf),
        synthetic: float = 0.0,
        babble: float = 0.0,
        babble_voices: tuple[int, int] = (3, 8),
        reverb: float = 0.0,
        clip: float = 0.0,
        modulate: float = 0.0,
        gate: float = 0.0,
    ):
        check_positive(sample_rate=sample_rate, most_noises=most_noises)
        for name, speeds in (("speech_speeds", speech_speeds), ("noise_speeds", noise_speeds)):
            if not speeds or min(speeds) <= 0 or any(int(speed) != speed for speed in speeds):
                raise InputError(f"{name} is {list(speeds)}, but must be whole percentages above 0")
        for name, gain_db in (("eq_db", eq_db), ("noise_eq_db", noise_eq_db)):
            if gain_db < 0:
                raise InputError(f"{name} is {gain_db}, but must be 0 or more")
        if min(synthetic, babble) < 0 or synthetic + babble > 1:
            raise InputError(
                f"synthetic is {synthetic} and babble {babble}, but must be shares of one whole"
            )
        check_shares(reverb=reverb, clip=clip, modulate=modulate, gate=gate)
        if not 1 <= babble_voices[0] <= babble_voices[1]:
            raise InputError(
                f"babble_voices is {list(babble_voices)}, but must be two rising numbers from 1 on"
            )
        if not band_limits_hz or min(band_limits_hz) <= 0:
            raise InputError(
                f"band_limits_hz is {list(band_limits_hz)}, but must be frequencies above 0"
            )
        self.sample_rate = sample_rate
        self.speech_speeds, self.noise_speeds = list(speech_speeds), list(noise_speeds)
        self.most_noises = most_noises
        self.eq_db, self.noise_eq_db = eq_db, noise_eq_db
        self.band_limits_hz = list(band_limits_hz)
        self.synthetic, self.babble, self.babble_voices = synthetic, babble, babble_voices
        self.reverb, self.clip, self.modulate, self.gate = reverb, clip, modulate, gate
        self.rooms: list[File] = []
        self.at_speed = {
            speed: SpeedPerturb(sample_rate, [speed])
            for speed in {*self.speech_speeds, *self.noise_speeds}
        }

    def speech(self, draw: Draw, frames: int, rng: np.random.Generator) -> np.ndarray:
        """Draw speech at a random speed, in a room or not, and through a random equaliser.

        Arguments
        ---------
        draw : callable
            Gives a segment of so many samples.
        frames : int
            Length of the result.
        rng : numpy.random.Generator
            Where every choice comes from.

        Returns
        -------
        numpy.ndarray
            [frames].
        """
        speech = self._in_room(self._at_speed(draw, frames, self.speech_speeds, rng), rng)
        return self._equalised(speech, self.eq_db, rng)

    def dry_speech(self, draw: Draw, frames: int, rng: np.random.Generator) -> np.ndarray:
        """Draw speech as `speech` does, but in no room."""
        speech = self._at_speed(draw, frames, self.speech_speeds, rng)
        return self._equalised(speech, self.eq_db, rng)

    def room(self, rng: np.random.Generator) -> np.ndarray | None:
        """Draw a room for speech: its response [time], or None where there is none."""
        if not self.reverb or rng.uniform() >= self.reverb:
            return None
        if self.rooms:
            return measured_response(self.rooms[int(rng.integers(len(self.rooms)))])
        return room_response(self.sample_rate, rng)

    def in_rooms(self, rooms: Sequence[File]) -> "Augmentation":
        """The same augmentation, with measured rooms in place of simulated ones.

        Arguments
        ---------
        rooms : sequence of File
            Impulse responses, see `bloomnet_sb.data.rooms.measured_response`.

        Returns
        -------
        Augmentation
            A copy.
        """
        other = copy.copy(self)
        other.rooms = list(rooms)
        return other

    def noise(
        self, draw: Draw, draw_voice: Draw, frames: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw one or several noises.

        Arguments
        ---------
        draw, draw_voice : callable
            Give a segment of so many samples of some noise, and of some speech.
        frames, rng
            As `speech`.

        Returns
        -------
        numpy.ndarray
            [frames].
        """
        total = np.zeros(frames)
        for _ in range(rng.integers(self.most_noises) + 1):
            noise = self._in_room(self._one_noise(draw, draw_voice, frames, rng), rng)
            noise = self._come_and_gone(noise, rng)
            noise = self._equalised(noise[:: rng.choice([-1, 1])], self.noise_eq_db, rng)
            total += unit_power(noise) * 10 ** (rng.uniform(-10, 0) / 20)
        return total

    def recording(
        self, mix: np.ndarray, target: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Limit the band of a mixture and of the speech in it; clip the mixture or not.

        Arguments
        ---------
        mix, target : numpy.ndarray
            [time].
        rng : numpy.random.Generator
            Where the choice comes from.

        Returns
        -------
        (numpy.ndarray, numpy.ndarray)
            Both, with the same band limit.
        """
        if self.clip and rng.uniform() < self.clip:
            most = np.abs(mix).max() * rng.uniform(*CLIP_AT)
            mix = np.clip(mix, -most, most)
        limit = rng.choice(self.band_limits_hz)
        if limit >= self.sample_rate / 2:
            return mix, target
        frequencies = np.fft.rfftfreq(len(mix), 1 / self.sample_rate)
        # A fall of an octave's eighth: a hard edge would ring.
        gain = np.clip((1.1 * limit - frequencies) / (0.1 * limit), 0, 1)
        return _filtered(mix, gain), _filtered(target, gain)

    def _one_noise(
        self, draw: Draw, draw_voice: Draw, frames: int, rng: np.random.Generator
    ) -> np.ndarray:
        kind = rng.uniform()
        if kind < self.synthetic:
            return synthetic_noise(frames, self.sample_rate, rng)
        if kind >= self.synthetic + self.babble:
            return self._at_speed(draw, frames, self.noise_speeds, rng)
        fewest, most = self.babble_voices
        voices = [
            unit_power(self._at_speed(draw_voice, frames, self.speech_speeds, rng))
            for _ in range(rng.integers(fewest, most + 1))
        ]
        return np.sum(voices, axis=0)

    def _at_speed(
        self, draw: Draw, frames: int, speeds: list[int], rng: np.random.Generator
    ) -> np.ndarray:
        speed = int(rng.choice(speeds))
        segment = draw(-(-frames * speed // 100) + 1)
        if speed == 100:
            return segment[:frames]
        return self.at_speed[speed](torch.from_numpy(segment)[None].float())[0, :frames].numpy()

    def _in_room(self, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        response = self.room(rng)
        return signal if response is None else in_room(signal, response)

    def _come_and_gone(self, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A noise, or one whose level wanders, that comes and goes, or both."""
        for share, gain in ((self.modulate, wandering_gain), (self.gate, gate_gain)):
            if share and rng.uniform() < share:
                noise = noise * gain(len(noise), self.sample_rate, rng)
        return noise

    def _equalised(
        self, signal: np.ndarray, most_db: float, rng: np.random.Generator
    ) -> np.ndarray:
        gains_db = rng.uniform(-most_db, most_db, EQ_POINTS)
        gain = gain_curve(gains_db, LOWEST_EQ_HZ, len(signal), self.sample_rate)
        return _filtered(signal, gain)


def in_room(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """A signal through the response of a room.

    Arguments
    ---------
    signal : numpy.ndarray
        [time].
    response : numpy.ndarray
        [time], see `bloomnet_sb.data.rooms.room_response`.

    Returns
    -------
    numpy.ndarray
        [time], float32. What would follow its end is at its beginning: it begins with a tail, as
        any part of a recording does.

    Example
    -------
    >>> in_room(np.array([0.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.5], dtype="float32")).round(3)
    array([0. , 1. , 0.5, 0. ], dtype=float32)
    """
    response = response[: len(signal)]
    return reverberate(torch.from_numpy(signal).float(), torch.from_numpy(response), None).numpy()


def check_shares(**shares: float) -> None:
    """Refuse shares that are not from 0 to 1.

    Raises
    ------
    InputError
        Naming the first share that is not.

    Example
    -------
    >>> check_shares(reverb=0.5, clip=0)
    """
    for name, share in shares.items():
        if not is_number(share) or not 0 <= share <= 1:
            raise InputError(f"{name} is {share!r}, but must be a share, from 0 to 1")


def _filtered(signal: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """A signal through a filter of this gain at each of its frequencies."""
    return np.fft.irfft(np.fft.rfft(signal) * gain, len(signal)).astype(np.float32)
