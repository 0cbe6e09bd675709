"""What blocks="auto" saves: mean number of blocks and SI-SDR improvement on a corpus.

    python benchmarks/auto.py --data_folder DIR [--source NAME]

The test mixtures are enhanced as files, with each number of blocks and with "auto" at several
thresholds; a file of up to 10 seconds is one window. Beside "auto" stands what fixed numbers of
blocks give at the same cost: a share of the files with one more block than the others.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from options import parser_of

if TYPE_CHECKING:
    import torch

THRESHOLDS_DB = (-6, -8, -10, -12, -14, -16, -18, -20, -23)


def improvement(item: dict, estimate: torch.Tensor) -> float:
    """SI-SDR improvement of the estimate [time] of a test item, in dB."""
    import torch

    from bloomnet_sb.nn.losses import negative_si_sdr

    both = torch.stack([item["mix"], estimate])[:, None, :, None]
    before, after = -negative_si_sdr(both, item["target"][None]).flatten()
    return (after - before).item()


def main() -> None:
    """Print the table."""
    options = parser_of(__doc__, data_folder=True, source="convtasnet-16k").parse_args()

    import soundfile as sf
    from tqdm import tqdm

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set

    enhancer = BloomEnhancer.from_hparams(source=options.source)
    rate, depths = enhancer.sample_rate, range(1, enhancer.num_blocks + 1)
    ways = {f"{depth} blocks": {"blocks": depth} for depth in depths}
    ways |= {f"auto, {db} dB": {"blocks": "auto", "min_gain_db": db} for db in THRESHOLDS_DB}
    blocks, gains = {way: [] for way in ways}, {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        for item in tqdm(corpus_test_set(options.data_folder, rate), leave=False, disable=None):
            path = Path(folder) / "noisy.wav"
            sf.write(path, item["mix"].numpy(), rate, subtype="FLOAT")
            for way, choice in ways.items():
                estimate = enhancer.enhance_file(path, **choice)
                gains[way].append(improvement(item, estimate))
                blocks[way].append(np.mean(enhancer.blocks_used))
    fixed = [np.mean(gains[f"{depth} blocks"]) for depth in depths]
    print("| blocks | mean blocks | SI-SDRi | fixed at the same cost |")
    print("| --- | --- | --- | --- |")
    for way in ways:
        mean = np.mean(blocks[way])
        alike = np.interp(mean, depths, fixed)
        print(f"| {way} | {mean:.2f} | {np.mean(gains[way]):.2f} | {alike:.2f} |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
