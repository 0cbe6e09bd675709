"""Make a small speech and noise corpus in the folder layouts of LibriSpeech and MUSAN.

The speech is read by espeak-ng, the noise is synthesised from a fixed seed per clip. Speakers,
sentences and noise kinds of one split appear in no other, so that a speech enhancer trained on
the train split is tested on material it has not seen.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly
from synthetic_noise import SAMPLE_RATE, NoiseKind, Signal, noise_kinds, unit_rms

ESPEAK_SAMPLE_RATE = 22_050
FULL_SCALE = 32_768
# Multiples of 32 leave 11 significant bits. FLAC drops the five empty ones, which nearly halves
# the files; the error stays more than 40 dB below the speech at an ordinary listening level.
CORPUS_STEP = 32
DEMO_STEP = 1
NOISE_LEVEL_DBFS = -36.0
EDGE_SILENCE_SECONDS = 0.1
SILENCE_BELOW_PEAK_DB = -60.0
UTTERANCE_SECONDS = (4.0, 12.0)
# Test clips are longer than the demo utterances that are mixed with them.
NOISE_SECONDS = {"train": 5.0, "valid": 5.0, "test": 6.5}
SPEECH_FOLDERS = {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}
DEMO_MIXTURES = ((0, 9014, "rain"), (5, 9015, "engine"))  # SNR in dB, speaker, noise kind
SENTENCES = Path(__file__).with_name("sentences.txt")


@dataclass(frozen=True)
class Speaker:
    """One synthetic reader; `pitch` (0-99) and `rate` (words per minute) are espeak-ng's."""

    number: int  # above 8975, the highest speaker id of LibriSpeech
    split: str
    voice: str
    pitch: int
    rate: int
    level_dbfs: float

    @property
    def language(self) -> str:
        """Return the two-letter code of the language this voice reads."""
        return self.voice[:2]


# "en" is British English: espeak-ng 1.51 ignores a variant given after the alias "en-gb".
SPEAKERS = (
    Speaker(9001, "train", "en-us+m3", 38, 150, -26.0),
    Speaker(9002, "train", "en+f2", 52, 165, -27.5),
    Speaker(9003, "train", "en-gb-scotland+m5", 45, 145, -28.0),
    Speaker(9004, "train", "en-029+f4", 42, 155, -29.0),
    Speaker(9005, "train", "en-us+Andrea", 50, 150, -26.5),
    Speaker(9006, "train", "en-gb-x-rp+m7", 58, 160, -25.0),
    Speaker(9007, "train", "en-us+steph", 48, 165, -27.0),
    Speaker(9008, "train", "en-gb-x-gbcwmd+victor", 30, 155, -28.5),
    Speaker(9009, "train", "de+m1", 40, 165, -27.0),
    Speaker(9010, "train", "fr+f1", 46, 150, -28.0),
    Speaker(9011, "train", "es+m6", 55, 160, -26.0),
    Speaker(9012, "dev", "en-us-nyc+belinda", 45, 150, -28.0),
    Speaker(9013, "dev", "en-gb-x-gbclan+m2", 44, 165, -26.0),
    Speaker(9014, "test", "en+grandma", 54, 150, -27.0),
    Speaker(9015, "test", "en-us+Michael", 46, 165, -26.0),
)


def to_pcm(signal: Signal, step: int) -> Signal:
    """Round samples to 16-bit integers that are multiples of `step`."""
    rounded = np.round(signal / step) * step
    if np.abs(rounded).max() >= FULL_SCALE:
        raise ValueError("the signal exceeds the 16-bit range: lower its level")
    return rounded.astype(np.int16)


def at_level(signal: Signal, level_dbfs: float) -> Signal:
    """Return corpus PCM whose root mean square is `level_dbfs` relative to full scale."""
    return to_pcm(unit_rms(signal) * FULL_SCALE * 10 ** (level_dbfs / 20), CORPUS_STEP)


