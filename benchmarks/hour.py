"""An hour in one stream: whether memory or the time for a chunk grows.

    python benchmarks/hour.py --data_folder DIR [--source NAME] [--minutes 60]

Test mixtures of a corpus, over and over, in chunks of 10 ms through all blocks, on one thread.
"""

import warnings
from itertools import cycle

import numpy as np
from options import parser_of
from timing import seconds_of

CHUNK_SECONDS = 0.01
ROWS = 6


def main() -> None:
    """Stream, and print a row for each sixth of it."""
    parser = parser_of(__doc__, data_folder=True, source="convtasnet-causal-16k")
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio")
    options = parser.parse_args()

    import psutil
    import torch

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set

    torch.set_num_threads(1)
    enhancer = BloomEnhancer.from_hparams(source=options.source)
    rate = enhancer.sample_rate
    mixtures = [item["mix"] for item in corpus_test_set(options.data_folder, rate)]
    chunks = cycle(chunk for mix in mixtures for chunk in mix.split(round(rate * CHUNK_SECONDS)))
    stream, process = enhancer.stream(), psutil.Process()
    count = round(60 * options.minutes / CHUNK_SECONDS / ROWS)
    print("| minutes | MB | median ms for a chunk | 99.9 %, ms |")
    print("| --- | --- | --- | --- |")
    for row in range(1, ROWS + 1):
        seconds = np.empty(count)
        for number in range(count):
            seconds[number] = seconds_of(stream.process, next(chunks))
        median, most = np.percentile(1e3 * seconds, (50, 99.9))
        megabytes = process.memory_info().rss / 2**20
        minutes = options.minutes * row / ROWS
        print(f"| {minutes:.0f} | {megabytes:.1f} | {median:.3f} | {most:.3f} |", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
