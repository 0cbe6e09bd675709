"""Draws of speech and noise for training that is to please listeners, not mixed yet."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from bloomnet_sb.data.augmentation import Augmentation, check_shares, in_room
from bloomnet_sb.data.envelopes import level_step, pauses_silenced
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.mixing import draw_sounding, power, random_start
from bloomnet_sb.data.reading import file_of, read_looped, read_segment
from bloomnet_sb.data.synthetic import unit_power
from bloomnet_sb.utils.errors import InputError

LOOP_SECONDS = 0.02  # in which the end of a noise becomes its beginning
GAP_SECONDS = (0.1, 0.8)  # between utterances
FADE_SECONDS = 0.01  # of an utterance that begins or ends in the segment
TURN_AT = (0.2, 0.8)  # of the segment: where the second talker or level begins
SHORTEST_SECONDS = 0.25  # of an utterance


class Draw(NamedTuple):
    """Speech and noise, not mixed yet.

    Arguments
    ---------
    heard : numpy.ndarray
        [samples], float32: the talker as a microphone hears them, of unit power.
    target : numpy.ndarray
        [samples], float32: what is to be estimated of it, at the level that it has in `heard`.
    noise : numpy.ndarray
        [samples], float32, of unit power, and without a seam where it is played in a loop.
    """

    heard: np.ndarray
    target: np.ndarray
    noise: np.ndarray


class GroupedFiles:
    """Files, of which a member of a group is drawn first, then one of the member's.

    Members are speakers with their utterances, or categories with their noises: one with many
    short files does not take over.

    Arguments
    ---------
    files : iterable of (str, str, dict)
        The group, the member and the manifest entry of each.
    shares : mapping of str to float, optional
        Group to the share of the draws that it has. The members of all other groups have equal
        shares of the rest. Default: all members have equal shares.

    Raises
    ------
    InputError
        For a group that is not there, or shares that are not of one whole.

    Example
    -------
    >>> files = [("read", "ann", {"wav": "a"}), ("read", "bob", {"wav": "b"})]
    >>> grouped = GroupedFiles([*files, ("sung", "cat", {"wav": "c"})], {"sung": 0.1})
    >>> grouped.shares.round(2)
    array([0.45, 0.45, 0.1 ])
    """

    def __init__(
        self, files: Iterable[tuple[str, str, dict]], shares: Mapping[str, float] | None = None
    ):
        group_of: dict[str, str] = {}
        self.files: dict[str, list[dict]] = {}
        for group, member, entry in files:
            group_of[member] = group
            self.files.setdefault(member, []).append(entry)
        self.members = list(self.files)
        groups = list(group_of.values())
        # A share of 0 of a group that is not there is one that another corpus had.
        shares = {name: share for name, share in (shares or {}).items() if share or name in groups}
        named = sum(shares.values())
        whole = all(group in shares for group in groups)
        if min(shares.values(), default=0) < 0 or named > 1 + 1e-6 or whole and named < 1 - 1e-6:
            raise InputError(f"shares are {shares}, but must be shares of one whole")
        for group in shares:
            if group not in groups:
                raise InputError(
                    f"shares name {group}, but there is {', '.join(sorted({*groups}))}"
                )
        rest = sum(group not in shares for group in groups)
        weights = [
            shares[group] / groups.count(group) if group in shares else (1 - named) / rest
            for group in groups
        ]
        self.shares = np.array(weights) / np.sum(weights)

    def member(self, rng: np.random.Generator) -> str:
        """Draw a member."""
        return self.members[rng.choice(len(self.members), p=self.shares)]

    def about(self) -> list[tuple[str, float, list[int]]]:
        """Each member, its share and the lengths of its files, wherever those are."""
        lengths = [[entry["frames"] for entry in self.files[name]] for name in self.members]
        return list(zip(self.members, self.shares.tolist(), lengths, strict=True))

    def entry(self, member: str, rng: np.random.Generator) -> dict:
        """Draw the manifest entry of one of a member's files."""
        files = self.files[member]
        return files[rng.integers(len(files))]


