"""Mixtures of speech and noise as microphones give them, a batch at once and on any device."""

from collections.abc import Mapping

import torch
from torch import Tensor

from bloomnet_sb.data.augmentation import CLIP_AT, check_shares
from bloomnet_sb.data.envelopes import STEP_RAMP_SECONDS
from bloomnet_sb.utils.errors import InputError, check_positive, check_range_db

SILENCE = 1e-4  # of the power of a draw, which is one: a segment below it has nothing in it
CLEAN_SNR_DB = (45.0, 60.0)  # of that half of the clean speech that is not without noise
LARGEST_OFFSET = 0.2  # of the mixture's peak
MOST_LOUDER_DB = 25.0
LOUDER_UNTIL = (0.2, 0.8)  # of the segment: where the level of the speech changes
GAP_SECONDS = (0.1, 1.5)
GAP_AT = (-0.25, 1.0)  # of where it may begin; below 0, a fifth, at the start, as streams do
LARGEST_GAP = 0.75  # of a segment
LOW_CUT_HZ = (80.0, 300.0)
TELEPHONE_HZ = (300.0, 3400.0)
LOWER_ORDER, UPPER_ORDER = 4, 12  # of Butterworth filters: 24 and 72 dB an octave

# What is drawn for each example, whether it is used or not: so one option changes no other choice.
CHOICES = (
    *("kind", "any_noise", "snr", "speech_sign", "noise_sign", "level"),
    *("band", "low_cut", "clip", "clip_at", "offset", "offset_size", "gap", "gap_size", "gap_at"),
    *("louder_talker", "louder_db", "louder_until"),
)


