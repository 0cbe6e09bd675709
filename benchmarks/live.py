"""Missed deadlines of live streams while other processes take the cores.

    python benchmarks/live.py --data_folder DIR [--source NAME] [--calls 40] [--busy 2]

A server enhances `--calls` calls side by side in one thread, in real time, in 10 ms chunks. First
nothing else runs, then `--busy` processes that never rest, then nothing again: once with the full
depth and once with the policy `RealTime`. The table counts the chunks that were not ready when the
next one had arrived (what a device with two buffers asks for), and those not ready when the next
but one had (three buffers). The plot shows load, depth and misses of the first kind over time.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from options import parser_of

from bloomnet_sb.utils.atomic_files import written_whole

if TYPE_CHECKING:
    import torch

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.streaming.policies import BudgetedStream, Policy

CHUNK_SECONDS = 0.01
PHASES = ("quiet", "busy", "quiet again")
BUFFERS = {"two buffers": CHUNK_SECONDS, "three buffers": 2 * CHUNK_SECONDS}


@contextmanager
def sleeping_hogs(processes: int) -> Iterator[list[subprocess.Popen]]:
    """So many processes that never rest, once they are let go on."""
    # Processes of their own: a fork of this one would itself stall the calls.
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    for hog in hogs:
        hog.send_signal(signal.SIGSTOP)
    try:
        yield hogs
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def in_real_time(stream: BudgetedStream, audio: torch.Tensor, start: float) -> list[tuple]:
    """Time, load, depth and seconds from arrival to result of each chunk of [calls, time]."""
    rows, size = [], round(stream.stream.sample_rate * CHUNK_SECONDS)
    began = time.perf_counter()
    for number, chunk in enumerate(audio.split(size, dim=1), 1):
        arrival = began + number * CHUNK_SECONDS
        time.sleep(max(arrival - time.perf_counter(), 0))
        blocks = stream.stream.blocks
        stream.process(chunk)
        took = time.perf_counter() - arrival
        rows.append((start + number * CHUNK_SECONDS, stream.seen.load, blocks, took))
    return rows


def measure(
    enhancer: BloomEnhancer, policy: Policy, audio: torch.Tensor, seconds: int, busy: int
) -> list[np.ndarray]:
    """The rows of each phase [chunks, 4], of `audio` [calls, time]."""
    from bloomnet_sb.streaming.policies import BudgetedStream

    stream = BudgetedStream(enhancer.stream(batch_size=len(audio)), policy)
    for chunk in audio[:, : enhancer.sample_rate].split(160, dim=1):
        stream.stream.process(chunk)  # torch's own first calls are slow
    stream.stream.reset()
    parts, phases = audio.split(seconds * enhancer.sample_rate, dim=1), []
    with sleeping_hogs(busy) as hogs:
        for number, part in enumerate(parts):
            for hog in hogs:
                hog.send_signal(signal.SIGCONT if number == 1 else signal.SIGSTOP)
            phases.append(np.array(in_real_time(stream, part, number * seconds)))
    return phases


def plot(runs: dict[str, list[np.ndarray]], seconds: int, num_blocks: int, path: Path) -> None:
    """Draw load, depth and misses over time, a column for each policy."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, len(runs), sharex=True, sharey="row", figsize=(10, 6))
    for column, (title, phases) in zip(axes.T, runs.items(), strict=True):
        times, load, blocks, took = np.concatenate(phases).T
        late = took > CHUNK_SECONDS
        column[0].set_title(title)
        column[0].semilogy(times, load, lw=0.3)
        column[1].step(times, blocks, where="post")
        column[1].set_ylim(0, num_blocks + 0.5)
        per_second = late[: len(late) // 100 * 100].reshape(-1, 100).sum(1)
        column[2].bar(np.arange(len(per_second)) + 0.5, per_second, width=1)
        column[2].set_xlabel("seconds")
        for axis in column:
            axis.axvspan(seconds, 2 * seconds, color="k", alpha=0.07)
    for axis, label in zip(axes[:, 0], ("load", "blocks", "misses in a second"), strict=True):
        axis.set_ylabel(label)
    figure.tight_layout()
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=100, format="png")
    plt.close(figure)


def main() -> None:
    """Run both, print the table and draw the plot."""
    parser = parser_of(__doc__, data_folder=True, source="convtasnet-causal-16k")
    parser.add_argument("--calls", type=int, default=40, help="side by side")
    parser.add_argument("--busy", type=int, default=2, help="processes that never rest")
    parser.add_argument("--target", type=float, default=0.7, help="of RealTime")
    parser.add_argument("--seconds", type=int, default=30, help="of each phase")
    parser.add_argument("--plot", type=Path, default=Path("live.png"), help="the PNG file")
    options = parser.parse_args()

    import torch

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set
    from bloomnet_sb.streaming.policies import Fixed, RealTime

    torch.set_num_threads(1)
    enhancer = BloomEnhancer.from_hparams(source=options.source)
    mixtures = [item["mix"] for item in corpus_test_set(options.data_folder, enhancer.sample_rate)]
    length = 3 * options.seconds * enhancer.sample_rate
    long = torch.cat(mixtures * (1 + length // sum(map(len, mixtures))))
    audio = torch.stack([long.roll(-call * enhancer.sample_rate) for call in range(options.calls)])
    audio = audio[:, :length]
    policies = {"full depth": Fixed(enhancer.num_blocks), "RealTime": RealTime(options.target)}
    runs = {
        title: measure(enhancer, policy, audio, options.seconds, options.busy)
        for title, policy in policies.items()
    }
    print("| | " + " | ".join(f"missed, {phase}" for phase in PHASES) + " | mean blocks, busy |")
    print("| --- " * (len(PHASES) + 2) + "|")
    for title, phases in runs.items():
        blocks = phases[1][:, 2].mean()
        for buffers, deadline in BUFFERS.items():
            missed = [f"{int((rows[:, 3] > deadline).sum())} of {len(rows)}" for rows in phases]
            print(f"| {title}, {buffers} | " + " | ".join(missed) + f" | {blocks:.2f} |")
    plot(runs, options.seconds, enhancer.num_blocks, options.plot)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
