"""What a change costs: two checkouts in turns, and the ratio of their times with its interval.

    python benchmarks/compare.py OLD NEW [--work eager compiled onnx offline files] [--pairs 20]
        [--source NAME] [--blocks 1]

OLD and NEW are folders of this repository at two commits (`git worktree add OLD COMMIT`). Each
measurement is a process of its own, of one thread, with the folder's own package: it loads a
network that ships and repeats the work, and its time is the least of the repetitions in CPU
seconds, which other programs disturb the least. Processes of the two alternate, which one begins
alternates too. Printed: the median of NEW over OLD, and where the median of such ratios lies with a
probability of 95 % (order statistics).

Work: a chunk of 10 ms through `BloomEnhancer.stream`, as it is ("eager") and compiled, through ONNX
Runtime on what `bloomnet export` wrote ("onnx"); a batch of 10 s ("offline") and a file of a minute
("files"); of each network that can, or of the one that is named, at all blocks or as many as asked.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from options import parser_of

WORKER = """
import subprocess, sys, tempfile, time, warnings
warnings.filterwarnings("ignore")
import torch
from bloomnet_sb import BloomEnhancer
torch.set_num_threads(1)
work, source, blocks = sys.argv[1:]
blocks = int(blocks) or None
torch.manual_seed(0)
noisy = 0.05 * torch.randn(16000 * 10)
if work in ("eager", "compiled"):
    stream = BloomEnhancer.from_hparams(source=source).stream(blocks, compiled=work == "compiled")
    run = lambda: [stream.process(chunk) for chunk in noisy[:16000].split(160)]
elif work == "onnx":
    folder = tempfile.mkdtemp() + "/out"
    command = [sys.executable, "-c", "from bloomnet_sb.cli import main; main()", "export", folder]
    subprocess.run([*command, "--source", source], check=True, capture_output=True)
    sys.path.insert(0, folder)
    from onnx_stream import OnnxStream
    stream, chunks = OnnxStream(folder, blocks), noisy[:16000].numpy().reshape(-1, 160)
    run = lambda: [stream.process(chunk) for chunk in chunks]
elif work == "offline":
    enhancer = BloomEnhancer.from_hparams(source=source)
    run = lambda: enhancer.enhance_batch(noisy[None], blocks=blocks)
else:
    import soundfile
    folder = tempfile.mkdtemp()
    soundfile.write(f"{folder}/in.wav", noisy.repeat(6).numpy(), 16000)
    enhancer = BloomEnhancer.from_hparams(source=source)
    run = lambda: enhancer.enhance_file(f"{folder}/in.wav", f"{folder}/out.wav", blocks)
times = []
for _ in range(2 if work == "files" else 6):
    start = time.process_time()
    run()
    times.append(time.process_time() - start)
print(min(times))
"""
CAUSAL = ["bandrnn-16k", "convtasnet-causal-16k"]
WORKS = {
    "eager": CAUSAL,
    "compiled": CAUSAL,
    "onnx": CAUSAL,
    "offline": [*CAUSAL, "convtasnet-16k"],
    "files": [*CAUSAL, "convtasnet-16k"],
}


def measured(checkout: Path, work: str, source: str, blocks: int) -> float:
    """The CPU seconds of one process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", WORKER, work, source, str(blocks)]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{checkout}: {work} of {source} failed\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def median_interval(ratios: list[float]) -> tuple[float, float, float]:
    """The median and the order statistics between which it lies with a probability of 95 %."""
    from scipy.stats import binom

    ordered = np.sort(ratios)
    below = max(int(binom.ppf(0.025, len(ordered), 0.5)), 1)
    return float(np.median(ordered)), ordered[below - 1], ordered[-below]


def main() -> None:
    """Print a row for each work and network."""
    parser = parser_of(__doc__)
    parser.add_argument("old", type=Path, help="OLD: a folder of the repository")
    parser.add_argument("new", type=Path, help="NEW: another one")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS), help="what is run")
    parser.add_argument("--pairs", type=int, default=20, help="of processes")
    parser.add_argument("--source", help="a network of `bloomnet list` (default: each of the work)")
    parser.add_argument("--blocks", type=int, default=0, help="that run (default: all)")
    options = parser.parse_args()
    print("| work | network | NEW over OLD | 95 % |\n| --- | --- | --- | --- |")
    for work in options.work:
        for source in [options.source] if options.source else WORKS[work]:
            ratios = []
            for pair in range(options.pairs):
                order = (options.old, options.new) if pair % 2 else (options.new, options.old)
                seconds = {
                    folder: measured(folder.resolve(), work, source, options.blocks)
                    for folder in order
                }
                ratios.append(seconds[options.new] / seconds[options.old])
            median, lower, upper = median_interval(ratios)
            print(f"| {work} | {source} | {median:.3f} | {lower:.3f} to {upper:.3f} |", flush=True)


if __name__ == "__main__":
    main()