class Mixer:
    """Mixtures of speech and noise, with what happens to sound on its way to a program.

    In this order: speech and noise get a random polarity, a part of the speech is made louder, they
    are added, the microphone or the line limits their band, the mixture gets its level, is clipped,
    gets an offset, and is muted for a while. The target goes through what is linear, so that it is
    what of the mixture is speech. All is batched and runs where the signals are; every random
    number comes from a generator on the CPU, so that one seed makes the same choices on every
    device.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    snr_db : (float, float)
        Lowest and highest SNR, in dB; uniform between them. It is that of the segment. High ones
        are what most recordings have: a network that does not know them harms them.
    clean : float
        The share of speech without noise, or, half of it, with noise 45 to 60 dB below: clean
        speech has to stay as it is.
    noise_alone : float
        The share of noise without speech, with a target of zeros: nothing of it is to pass.
    louder_talker : float
        The share in which speech up to a moment in the middle three fifths, or from it on, is
        louder by up to 25 dB: a talker after or before a louder one. The SNR is then that of the
        softer talker, whose noise goes on beneath the other.
    level_dbfs : (float, float)
        Lowest and highest level (RMS) of the mixture, in dB of full scale; uniform between them,
        as recordings come at any level. Peaks beyond full scale are kept.
    offset : float
        The share of mixtures with an offset, of up to a fifth of their peak up or down, as cheap
        converters give. It is no sound: the target has none.
    gaps : float
        The share with 0.1 to 1.5 s (at most three quarters of the segment) of digital silence in
        mixture and target, as a muted microphone gives; what is before it must not be forgotten. A
        fifth begins the segment, as many streams and files begin.
    low_cut : float
        The share that has passed the low cut of a microphone, at 80 to 300 Hz.
    telephone : float
        The share that has passed a telephone, 300 to 3400 Hz.
    clip : float
        The share of mixtures clipped at 0.2 to 0.8 of their peak, as by a gain that was too high.
        The target is not clipped.

    Raises
    ------
    InputError
        For a value that cannot be.

    Example
    -------
    >>> mixer = Mixer(16000, level_dbfs=(-20.0, -20.0), offset=0, gaps=0, clip=0)
    >>> heard, noise = torch.randn(2, 8, 32000)
    >>> mix, target = mixer(heard, heard, noise, torch.Generator().manual_seed(0))
    >>> mix.square().mean(1).sqrt()
    tensor([0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000, 0.1000])
    """

    def __init__(
        self,
        sample_rate: int,
        snr_db: tuple[float, float] = (-5.0, 30.0),
        clean: float = 0.05,
        noise_alone: float = 0.03,
        louder_talker: float = 0.0,
        level_dbfs: tuple[float, float] = (-60.0, -10.0),
        offset: float = 0.1,
        gaps: float = 0.05,
        low_cut: float = 0.15,
        telephone: float = 0.05,
        clip: float = 0.05,
    ):
        check_positive(sample_rate=sample_rate)
        check_range_db(snr_db=snr_db, level_dbfs=level_dbfs)
        check_shares(clean=clean, noise_alone=noise_alone, low_cut=low_cut, telephone=telephone)
        check_shares(louder_talker=louder_talker, offset=offset, gaps=gaps, clip=clip)
        if clean + noise_alone > 1:
            raise InputError(
                f"clean is {clean} and noise_alone {noise_alone}, but must be shares of one whole"
            )
        if low_cut + telephone > 1:
            raise InputError(
                f"low_cut is {low_cut} and telephone {telephone}, but must be shares of one whole"
            )
        self.sample_rate = sample_rate
        self.snr_db, self.level_dbfs = snr_db, level_dbfs
        self.clean, self.noise_alone = clean, noise_alone
        self.louder_talker = louder_talker
        self.low_cut, self.telephone = low_cut, telephone
        self.offset, self.gaps, self.clip = offset, gaps, clip

    def __call__(
        self, heard: Tensor, target: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Arguments
        ---------
        heard : Tensor
            [batch, samples], float32: speech as a microphone hears it, from draws of unit power.
        target : Tensor
            [batch, samples]: what is to be estimated of it, at the level that it has there.
        noise : Tensor
            [batch, samples], from draws of unit power.
        generator : torch.Generator
            Where every choice comes from; on the CPU, wherever the signals are.

        Returns
        -------
        (Tensor, Tensor)
            The mixture and the target in it, both [batch, samples]. They are finite, whichever
            signals are silent.
        """
        numbers = torch.rand(len(CHOICES), len(heard), generator=generator)
        drawn = dict(zip(CHOICES, numbers, strict=True))
        mix, target = self._mixed(heard, target, noise, drawn)
        self._limit_band(mix, target, drawn)
        gain = _column(_decibels(_between(self.level_dbfs, drawn["level"])), mix)
        gain = gain / _power(mix).clamp(min=SILENCE).sqrt()
        mix, target = mix * gain, target * gain
        self._clip(mix, drawn)
        self._add_offset(mix, drawn)
        self._mute(mix, target, drawn)
        return mix, target

    def _mixed(
        self, heard: Tensor, target: Tensor, noise: Tensor, drawn: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        alone = drawn["kind"] < self.noise_alone
        clean = ~alone & (drawn["kind"] < self.noise_alone + self.clean)
        snr_db = _between(self.snr_db, drawn["snr"])
        snr_db[clean] = _between(CLEAN_SNR_DB, drawn["snr"][clean])
        snr_db[clean & (drawn["any_noise"] < 0.5)] = torch.inf
        snr_db[alone] = 0.0
        speech_power = _power(heard)
        # To a talker who happens to be silent here, noise is as loud as to one who speaks.
        speech_power = torch.where(speech_power > SILENCE, speech_power, 1.0)
        at_one = (speech_power / _power(noise).clamp(min=SILENCE)).sqrt()
        noise_gain = at_one * _column(_decibels(-snr_db) * _sign(drawn["noise_sign"]), heard)
        speech_gain = _column(_sign(drawn["speech_sign"]) * ~alone, heard)
        mix, target = speech_gain * heard, speech_gain * target
        self._make_louder(mix, target, drawn)
        return mix + noise_gain * noise, target

    def _make_louder(self, speech: Tensor, target: Tensor, drawn: Mapping[str, Tensor]) -> None:
        rows = _rows(drawn["louder_talker"] < self.louder_talker, speech)
        samples = speech.shape[1]
        change_db = _between((-MOST_LOUDER_DB, MOST_LOUDER_DB), drawn["louder_db"])
        at = _column(_between(LOUDER_UNTIL, drawn["louder_until"]) * samples, speech)[rows]
        time = torch.arange(samples, device=speech.device)
        later = ((time - at) / (STEP_RAMP_SECONDS * self.sample_rate)).clamp(0, 1)
        before = _column(_decibels(change_db.clamp(min=0)), speech)[rows]
        after = _column(_decibels((-change_db).clamp(min=0)), speech)[rows]
        gain = torch.lerp(before, after, later)
        for signal in (speech, target):
            signal[rows] *= gain

    def _limit_band(self, mix: Tensor, target: Tensor, drawn: Mapping[str, Tensor]) -> None:
        band = drawn["band"]
        rows = _rows(band < self.telephone + self.low_cut, mix)
        if not len(rows):
            return
        lower, upper = TELEPHONE_HZ
        telephone = band < self.telephone
        from_hz = torch.where(telephone, lower, _between(LOW_CUT_HZ, drawn["low_cut"]))
        to_hz = torch.where(telephone, upper, torch.inf)
        hz = torch.fft.rfftfreq(mix.shape[1], 1 / self.sample_rate, device=mix.device)
        below = (_column(from_hz, mix)[rows] / hz) ** (2 * LOWER_ORDER)
        above = (hz / _column(to_hz, mix)[rows]) ** (2 * UPPER_ORDER)
        gain = ((1 + below) * (1 + above)).rsqrt()
        for signal in (mix, target):
            spectrum = torch.fft.rfft(signal[rows]) * gain
            signal[rows] = torch.fft.irfft(spectrum, mix.shape[1])

    def _clip(self, mix: Tensor, drawn: Mapping[str, Tensor]) -> None:
        rows = _rows(drawn["clip"] < self.clip, mix)
        clipped = mix[rows]
        most = _column(_between(CLIP_AT, drawn["clip_at"]), mix)[rows] * _peak(clipped)
        mix[rows] = clipped.clamp(-most, most)

    def _add_offset(self, mix: Tensor, drawn: Mapping[str, Tensor]) -> None:
        rows = _rows(drawn["offset"] < self.offset, mix)
        size = _between((-LARGEST_OFFSET, LARGEST_OFFSET), drawn["offset_size"])
        mix[rows] += _column(size, mix)[rows] * _peak(mix[rows])

    def _mute(self, mix: Tensor, target: Tensor, drawn: Mapping[str, Tensor]) -> None:
        rows = _rows(drawn["gap"] < self.gaps, mix)
        samples = mix.shape[1]
        length = _between(GAP_SECONDS, drawn["gap_size"]) * self.sample_rate
        length = length.clamp(max=LARGEST_GAP * samples)
        start = _between(GAP_AT, drawn["gap_at"]).clamp(min=0) * (samples - length)
        time = torch.arange(samples, device=mix.device)
        begun = time >= _column(start, mix)[rows]
        muted = begun & (time < _column(start + length, mix)[rows])
        for signal in (mix, target):
            signal[rows] = signal[rows].masked_fill(muted, 0.0)


def _between(bounds: tuple[float, float], numbers: Tensor) -> Tensor:
    """Numbers from 0 to 1, spread between bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * numbers


def _sign(numbers: Tensor) -> Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0)


def _decibels(level_db: Tensor) -> Tensor:
    """The factor that a level is."""
    return 10 ** (level_db / 20)


def _power(signals: Tensor) -> Tensor:
    return signals.square().mean(1, keepdim=True)


def _peak(signals: Tensor) -> Tensor:
    return signals.abs().amax(1, keepdim=True)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """A value for each example, to multiply signals with."""
    return values[:, None].to(like)


def _rows(chosen: Tensor, like: Tensor) -> Tensor:
    """Which examples are chosen; found on the CPU, where nobody waits for a device."""
    return chosen.nonzero()[:, 0].to(like.device)
