"""Whether the engines of a live stream hear the same: SI-SDR improvement at every depth.

    python benchmarks/engines.py --data_folder DIR [--source NAME]

The test mixtures go in chunks of 10 ms through `BloomEnhancer.stream`, as it is and compiled, and
through onnxruntime on what `bloomnet export` writes, as it is and with --int8.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from auto import improvement
from options import parser_of

if TYPE_CHECKING:
    import torch

    from bloomnet_sb import BloomEnhancer

    Enhance = Callable[[torch.Tensor], torch.Tensor]

CHUNK_SECONDS = 0.01


def in_torch(enhancer: BloomEnhancer, blocks: int, compiled: bool, size: int) -> Enhance:
    """Streams with torch."""
    import torch

    stream = enhancer.stream(blocks, compiled=compiled)
    return lambda mix: torch.cat([*map(stream.process, mix.split(size)), stream.flush()])


def in_onnx(folder: str, blocks: int, size: int) -> Enhance:
    """Streams with onnxruntime."""
    import torch

    from bloomnet_sb.streaming.onnx_stream import OnnxStream

    stream = OnnxStream(folder, blocks)

    def enhance(mix: torch.Tensor) -> torch.Tensor:
        pieces = [stream.process(chunk.numpy()) for chunk in mix.split(size)]
        return torch.from_numpy(np.concatenate([*pieces, stream.flush()]))

    return enhance


def main() -> None:
    """Print the table."""
    options = parser_of(__doc__, data_folder=True, source="convtasnet-causal-16k").parse_args()

    import torch
    from tqdm import tqdm

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set
    from bloomnet_sb.streaming.onnx_export import export_onnx

    torch.set_num_threads(1)
    enhancer = BloomEnhancer.from_hparams(source=options.source)
    depths, size = range(1, enhancer.num_blocks + 1), round(enhancer.sample_rate * CHUNK_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        plain, int8 = f"{folder}/plain", f"{folder}/int8"
        export_onnx(enhancer.mods.model, enhancer.sample_rate, plain)
        export_onnx(enhancer.mods.model, enhancer.sample_rate, int8, int8=True)
        engines = {
            "torch": [in_torch(enhancer, depth, False, size) for depth in depths],
            "torch, compiled": [in_torch(enhancer, depth, True, size) for depth in depths],
            "ONNX Runtime": [in_onnx(plain, depth, size) for depth in depths],
            "ONNX Runtime, int8": [in_onnx(int8, depth, size) for depth in depths],
        }
    gains = {name: [] for name in engines}
    for item in tqdm(
        corpus_test_set(options.data_folder, enhancer.sample_rate), leave=False, disable=None
    ):
        for name, by_depth in engines.items():
            gains[name].append([improvement(item, enhance(item["mix"])) for enhance in by_depth])
    print("| SI-SDRi | " + " | ".join(f"{depth} blocks" for depth in depths) + " |")
    print("| --- " * (len(depths) + 1) + "|")
    for name, rows in gains.items():
        print(f"| {name} | " + " | ".join(f"{gain:.3f}" for gain in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
