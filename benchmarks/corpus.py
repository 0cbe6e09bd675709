"""How fast a corpus of files is enhanced, beside what the network alone does on ready batches.

    python benchmarks/corpus.py --folder DIR [--jobs 2] [--hours 1] [--deepfilternet]

The files of a folder, again and again until they are as long as asked for, are enhanced into a
folder by processes of one thread, the start of several included, at each number of blocks and with
"auto". Alone, the network runs on the same audio in windows that are in memory, on one core: a
share of 1 is its speed, that of two processes at best 2. The second share is by the time of cores
that both used: on a machine that others use too it is the one to look at, but waiting is not in it.
The folder may be on the disk that is to be measured; files that were read before are in the page
cache. With --deepfilternet, DeepFilterNet3 does the same files in as many processes.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from options import parser_of
from timing import core_seconds_of

if TYPE_CHECKING:
    import torch

    from bloomnet_sb import BloomEnhancer

WINDOW_SECONDS = 10.0


def linked(files: list[Path], hours: float, folder: Path) -> tuple[list[Path], float]:
    """Links to files, over and over until they are so long; and how many hours they are."""
    from bloomnet_sb.utils.audio_files import audio_info

    infos = [audio_info(path) for path in files]
    lengths = [info.frames / info.samplerate / 3600 for info in infos]
    links: list[Path] = []
    total = 0.0
    while total < hours:
        number = len(links) % len(files)
        links.append(folder / f"{len(links):06d}{files[number].suffix}")
        links[-1].symlink_to(files[number].resolve())
        total += lengths[number]
    return links, total


def windows_of(files: list[Path], sample_rate: int) -> list[torch.Tensor]:
    """What the network is given of files: windows [1, time] at its rate."""
    import torch

    from bloomnet_sb.utils.audio_files import audio_info
    from bloomnet_sb.utils.resampling import read_resampled

    windows = []
    for path in files:
        pieces = read_resampled(path, audio_info(path).samplerate, sample_rate, False)
        for channel in torch.cat(list(pieces), dim=1):
            windows += channel[None].split(round(WINDOW_SECONDS * sample_rate), dim=1)
    return windows


def run_alone(enhancer: BloomEnhancer, windows: list[torch.Tensor], blocks: int | None) -> None:
    """The network on what is in memory; without `blocks`, as many as "auto" finds."""
    for window in windows:
        if blocks is None:
            enhancer._estimate_as_needed(window, -20.0, None)
        else:
            enhancer.enhance_batch(window, blocks=blocks)


def enhance_with_deepfilternet(path: Path, folder: str) -> None:
    """Read a file's first channel, enhance it by DeepFilterNet3, and write it."""
    import soundfile as sf
    import torch

    from bloomnet_sb.scoring.deepfilternet import enhance_at
    from bloomnet_sb.utils.audio_files import audio_info, read_audio

    torch.set_num_threads(1)
    rate = audio_info(path).samplerate
    enhanced = enhance_at(torch.from_numpy(read_audio(path)[:, 0]), rate)
    sf.write(Path(folder) / path.name, enhanced.numpy(), rate)


def run_deepfilternet(files: list[Path], folder: str, jobs: int) -> None:
    """All files, in so many processes."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        list(pool.map(partial(enhance_with_deepfilternet, folder=folder), files, chunksize=4))


def main() -> None:
    """Print a row for each number of blocks."""
    parser = parser_of(__doc__, source="convtasnet-16k")
    parser.add_argument("--folder", required=True, help="recordings")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--hours", type=float, default=0.5, help="how much audio, at least")
    parser.add_argument("--deepfilternet", action="store_true", help="whether it is run as well")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"

    import torch

    from bloomnet_sb.inference.base import AUTO
    from bloomnet_sb.inference.choice import Choice
    from bloomnet_sb.inference.many_files import enhance_many
    from bloomnet_sb.utils.folders import list_audio

    torch.set_num_threads(1)
    files = list_audio(options.folder).files
    enhancer = Choice(options.source, device="cpu").load()
    print(
        "| blocks | hours of audio per core-hour | alone on ready windows | share | by core time |"
    )
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        (given := Path(folder) / "in").mkdir()
        links, hours = linked(files, options.hours, given)
        windows = windows_of(links[: len(files)], enhancer.sample_rate)
        audio = sum(window.shape[1] for window in windows) / enhancer.sample_rate / 3600
        run_alone(enhancer, windows[:1], None)  # the first run sets up buffers
        for blocks in (*range(1, enhancer.num_blocks + 1), AUTO):
            depth = None if blocks == AUTO else blocks
            ready = core_seconds_of(run_alone, enhancer, windows, depth)
            out = Path(folder) / f"out-{blocks}"
            pairs = [(path, out / path.name) for path in links]
            choice = Choice(options.source, blocks, device="cpu")
            run = partial(enhance_many, enhancer=enhancer)  # which one process needs not load
            taken = core_seconds_of(run, pairs, out, choice, options.jobs)
            # Hours of audio per hour: of the clock, of a core; of the files, and alone
            speed, per_core = (hours / (seconds / 3600) for seconds in taken)
            alone, alone_per_core = (audio / (seconds / 3600) for seconds in ready)
            row = f"{per_core:.1f} | {alone_per_core:.1f} | {speed / alone:.2f}"
            row += f" | {per_core / alone_per_core:.2f}"
            print(f"| {blocks} | {row} |", flush=True)
        if options.deepfilternet:
            _, used = core_seconds_of(run_deepfilternet, links, folder, options.jobs)
            print(f"| DeepFilterNet3 | {hours / (used / 3600):.1f} | | | |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