class TrainingDraws:
    """Draws of a talker and of noise, each of a length, for a `bloomnet_sb.data.mixer.Mixer`.

    A speaker is drawn before one of their utterances, a category of noise before a clip of it. An
    utterance that ends is followed by another of the same speaker. Speed, equalisers, rooms and
    everything about the noise are those of an `Augmentation`; its `clip` and `band_limits_hz` are
    not used here. In some draws another talker goes on, or the same on another level. Where the
    talker is in a room, the target has its early reflections only. Recordings of speech that are
    not clean in their pauses have them silenced in the target, so that noise is not what training
    asks for.

    Arguments
    ---------
    manifest_folder : str
        Where speech_train.json and noise_train.json are.
    data_folder : str
        What {data_root} stands for.
    augment : Augmentation
        Random changes of speech and noise.
    segment_seconds : float
        Length of a draw.
    speaker_shares : mapping of str to float, optional
        Kind of speech ("kind" in the manifest) to its share of the draws, see `GroupedFiles`.
        Default: every speaker is drawn as often.
    noise_shares : mapping of str to float, optional
        Category of noise ("category") to its share. Default: all are drawn as often.
    second_talker : float
        The share of draws in which another talker takes over.
    level_change : float
        The share of draws in which the level changes, with the talker where that one does.
    level_change_db : float
        The most by which it does, up or down, in dB.
    silence_pauses_below_db : float
        Utterances of a lower "snr_db" have the pauses of their targets silenced; those without one
        have not.
    early_seconds : float
        How much of a room's response the target keeps, in seconds after the direct sound.

    Raises
    ------
    InputError
        If a manifest is missing, empty, names a missing file or shards, or lacks the speakers, or
        for a value that cannot be.

    Example
    -------
    >>> from bloomnet_sb.data import prepare_librispeech_musan
    >>> folder = str(getfixture("tmpdir"))
    >>> prepare_librispeech_musan("tests/samples", folder)
    >>> draws = TrainingDraws(folder, "tests/samples", Augmentation(16000), segment_seconds=1.0)
    >>> [signal.shape for signal in draws(np.random.default_rng(0))]
    [(16000,), (16000,), (16000,)]
    """

    def __init__(
        self,
        manifest_folder: str,
        data_folder: str,
        augment: Augmentation,
        segment_seconds: float = 4.0,
        speaker_shares: Mapping[str, float] | None = None,
        noise_shares: Mapping[str, float] | None = None,
        second_talker: float = 0.15,
        level_change: float = 0.2,
        level_change_db: float = 25.0,
        silence_pauses_below_db: float = 35.0,
        early_seconds: float = 0.05,
    ):
        check_shares(second_talker=second_talker, level_change=level_change)
        for name, value, least in (
            ("level_change_db", level_change_db, 0),
            ("early_seconds", early_seconds, 0),
            ("segment_seconds", segment_seconds, SHORTEST_SECONDS),
        ):
            if value < least:
                raise InputError(f"{name} is {value}, but must be {least} or more")
        speech = load_manifest(manifest_folder, data_folder, "speech_train")
        noise = load_manifest(manifest_folder, data_folder, "noise_train")
        for name, entry in speech.items():
            if "wav" not in entry or "spk_id" not in entry:
                raise InputError(
                    f"speech_train.json: {name} has no wav or no spk_id; make it anew, from files"
                )
        self.speech = GroupedFiles(
            ((e.get("kind", ""), e["spk_id"], e) for e in speech.values()), speaker_shares
        )
        self.noise = GroupedFiles(
            ((e.get("category", ""), e.get("category", ""), e) for e in noise.values()),
            noise_shares,
        )
        self.snr_db = {e["wav"]: e["snr_db"] for e in speech.values() if "snr_db" in e}
        self.augment = augment
        self.sample_rate = augment.sample_rate
        self.frames = round(segment_seconds * self.sample_rate)
        self.second_talker, self.level_change = second_talker, level_change
        self.level_change_db = level_change_db
        self.silence_pauses_below_db = silence_pauses_below_db
        self.early = round(early_seconds * self.sample_rate) + 1

    def fingerprint(self) -> str:
        """A name for what is drawn, wherever the files are, of 32 hexadecimal digits."""
        options = {**vars(self), **vars(self.augment)}
        numbers = {
            name: value
            for name, value in sorted(options.items())
            if isinstance(value, int | float | list | tuple) and name != "rooms"
        }
        parts = (numbers, len(self.augment.rooms), self.speech.about(), self.noise.about())
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def __call__(self, rng: np.random.Generator) -> Draw:
        """Make one draw.

        Arguments
        ---------
        rng : numpy.random.Generator
            Where every choice comes from.

        Returns
        -------
        Draw
            Three signals [samples].
        """
        heard, target = self._talk(rng)
        response = self.augment.room(rng)
        if response is not None:
            heard, target = in_room(heard, response), in_room(target, response[: self.early])
        scale = 1 / max(np.sqrt(power(heard)), 1e-9)
        noise = unit_power(self._noise(rng))
        return Draw(
            *(signal.astype(np.float32) for signal in (heard * scale, target * scale, noise))
        )

    def _talk(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What is heard without a room, and the same without the noise in its pauses."""
        speaker = self.speech.member(rng)
        another = rng.uniform() < self.second_talker
        change = rng.uniform() < self.level_change
        turn = int(rng.uniform(*TURN_AT) * self.frames)
        parts = [(speaker, self.frames)]
        if another:
            parts = [(speaker, turn), (self.speech.member(rng), self.frames - turn)]
        talked = np.concatenate([self._part(*part, rng) for part in parts], axis=1)
        if change:
            change_db = rng.uniform(-self.level_change_db, self.level_change_db)
            talked = talked * level_step(turn, change_db, self.frames, self.sample_rate)
        return talked[0], talked[1]

    def _part(self, speaker: str, frames: int, rng: np.random.Generator) -> np.ndarray:
        """Utterances of a speaker, at one level: heard and target [2, frames]."""
        pieces: list[np.ndarray] = []
        missing = frames
        shortest = int(SHORTEST_SECONDS * self.sample_rate)
        while missing >= shortest or not pieces:
            spoken = self._utterance(speaker, missing, rng)
            pause = min(
                int(rng.uniform(*GAP_SECONDS) * self.sample_rate), missing - spoken.shape[1]
            )
            pieces += [spoken, np.zeros((2, pause))]
            missing -= spoken.shape[1] + pause
        return np.concatenate([*pieces, np.zeros((2, missing))], axis=1)

    def _utterance(self, speaker: str, most: int, rng: np.random.Generator) -> np.ndarray:
        """An utterance, or `most` samples of it: heard, of unit power, and target."""
        snr_db = np.inf

        def draw(length: int) -> np.ndarray:
            def once() -> tuple[str, np.ndarray]:
                entry = self.speech.entry(speaker, rng)
                file = file_of(entry, self.sample_rate)
                start = random_start(file.frames, length, rng)
                return entry["wav"], read_segment(file, start, min(length, file.frames))[None]

            nonlocal snr_db
            wav, (segment,) = draw_sounding(once)
            snr_db = self.snr_db.get(str(wav), np.inf)
            return segment

        speech = unit_power(self.augment.dry_speech(draw, most, rng))
        fade = min(int(FADE_SECONDS * self.sample_rate), len(speech) // 2)
        ramp = np.linspace(0, 1, fade, endpoint=False)
        speech[:fade] *= ramp
        speech[len(speech) - fade :] *= ramp[::-1]
        if snr_db >= self.silence_pauses_below_db:
            return np.stack([speech, speech])
        return np.stack([speech, speech * pauses_silenced(speech, snr_db, self.sample_rate)])

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """Noise whose end goes over into its beginning."""
        seam = min(int(LOOP_SECONDS * self.sample_rate), self.frames)
        noise = self.augment.noise(
            lambda length: self._sounding(self.noise, length, rng),
            lambda length: self._sounding(self.speech, length, rng),
            self.frames + seam,
            rng,
        )
        angle = np.linspace(0, np.pi / 2, seam)
        # What follows the end fades out as the beginning fades in.
        noise[:seam] = noise[:seam] * np.sin(angle) + noise[self.frames :] * np.cos(angle)
        return noise[: self.frames]

    def _sounding(self, files: GroupedFiles, length: int, rng: np.random.Generator) -> np.ndarray:
        def once() -> tuple[str, np.ndarray]:
            entry = files.entry(files.member(rng), rng)
            file = file_of(entry, self.sample_rate)
            return entry["wav"], read_looped(file, int(rng.integers(file.frames)), length)[None]

        return draw_sounding(once)[1][0]
