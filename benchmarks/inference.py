"""Compute per second of audio at every depth, beside SpeechBrain's and Asteroid's Conv-TasNet.

    python benchmarks/inference.py

The paper's setting (16 kHz, 512 filters of 16 samples, bottleneck 128, hidden 512, 6 blocks of
one layer, gLN), random weights, one mixture of 4 s, on one thread and on two. The first line is
the machine's matrix-product peak in the same run. For Asteroid: pip install --no-deps -r
requirements-asteroid.txt.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from options import parser_of
from timing import best_seconds

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16000
SECONDS = 4
SIZES = {"filters": 512, "kernel": 16, "bottleneck": 128, "hidden": 512, "layers": 6}


def speechbrain_conv_tasnet() -> torch.nn.Module:
    """SpeechBrain's MaskNet with the dual-path encoder and decoder, of the same sizes."""
    import torch
    from speechbrain.lobes.models.conv_tasnet import MaskNet
    from speechbrain.lobes.models.dual_path import Decoder, Encoder

    class ConvTasNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder(SIZES["kernel"], SIZES["filters"])
            self.masknet = MaskNet(
                N=SIZES["filters"],
                B=SIZES["bottleneck"],
                H=SIZES["hidden"],
                P=3,
                X=SIZES["layers"],
                R=1,
                C=1,
                norm_type="gLN",
            )
            self.decoder = Decoder(
                in_channels=SIZES["filters"],
                out_channels=1,
                kernel_size=SIZES["kernel"],
                stride=SIZES["kernel"] // 2,
                bias=False,
            )

        def forward(self, mix):
            features = self.encoder(mix)
            return self.decoder(features * self.masknet(features)[0])

    return ConvTasNet().eval()


def asteroid_conv_tasnet() -> torch.nn.Module | None:
    """Asteroid's TDConvNet with its free filterbank, of the same sizes; None without Asteroid."""
    import torch

    try:
        from asteroid.masknn import TDConvNet
        from asteroid_filterbanks import make_enc_dec
    except ImportError:
        return None

    class ConvTasNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = make_enc_dec(
                "free", SIZES["filters"], SIZES["kernel"], stride=SIZES["kernel"] // 2
            )
            self.masker = TDConvNet(
                SIZES["filters"],
                1,
                n_blocks=SIZES["layers"],
                n_repeats=1,
                bn_chan=SIZES["bottleneck"],
                hid_chan=SIZES["hidden"],
                skip_chan=0,
                mask_act="sigmoid",
            )

        def forward(self, mix):
            features = self.encoder(mix.unsqueeze(1))
            return self.decoder(self.masker(features) * features.unsqueeze(1))

    return ConvTasNet().eval()


def matrix_product_peak() -> float:
    """Multiply-accumulates a second of a square single-precision matrix product."""
    import torch

    size = 1024
    a, b = torch.randn(size, size), torch.randn(size, size)
    return size**3 / best_seconds({"product": lambda: a @ b}, rounds=20)["product"]


def report(threads: int) -> None:
    """Print the table for a number of threads."""
    import torch

    from bloomnet_sb import BloomNet
    from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    from bloomnet_sb.scoring.costs import macs_of_depths
    from bloomnet_sb.separators import ConvTasNetSeparator

    torch.set_num_threads(threads)
    mix = torch.randn(1, SECONDS * SAMPLE_RATE)
    separator = ConvTasNetSeparator(num_blocks=SIZES["layers"], dilation_cycle=SIZES["layers"])
    model = BloomNet(LearnedFilterbank(SIZES["filters"], SIZES["kernel"]), separator).eval()
    depths, macs = range(1, model.num_blocks + 1), macs_of_depths(model, SAMPLE_RATE)
    runs = {f"{d} blocks": lambda d=d: model.estimate(mix, d) for d in depths}
    runs["all estimates"] = lambda: model(mix)
    others = {"SpeechBrain": speechbrain_conv_tasnet(), "Asteroid": asteroid_conv_tasnet()}
    for name, other in others.items():
        if other is not None:
            runs[name] = lambda other=other: other(mix)
    with torch.inference_mode():
        peak = matrix_product_peak()
        seconds = best_seconds(runs, rounds=15)
    deepest = seconds[f"{model.num_blocks} blocks"]
    print(f"\n{threads} threads; matrix-product peak {peak / 1e9:.1f} GMAC/s\n")
    print(
        "| network | MMAC/s of audio | s/s of audio | share of the peak | full depth's time = 1 |"
    )
    print("| --- | --- | --- | --- | --- |")
    for name, value in seconds.items():
        needed, share = "", ""
        if name.endswith("blocks"):
            each, _ = macs[int(name.split()[0]) - 1]
            needed, share = f"{each / 1e6:.0f}", f"{each * SECONDS / value / peak:.2f}"
        per_second = value / SECONDS
        print(f"| {name} | {needed} | {per_second:.4f} | {share} | {value / deepest:.2f} |")
    for name in others:
        if name in seconds:
            print(f"full depth takes {deepest / seconds[name]:.2f} of {name}'s time")


def main() -> None:
    """Print the tables."""
    parser_of(__doc__).parse_args()
    for threads in (1, 2):
        report(threads)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
