"""Small corpora of the sample speech and noise, in the layouts of others."""

import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from tests.helpers.recipes import SAMPLES

# Two recordings of each speaker
TRAINED, HELD_OUT, TESTED = ("p227", "p228"), ("p226", "p287"), ("p232", "p257")
NOISES, SNRS_DB = ("cafe", "bus"), (2.5, 7.5)


def few_utterances(folder: Path) -> None:
    """The samples with two utterances of each voice to validate and test on: scores take time."""
    folder.mkdir()
    (folder / "musan").symlink_to(SAMPLES / "musan")
    for part in (SAMPLES / "LibriSpeech").iterdir():
        for speaker in part.iterdir():
            files = sorted(speaker.rglob("*.flac"))
            for file in files if part.name.startswith("train") else files[:2]:
                link = folder / file.relative_to(SAMPLES)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)


def voicebank_demand(folder: Path, rate: int = 48000, seconds: float = 1.0) -> Path:
    """VoiceBank-DEMAND as its zips hold it, or at 16 kHz as SpeechBrain resamples it."""
    suffix = "" if rate == 48000 else "_16k"
    parts = {"trainset_28spk": (*TRAINED, *HELD_OUT), "testset": TESTED}
    speech = iter(sorted((SAMPLES / "LibriSpeech").rglob("*.flac")))
    files = sorted((SAMPLES / "musan").rglob("*.flac"))
    noises = [sample(file, seconds, rate) for file in files[: len(NOISES)]]
    for part, speakers in parts.items():
        log = []
        for name in (f"{speaker}_{n:03d}" for speaker in speakers for n in (1, 2)):
            number = len(log) % 2
            clean, noise = sample(next(speech), seconds, rate), noises[number]
            gain = np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-SNRS_DB[number] / 20)
            for kind, signal in (("clean", clean), ("noisy", clean + gain * noise)):
                path = folder / f"{kind}_{part}_wav{suffix}" / f"{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                sf.write(path, 0.3 * signal / np.abs(signal).max(), rate)
            log.append(f"{name} {NOISES[number]} {SNRS_DB[number]}\n")
        (folder / f"log_{part}.txt").write_text("".join(log))
    return folder


def sample(file: Path, seconds: float, rate: int) -> np.ndarray:
    """The loudest part of a sample file, at another rate [time]."""
    signal, own_rate = sf.read(file, dtype="float32")
    frames = min(round(seconds * own_rate), len(signal))
    energy = np.cumsum(np.pad(signal**2, (1, 0)), dtype=np.float64)
    start = int((energy[frames:] - energy[:-frames]).argmax())
    return soxr.resample(signal[start : start + frames], own_rate, rate)


def five_recordings(folder: Path) -> None:
    """Four recordings of half a second, two of them in deeper/, and one that is none."""
    samples, rate = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32")
    (folder / "deeper").mkdir(parents=True)
    for number in range(4):
        place = folder / ("deeper" if number % 2 else "") / f"{number}.flac"
        sf.write(place, samples[8000 * number :][: 9000 + number], rate)
    (folder / "broken.flac").write_bytes(b"no audio")


def contents(shard: Path) -> dict[str, bytes]:
    """The members of a shard."""
    with tarfile.open(shard) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def check_audio(data: bytes, expected: np.ndarray) -> None:
    """Fail where a file has another sound."""
    np.testing.assert_allclose(sf.read(io.BytesIO(data))[0], expected, atol=1e-4)
