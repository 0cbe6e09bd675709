"""What windows change: a long file enhanced in windows beside the same file enhanced as a whole.

    python benchmarks/windows.py --source PRETRAINED.. --data_folder DIR

The file is all test mixtures of a corpus in LibriSpeech's and MUSAN's layout, one after the other.
The scores are means over the mixtures.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from options import parser_of

if TYPE_CHECKING:
    import torch

WINDOWS_SECONDS = (5.0, 10.0, 30.0)


def mean_si_sdr(signal: torch.Tensor, targets: list[torch.Tensor]) -> float:
    """The mean over the mixtures of a signal [time] that is their sequence, in dB."""
    from bloomnet_sb.nn.losses import negative_si_sdr

    parts = signal.split([len(target) for target in targets])
    scores = [
        -negative_si_sdr(part[None, None, :, None], target[None, :, None]).item()
        for part, target in zip(parts, targets, strict=True)
    ]
    return sum(scores) / len(scores)


def main() -> None:
    """Print a table for each source."""
    parser = parser_of(__doc__, data_folder=True)
    parser.add_argument("--source", nargs="+", required=True, help="networks")
    options = parser.parse_args()

    import soundfile as sf
    import torch

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set

    with tempfile.TemporaryDirectory() as folder:
        for source in options.source:
            enhancer = BloomEnhancer.from_hparams(source=source)
            rate = enhancer.sample_rate
            items = list(corpus_test_set(options.data_folder, rate))
            targets = [item["target"][:, 0] for item in items]
            mix = torch.cat([item["mix"] for item in items])
            path = Path(folder) / "mix.wav"
            sf.write(path, mix.numpy(), rate, subtype="FLOAT")
            print(f"\n{source}: {len(items)} mixtures, {len(mix) / rate:.0f} s; SI-SDRi in dB\n")
            print("| blocks | whole | window s | in windows | SI-SDR to whole |")
            print("| --- | --- | --- | --- | --- |")
            unprocessed = mean_si_sdr(mix, targets)
            for blocks in (1, enhancer.num_blocks):
                enhancer.window_seconds = len(mix) / rate
                whole = enhancer.enhance_file(path, blocks=blocks)
                gain = mean_si_sdr(whole, targets) - unprocessed
                for seconds in WINDOWS_SECONDS:
                    enhancer.window_seconds = seconds
                    windowed = enhancer.enhance_file(path, blocks=blocks)
                    windowed_gain = mean_si_sdr(windowed, targets) - unprocessed
                    alike = mean_si_sdr(windowed, [whole])
                    print(
                        f"| {blocks} | {gain:.2f} | {seconds:.0f} | {windowed_gain:.2f} | "
                        f"{alike:.1f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