def write_beside(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no half-written file is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(path.name + ".part")
    partial_path.write_bytes(content)
    os.replace(partial_path, path)


def write_flac(path: Path, pcm: Signal) -> None:
    """Write 16-bit PCM samples as FLAC at the strongest compression."""
    encoded = io.BytesIO()
    sf.write(encoded, pcm, SAMPLE_RATE, "PCM_16", format="FLAC", compression_level=1.0)
    write_beside(path, encoded.getvalue())


def write_table(path: Path, rows: Iterable[Iterable[str]], delimiter: str) -> None:
    """Write rows as delimiter-separated text."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    write_beside(path, text.getvalue().encode())


# --- Speech ---------------------------------------------------------------------------------


def read_sentences(path: Path) -> dict[tuple[str, str], list[str]]:
    """Return the sentences of each (split, language)."""
    sentences: dict[tuple[str, str], list[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            sentences.setdefault((row["split"], row["language"]), []).append(row["sentence"])
    return sentences


def deal_sentences(sentences: dict[tuple[str, str], list[str]]) -> dict[Speaker, list[str]]:
    """Deal each sentence to exactly one speaker of its split and language."""
    dealt = {}
    for speaker in SPEAKERS:
        readers = [
            s for s in SPEAKERS if (s.split, s.language) == (speaker.split, speaker.language)
        ]
        pool = sentences[speaker.split, speaker.language]
        dealt[speaker] = pool[readers.index(speaker) :: len(readers)]
    return dealt


def espeak(voice: str, pitch: int, rate: int, sentence: str) -> Signal:
    """Read a sentence with espeak-ng and resample it to the corpus rate."""
    with tempfile.TemporaryDirectory() as folder:
        wav = os.path.join(folder, "utterance.wav")
        # "-b 1" is UTF-8 whatever the locale.
        options = ["-b", "1", "-v", voice, "-p", str(pitch), "-s", str(rate), "-w", wav]
        subprocess.run(["espeak-ng", *options, sentence], check=True)
        signal, sample_rate = sf.read(wav)
    if sample_rate != ESPEAK_SAMPLE_RATE:
        raise ValueError(f"{voice} speaks at {sample_rate} Hz, not {ESPEAK_SAMPLE_RATE} Hz")
    return resample_poly(signal, SAMPLE_RATE // 50, ESPEAK_SAMPLE_RATE // 50)


def trim_silence(signal: Signal) -> Signal:
    """Replace leading and trailing near-silence by a short fixed silence."""
    threshold = np.abs(signal).max() * 10 ** (SILENCE_BELOW_PEAK_DB / 20)
    sounding = np.flatnonzero(np.abs(signal) > threshold)
    trimmed = signal[sounding[0] : sounding[-1] + 1]
    return np.pad(trimmed, int(EDGE_SILENCE_SECONDS * SAMPLE_RATE))


def read_aloud(speaker: Speaker, index: int, sentence: str) -> Signal:
    """Return one utterance; pitch, rate and level vary slightly, as a real reader's do."""
    rng = np.random.default_rng([speaker.number, index])
    pitch = speaker.pitch + int(rng.integers(-3, 4))
    rate = speaker.rate + int(rng.integers(-4, 5))
    signal = trim_silence(espeak(speaker.voice, pitch, rate, sentence))
    shortest, longest = UTTERANCE_SECONDS
    if not shortest <= len(signal) / SAMPLE_RATE <= longest:
        raise ValueError(f"takes {len(signal) / SAMPLE_RATE:.1f} s to read: {sentence}")
    return at_level(signal, speaker.level_dbfs + rng.uniform(-1, 1))


def make_speech(root: Path) -> dict[Speaker, list[Signal]]:
    """Write all utterances in LibriSpeech's layout and return them by speaker."""
    speech = {}
    for speaker, sentences in deal_sentences(read_sentences(SENTENCES)).items():
        speech[speaker] = [read_aloud(speaker, i, text) for i, text in enumerate(sentences)]
        chapter = speaker.number * 10
        folder = root / SPEECH_FOLDERS[speaker.split] / f"{speaker.number}" / f"{chapter}"
        for i, pcm in enumerate(speech[speaker]):
            write_flac(folder / f"{speaker.number}-{chapter}-{i:04d}.flac", pcm)
    return speech


# --- Noise ----------------------------------------------------------------------------------


def make_noise(root: Path, kinds: list[NoiseKind]) -> dict[str, list[Signal]]:
    """Write all noise clips in MUSAN's layout with their tables; return them by kind."""
    folder = root / "musan/noise/free-sound"
    clips: dict[str, list[Signal]] = {}
    sources = []
    for seed, kind in enumerate(k for k in kinds for _ in range(k.clips)):
        length = int(NOISE_SECONDS[kind.split] * SAMPLE_RATE)
        pcm = at_level(kind.make(np.random.default_rng(seed), length), NOISE_LEVEL_DBFS)
        path = folder / f"noise-free-sound-{seed:04d}.flac"
        write_flac(path, pcm)
        clips.setdefault(kind.name, []).append(pcm)
        sources.append((path.relative_to(root).as_posix(), kind.name, kind.split))
    write_table(folder / "SOURCES.tsv", [("file", "kind", "split"), *sources], "\t")
    splits = [(file, split) for file, _, split in sources]
    write_table(root / "noise_split.csv", [("file", "split"), *splits], ",")
    return clips


# --- Demo mixtures and command line -----------------------------------------------------------


def power(pcm: Signal) -> float:
    """Return the mean square of integer samples."""
    return float(np.mean(np.square(pcm.astype(float))))


def make_demo(
    root: Path, speech: dict[Speaker, list[Signal]], clips: dict[str, list[Signal]]
) -> None:
    """Write mixtures of test speech and test noise at fixed SNRs, with their clean references."""
    by_number = {speaker.number: utterances for speaker, utterances in speech.items()}
    for snr_db, number, kind in DEMO_MIXTURES:
        noise = clips[kind][0]
        clean = max((u for u in by_number[number] if len(u) <= len(noise)), key=len)
        noise = noise[: len(clean)].astype(float)
        gain = np.sqrt(power(clean) / power(noise) / 10 ** (snr_db / 10))
        noisy = to_pcm(clean + gain * noise, DEMO_STEP)
        write_flac(root / "demo" / f"clean_{snr_db}dB.flac", clean)
        write_flac(root / "demo" / f"noisy_{snr_db}dB.flac", noisy)


def make_samples(root: Path) -> None:
    """Write the whole corpus into the folder `root`."""
    speech = make_speech(root / "LibriSpeech")
    talkers = [np.concatenate(speech[s]) for s in SPEAKERS if s.split == "train"]
    clips = make_noise(root, noise_kinds(talkers))
    make_demo(root, speech, clips)


def main() -> None:
    """Parse the command line and make the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "out_folder",
        type=Path,
        nargs="?",
        default=SENTENCES.parent,
        help="where to write the corpus (default: the folder of this script)",
    )
    out_folder = parser.parse_args().out_folder
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is not installed; on Debian: apt-get install espeak-ng")
    make_samples(out_folder)


if __name__ == "__main__":
    main()
