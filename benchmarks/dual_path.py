"""DPRNN and SepFormer separators beside SpeechBrain's `Dual_Path_Model` of the same sizes.

    python benchmarks/dual_path.py

Masked features of 4 s at 16 kHz in frames of 16 samples, random weights, and a training step
(forward and backward) on 1 s. DPRNN with 2 blocks of its paper's sizes, SepFormer with 2 blocks of
2 layers a path.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from options import parser_of
from timing import best_seconds

if TYPE_CHECKING:
    import torch

    from bloomnet_sb.separators import Separator

FRAMES_OF_A_SECOND = 2000


def speechbrain_model(make_path, sizes: dict) -> torch.nn.Module:
    """SpeechBrain's trunk and head."""
    from speechbrain.lobes.models.dual_path import Dual_Path_Model

    return Dual_Path_Model(
        intra_model=make_path(), inter_model=make_path(), num_layers=2, num_spks=1, **sizes
    )


def pairs() -> dict[str, tuple[Separator, torch.nn.Module, int]]:
    """Ours, SpeechBrain's and the number of filters, by name."""
    from bloomnet_sb.separators import DPRNNSeparator, SepFormerSeparator

    from speechbrain.lobes.models.dual_path import (  # isort: skip (bloomnet_sb makes it importable)
        SBRNNBlock,
        SBTransformerBlock,
    )

    dprnn = {"in_channels": 64, "out_channels": 64, "K": 100}
    sepformer = {"in_channels": 256, "out_channels": 256, "K": 250}

    def transformer():
        return SBTransformerBlock(
            2, 256, 8, 1024, dropout=0.0, use_positional_encoding=True, norm_before=True
        )

    return {
        "DPRNN": (
            DPRNNSeparator(64, 64, 128, chunk_size=100, num_blocks=2),
            speechbrain_model(lambda: SBRNNBlock(64, 128, 1), dprnn),
            64,
        ),
        "SepFormer": (
            SepFormerSeparator(layers_per_path=2, num_blocks=2),
            speechbrain_model(transformer, {**sepformer, "linear_layer_after_inter_intra": False}),
            256,
        ),
    }


def masked(separator: Separator, features: torch.Tensor) -> torch.Tensor:
    """What the last block's masks leave of the features."""
    feature = separator.entry(features)
    for block in separator.blocks:
        feature = block(feature)
    return separator.heads[-1](feature, features)


def ratios(ours: Separator, theirs: torch.nn.Module, filters: int) -> tuple[float, float]:
    """Our time over SpeechBrain's, of inference and of a training step."""
    import torch

    long = torch.randn(1, filters, 4 * FRAMES_OF_A_SECOND)
    short = torch.randn(1, filters, FRAMES_OF_A_SECOND)
    ours.eval()
    theirs.eval()
    with torch.no_grad():
        inference = best_seconds(
            {"ours": lambda: masked(ours, long), "theirs": lambda: theirs(long)[0] * long}, rounds=3
        )
    ours.train()
    theirs.train()
    training = best_seconds(
        {
            "ours": lambda: masked(ours, short).sum().backward(),
            "theirs": lambda: (theirs(short)[0] * short).sum().backward(),
        },
        rounds=3,
    )
    return inference["ours"] / inference["theirs"], training["ours"] / training["theirs"]


def main() -> None:
    """Print the table."""
    parser_of(__doc__).parse_args()

    import torch

    print("| separator | threads | inference, ours / SpeechBrain's | training step, the same |")
    print("| --- | --- | --- | --- |")
    for name, networks in pairs().items():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            inference, training = ratios(*networks)
            print(f"| {name} | {threads} | {inference:.2f} | {training:.2f} |", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
