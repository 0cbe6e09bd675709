"""What becomes of the band above a network's: full-band mixtures, with each `highband`.

    python benchmarks/highband.py --speech DIR --noise DIR [--source NAME]

The folders hold recordings of 44.1 kHz or more, which are all made 48 kHz. Each of speech is mixed
with one of noise, 5 s of it, at 0, 5, 10 and 15 dB SNR in turns, and enhanced as a file; speech
alone and noise alone are too. "all" lets the whole band above through. Of that band alone: how much
of speech alone and of noise alone is left, in dB of power, the mean over files; and of mixtures the
power of the clean speech over that of what differs from it, in dB, where nothing at all has 0. Of
the whole signals: their SI-SDR. Medians are of single files.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from options import parser_of

if TYPE_CHECKING:
    from bloomnet_sb import BloomEnhancer

RATE, SECONDS = 48000, 5
SNRS_DB = (0, 5, 10, 15)
WAYS = ("mute", "follow", "all")
LEAST_POWER = 1e-12


def recordings(folder: str) -> list[np.ndarray]:
    """The recordings of a folder, one channel at 48 kHz, 5 s of each at most."""
    import soxr

    from bloomnet_sb.utils.audio_files import audio_info, read_audio
    from bloomnet_sb.utils.folders import list_audio

    found = []
    for path in list_audio(Path(folder)).files:
        rate = audio_info(path).samplerate
        if rate >= 44100:
            signal = soxr.resample(read_audio(path, 0, SECONDS * rate).mean(1), rate, RATE)
            found.append(signal * 0.1 / np.sqrt(power(signal)))
    return found


def power(signal: np.ndarray) -> float:
    """The mean square."""
    return float(np.mean(np.square(signal, dtype=np.float64))) + LEAST_POWER


def decibels(ratio: float) -> float:
    """Of a ratio of powers."""
    return 10 * np.log10(ratio)


def si_sdr(estimate: np.ndarray, clean: np.ndarray) -> float:
    """In dB."""
    target = np.dot(estimate, clean) / np.dot(clean, clean) * clean
    return decibels(power(target) / power(estimate - target))


def resampled(signal: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """At another rate, as a stream and a file are."""
    from bloomnet_sb.utils.polyphase import PolyphaseResampler

    resampler = PolyphaseResampler(from_rate, to_rate)
    return np.concatenate([resampler.process(signal), resampler.flush()])


def above(signal: np.ndarray, network_rate: int) -> np.ndarray:
    """A signal without what the network's rate holds of it."""
    below = resampled(resampled(signal, RATE, network_rate), network_rate, RATE)
    return signal - below[: len(signal)]


def enhanced(enhancer: BloomEnhancer, noisy: np.ndarray) -> dict[str, np.ndarray]:
    """The results of a signal, by the way of the band above."""
    import soundfile as sf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noisy.wav"
        sf.write(path, noisy, RATE, subtype="FLOAT")
        results = {way: enhancer.enhance_file(path, highband=way).numpy() for way in WAYS[:2]}
    results["all"] = results["mute"] + above(noisy, enhancer.sample_rate)
    return results


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__, source="convtasnet-causal-16k")
    for kind in ("speech", "noise"):
        parser.add_argument(f"--{kind}", required=True, help="a folder of full-band recordings")
    options = parser.parse_args()

    from tqdm import tqdm

    from bloomnet_sb import BloomEnhancer

    enhancer = BloomEnhancer.from_hparams(source=options.source)
    rate = enhancer.sample_rate
    noises = recordings(options.noise)
    names = ("speech", "noise", "above", "whole")
    scores = {way: {name: [] for name in names} for way in WAYS}
    for number, speech in enumerate(tqdm(recordings(options.speech), leave=False, disable=None)):
        noise = np.resize(noises[number % len(noises)], len(speech))
        noisy = speech + noise * 10 ** (-SNRS_DB[number % len(SNRS_DB)] / 20)
        clean = above(speech, rate)
        for name, signal in (("speech", speech), ("noise", noise)):
            for way, result in enhanced(enhancer, signal).items():
                left = power(above(result, rate)) / power(above(signal, rate))
                scores[way][name].append(decibels(left))
        for way, result in enhanced(enhancer, noisy).items():
            error = power(above(result, rate) - clean)
            scores[way]["above"].append(decibels(power(clean) / error))
            scores[way]["whole"].append(si_sdr(result, speech))
    print(f"{len(scores['mute']['whole'])} files, {options.source}\n")
    print("| highband | speech alone | noise alone | mixtures: mean | median | SI-SDR of all |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way in WAYS:
        speech, noise, heard, whole = (scores[way][name] for name in names)
        print(
            f"| {way} | {np.mean(speech):.1f} | {np.mean(noise):.1f} | {np.mean(heard):.1f} | "
            f"{np.median(heard):.1f} | {np.mean(whole):.2f} |"
        )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
