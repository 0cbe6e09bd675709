"""A long call whose number of blocks changes at random every second: does it sound continuous?

    python benchmarks/call.py --data_folder DIR [--source NAME] [--switches 1000]

Test mixtures of a corpus, one after the other, for ten minutes and until so many switches were
heard, in chunks of 10 ms. What comes out is compared with the outputs of the fixed depths, sample
by sample: where it is none of them, a cross-fade is under way. At each of those the energy in the
10 ms around its start, its middle and its end is set against that of the fixed depths that are
heard around it: above 4 kHz against the loudest (a click), in all against the quietest (a gap).
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
from options import parser_of

if TYPE_CHECKING:
    import torch

    from bloomnet_sb.streaming.stream import Stream

CHUNK_SECONDS = 0.01
TOLERANCE = 1e-4
SILENCE = 1e-9  # energy of 10 ms that counts as none, of mixtures of power 1


def streamed_second(stream: Stream, second: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What comes back for a second in chunks of 10 ms, and the number of blocks heard in it."""
    pieces, heard = [], []
    for chunk in second.split(round(stream.sample_rate * CHUNK_SECONDS)):
        pieces.append(stream.process(chunk).numpy())
        heard.append(np.full(len(pieces[-1]), stream.heard_blocks))
    return np.concatenate(pieces), np.concatenate(heard)


def fades_of(output: np.ndarray, fixed: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """First and last sample of each stretch that is no fixed depth's.

    Stretches that are less than `gap` samples apart are one: a fade crosses the outputs between
    which it goes, and two fades may follow one another.
    """
    elsewhere = np.flatnonzero((np.abs(output - fixed) >= TOLERANCE).all(0))
    groups = np.split(elsewhere, np.flatnonzero(np.diff(elsewhere) > gap) + 1)
    return [(group[0], group[-1]) for group in groups if len(group)]


def beside_fixed_db(
    output: np.ndarray, fixed: np.ndarray, heard: np.ndarray, fade: tuple, half: int
) -> tuple[float, float]:
    """Around a fade, the energy over that of the loudest depth, and under that of the quietest."""
    first, last = fade
    depths = np.unique(heard[max(first - 4 * half, 0) : last + 4 * half]) - 1
    above = below = -np.inf
    for middle in (first, (first + last) // 2, last):
        around = slice(max(middle - half, 0), middle + half)
        energy = np.square(output[around]).sum() + SILENCE
        energies = np.square(fixed[depths, around]).sum(1) + SILENCE
        above = max(above, 10 * np.log10(energy / energies.max()))
        below = max(below, 10 * np.log10(energies.min() / energy))
    return above, below


def main() -> None:
    """Make the call and print what was found."""
    parser = parser_of(__doc__, data_folder=True, source="convtasnet-causal-16k")
    parser.add_argument("--minutes", type=float, default=10.0, help="at least")
    parser.add_argument("--switches", type=int, default=1000, help="at least")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    options = parser.parse_args()

    import torch
    from scipy.signal import butter, sosfiltfilt

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set

    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    enhancer = BloomEnhancer.from_hparams(source=options.source)
    rate, depths = enhancer.sample_rate, range(1, enhancer.num_blocks + 1)
    mixtures = [item["mix"] for item in corpus_test_set(options.data_folder, rate)]
    audio = torch.cat(mixtures).split(rate)
    stream = enhancer.stream()
    references = [enhancer.stream(blocks=depth) for depth in depths]
    outputs, fixed, heard, switches, seconds, compute = [], [], [], 0, 0, 0.0
    while seconds < 60 * options.minutes or switches < options.switches:
        second = audio[seconds % (len(audio) - 1)]
        start = time.perf_counter()
        piece, depths_heard = streamed_second(stream, second)
        compute += time.perf_counter() - start
        outputs.append(piece)
        heard.append(depths_heard)
        fixed.append(np.stack([reference.process(second).numpy() for reference in references]))
        switches += np.count_nonzero(np.diff(depths_heard))
        stream.blocks = int(rng.choice(depths))
        seconds += 1
    output, fixed, heard = np.concatenate(outputs), np.concatenate(fixed, 1), np.concatenate(heard)
    found = fades_of(output, fixed, gap=round(CHUNK_SECONDS * rate))
    high_band = butter(8, 4000, "highpass", fs=rate, output="sos")
    high, fixed_high = sosfiltfilt(high_band, output), sosfiltfilt(high_band, fixed)
    half = round(CHUNK_SECONDS * rate / 2)
    clicks = [beside_fixed_db(high, fixed_high, heard, fade, half)[0] for fade in found]
    dips = [beside_fixed_db(output, fixed, heard, fade, half)[1] for fade in found]
    longest = max(last + 1 - first for first, last in found)
    in_fades = sum(last + 1 - first for first, last in found)
    print(f"{seconds / 60:.1f} minutes, {switches} switches")
    print(f"real-time factor with the changes: {compute / seconds:.3f}")
    equal = 1 - in_fades / len(output)
    print(f"equal to a fixed depth within {TOLERANCE:g}: {equal:.3%} of samples")
    print(f"longest stretch that is not: {1e3 * longest / rate:.1f} ms")
    print(
        f"at a switch, energy above 4 kHz over the loudest depth's: at most {max(clicks):+.2f} dB"
    )
    print(f"at a switch, energy under the quietest depth's: at most {max(dips):.2f} dB")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
