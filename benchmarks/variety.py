"""What is gained on the voices and noises of training, beside those kept for validation.

    python benchmarks/variety.py --data_folder DIR [--source NAME]

Mixtures at -5 to 10 dB SNR of each part of the speech with each of the noises, at every depth: the
mean SI-SDR improvement in dB, with 95 % of the mixtures' means within +-. Where training's gain
more, a greater variety of data is what is missing, else the size of the network or hours.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from auto import improvement
from options import parser_of

SPLITS = ("train", "valid")
SNR_DB = (-5.0, 10.0)
SECONDS = 4.0


def gains_of(enhancer, data_folder: str, manifests: Path, mixtures: int) -> np.ndarray:
    """Improvements [mixtures, depths] on the validation mixtures of a folder of manifests."""
    from tqdm import tqdm

    from bloomnet_sb.data import validation_dataset

    part = {"name": "all", "mixtures": mixtures, "clean": 0}
    dataset = validation_dataset(
        str(manifests), data_folder, [part], [SNR_DB], SECONDS, enhancer.sample_rate
    )
    rows = []
    for item in tqdm(dataset, leave=False, disable=None):
        mix = item["mix"][None]
        depths = range(1, enhancer.num_blocks + 1)
        estimates = (enhancer.enhance_batch(mix, blocks=blocks).flatten() for blocks in depths)
        rows.append([improvement(item, estimate) for estimate in estimates])
    return np.array(rows)


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__, data_folder=True, source="bandrnn-16k")
    parser.add_argument("--mixtures", type=int, default=150, help="of each of the four kinds")
    options = parser.parse_args()

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.data import prepare_librispeech_musan

    enhancer = BloomEnhancer.from_hparams(source=options.source)
    depths = range(1, enhancer.num_blocks + 1)
    print("| voices | noises |", " | ".join(f"{depth}" for depth in depths), "|")
    print("| --- | --- |", " | ".join("---" for _ in depths), "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare_librispeech_musan(options.data_folder, str(folder), enhancer.sample_rate)
        for voices in SPLITS:
            for noises in SPLITS:
                mixed = folder / f"{voices}-{noises}"
                mixed.mkdir()
                shutil.copy(folder / f"speech_{voices}.json", mixed / "speech_valid.json")
                shutil.copy(folder / f"noise_{noises}.json", mixed / "noise_valid.json")
                gains = gains_of(enhancer, options.data_folder, mixed, options.mixtures)
                within = 1.96 * gains.std(axis=0) / len(gains) ** 0.5
                cells = zip(gains.mean(axis=0), within, strict=True)
                print(f"| {voices} | {noises} |", end=" ")
                print(" | ".join(f"{gain:+.2f} ± {w:.2f}" for gain, w in cells), "|", flush=True)


if __name__ == "__main__":
    main()
