"""What the process that drives a corpus does for each file, beside the enhancing itself.

    python benchmarks/driver.py --folder DIR [--files 3000] [--ray]

The files of a folder, again and again by links until they are as many as asked for, are listed,
opened for their lengths, and read to their ends; lines are written into a report, and joined into
its tables. With --ray, a worker on a cluster that is started here gets tasks with nothing to be
done. Each row is the time of a core for a file (or of the driver's for a task), and how many
workers one driver keeps at work if each needs as long for it as --seconds says. Waiting for a disk
or a network is not in it; files that were read before are in the page cache.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

from timing import core_seconds_of


def links_of(files: list[Path], count: int, folder: Path) -> None:
    """So many links to files, a thousand in a folder."""
    for number in range(count):
        place = folder / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        file = files[number % len(files)]
        (place / f"{number:06d}{file.suffix}").symlink_to(file.resolve())


def write_report(paths: list[Path], folder: Path) -> None:
    """A line for each file, written at once, as a run writes it."""
    from bloomnet_sb.inference.report import Job, Outcome, entry_of, lines_of

    measures = {"seconds": 1.0, "level_db": -20.0, "blocks": {"1": 1}, "core_seconds": 0.01}
    (folder / "report.jsonl").write_text('{"blocks": 1}\n')
    with open(folder / "report.jsonl", "a") as report:
        for path in paths:
            job = Job(path, folder / path.name, [1, 2])
            report.write(lines_of([entry_of(job, Outcome(None, [], measures))]))
            report.flush()


def run_empty(count: int) -> float:
    """The driver's seconds for so many tasks with nothing to be done."""
    import time

    from bloomnet_sb.corpus.on_ray import ray_engine
    from bloomnet_sb.corpus.ray_workers import RayOptions
    from bloomnet_sb.corpus.tasks import GroupTask
    from bloomnet_sb.inference.choice import Choice

    choice = Choice("convtasnet-16k", device="cpu")
    options = RayOptions("local", workers=1)
    with ray_engine(options, choice.head(choice.load())) as engine:
        results = engine.run_tasks([GroupTask([]) for _ in range(count + 1)], choice)
        next(results)
        start = time.process_time()
        assert len(list(results)) == count
        return time.process_time() - start


def main() -> None:
    """Print a row for each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="recordings")
    parser.add_argument("--files", type=int, default=3000, help="how many")
    parser.add_argument("--seconds", type=float, default=0.1, help="what a worker needs for a file")
    parser.add_argument("--ray", action="store_true", help="whether tasks are given to Ray as well")
    options = parser.parse_args()

    from bloomnet_sb.corpus.report_tables import write_tables
    from bloomnet_sb.utils.audio_files import audio_info, read_audio
    from bloomnet_sb.utils.folders import list_audio

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        links_of(list_audio(options.folder).files, options.files, folder / "in")
        paths = list_audio(folder / "in").files
        parts = {
            "listed": lambda: list_audio(folder / "in"),
            "opened for its length": lambda: [*map(audio_info, paths)],
            "a line of the report": lambda: write_report(paths, folder),
            "its row of the tables": lambda: write_tables(folder),
            "read to its end (by a worker)": lambda: [*map(read_audio, paths)],
        }
        times = {part: core_seconds_of(function)[1] for part, function in parts.items()}
    print("| for a file | us | workers that one driver keeps at work |")
    print("| --- | --- | --- |")
    for part, seconds in times.items():
        each = seconds / options.files
        print(f"| {part} | {1e6 * each:.0f} | {options.seconds / each:.0f} |")
    if options.ray:
        each = run_empty(options.files) / options.files
        print(f"| a task of Ray | {1e6 * each:.0f} | {options.seconds / each:.0f} |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
