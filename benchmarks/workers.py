"""What worker processes cost: the time of cores until they have begun, and the memory they hold.

    python benchmarks/workers.py [--source NAME] [--processes 1 2 4]

For each number of processes, as `bloomnet enhance --jobs` starts them and, beside it, each started
anew (spawned), two short files for each are enhanced with one block. Once the first is done, the
time that they and what started them have used, and their memory: what several of them share counts
once (PSS). Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from options import parser_of

FILE = Path(__file__).parents[1] / "tests" / "samples" / "demo" / "noisy_0dB.flac"
KINDS = ("as they are", "spawned")


def print_cost(source: str, processes: int, kind: str) -> None:
    """Print the row of one kind, in this process, which has no workers yet."""
    import multiprocessing

    import psutil

    from bloomnet_sb.inference import workers
    from bloomnet_sb.inference.choice import Choice
    from bloomnet_sb.inference.report import Job

    if kind == "spawned":
        workers.worker_context = lambda module: multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        jobs = [Job(FILE, Path(folder) / f"{n}.flac", [], 60.0) for n in range(2 * processes)]
        batches = [[job] for job in jobs]
        results = workers.enhance_in_processes(batches, Choice(source, 1), processes)
        next(results)
        started = psutil.Process().children(recursive=True)
        seconds = sum(sum(process.cpu_times()[:2]) for process in started)
        megabytes = sum(process.memory_full_info().pss for process in started) / 1e6
        list(results)
    print(f"| {processes} | {kind} | {seconds:.1f} | {megabytes:.0f} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__, source="bandrnn-16k")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    print("| processes | started | s of cores | MB |", "| --- | --- | --- | --- |", sep="\n")
    sys.stdout.flush()
    for processes in options.processes:
        for kind in KINDS:
            command = [sys.executable, __file__, "--row", options.source, str(processes), kind]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if sys.argv[1:2] == ["--row"]:
        print_cost(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
