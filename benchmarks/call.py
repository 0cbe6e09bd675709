"""A long call whose number of blocks changes at random every second: does it sound continuous?

    python benchmarks/call.py --data_folder DIR [--source NAME] [--switches 1000]

Test mixtures of a corpus, one after the other, for ten minutes and until so many switches were
heard, in chunks of 10 ms. What comes out is compared with the outputs of the fixed depths, sample
by sample: where it is none of them, a cross-fade is under way. At each of those the energy above
4 kHz in the 10 ms around its start, its middle and its end is set against the larger of the two
fixed depths'.
"""

import argparse
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.signal import butter, sosfiltfilt

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.evaluation import corpus_test_set
from bloomnet_sb.streaming import Stream

CHUNK_SECONDS = 0.01
TOLERANCE = 1e-4
SILENCE = 1e-9  # energy of 10 ms that counts as none, of mixtures of power 1


def resident_megabytes() -> float:
    """The memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def streamed_second(stream: Stream, second: torch.Tensor) -> np.ndarray:
    """What comes back for a second of signal in chunks of 10 ms."""
    size = round(stream.sample_rate * CHUNK_SECONDS)
    return torch.cat([stream.process(chunk) for chunk in second.split(size)]).numpy()


def fades_of(output: np.ndarray, fixed: np.ndarray, gap: int) -> list[tuple[int, int, int, int]]:
    """First and last sample of each stretch that is no fixed depth's, and the depths around it.

    Stretches that are less than `gap` samples apart are one: a fade crosses the outputs between
    which it goes.
    """
    same = np.abs(output - fixed) < TOLERANCE
    elsewhere = np.flatnonzero(~same.any(0))
    groups = np.split(elsewhere, np.flatnonzero(np.diff(elsewhere) > gap) + 1)
    fades = []
    for group in (group for group in groups if len(group)):
        first, last = group[0], group[-1]
        before = int(np.argmax(same[:, max(first - 2 * gap, 0) : first].mean(1)))
        after = int(np.argmax(same[:, last + 1 : last + 1 + 2 * gap].mean(1)))
        fades.append((first, last, before, after))
    return fades


def excess_db(output: np.ndarray, fixed: np.ndarray, fade: tuple, half: int) -> float:
    """By how much the high band of a fade is above that of the louder depth around it."""
    first, last, before, after = fade
    worst = -np.inf
    for middle in (first, (first + last) // 2, last):
        around = slice(max(middle - half, 0), middle + half)
        energy = np.square(output[around]).sum()
        louder = max(np.square(fixed[depth, around]).sum() for depth in (before, after))
        worst = max(worst, 10 * np.log10((energy + SILENCE) / (louder + SILENCE)))
    return worst


def main() -> None:
    """Make the call and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_folder", required=True)
    parser.add_argument("--source", default="convtasnet-causal-16k")
    parser.add_argument("--minutes", type=float, default=10.0, help="at least")
    parser.add_argument("--switches", type=int, default=1000, help="at least")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    enhancer = BloomEnhancer.from_hparams(source=options.source)
    rate, depths = enhancer.sample_rate, range(1, enhancer.num_blocks + 1)
    mixtures = [item["mix"] for item in corpus_test_set(options.data_folder, rate)]
    audio = torch.cat(mixtures).split(rate)
    stream = enhancer.stream()
    references = [enhancer.stream(blocks=depth) for depth in depths]
    outputs, fixed, fades, seconds, compute, memory = [], [], 0, 0, 0.0, []
    heard = stream.heard_blocks
    while seconds < 60 * options.minutes or fades < options.switches:
        second = audio[seconds % (len(audio) - 1)]
        start = time.perf_counter()
        outputs.append(streamed_second(stream, second))
        compute += time.perf_counter() - start
        fixed.append(np.stack([reference.process(second).numpy() for reference in references]))
        fades += stream.heard_blocks != heard
        heard = stream.heard_blocks
        stream.blocks = int(rng.choice(depths))
        seconds += 1
        memory.append(resident_megabytes() - sum(map(np.size, outputs + fixed)) * 4e-6)
    output, fixed = np.concatenate(outputs), np.concatenate(fixed, axis=1)
    found = fades_of(output, fixed, gap=round(0.01 * rate))
    high_band = butter(8, 4000, "highpass", fs=rate, output="sos")
    high, fixed_high = sosfiltfilt(high_band, output), sosfiltfilt(high_band, fixed)
    excess = [excess_db(high, fixed_high, fade, round(0.005 * rate)) for fade in found]
    longest = max(last + 1 - first for first, last, _, _ in found)
    in_fades = sum(last + 1 - first for first, last, _, _ in found)
    print(f"{seconds / 60:.1f} minutes, {len(found)} switches heard")
    print(f"real-time factor with the changes: {compute / seconds:.3f}")
    equal = 1 - in_fades / len(output)
    print(f"equal to a fixed depth within {TOLERANCE:g}: {equal:.3%} of samples")
    print(f"longest stretch that is not: {1e3 * longest / rate:.1f} ms")
    print(
        "energy above 4 kHz at a switch over that of the louder fixed depth: at most "
        f"{max(excess):+.2f} dB, {np.mean(np.array(excess) > 1):.2%} of switches above +1 dB"
    )
    print(f"memory: {memory[60]:.0f} MB after a minute, {memory[-1]:.0f} MB at the end")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
