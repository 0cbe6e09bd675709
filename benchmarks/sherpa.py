"""What exported depths cost an app in sherpa-onnx, beside GTCRN, in one run.

    pip install sherpa-onnx
    python benchmarks/sherpa.py --gtcrn FILE [--source NAME] [--seconds N]

Each depth is a file of `bloomnet export --sherpa`, the last also in 8 bits. The live denoiser gets
a hop at a time, the offline one the whole signal, on one thread, in turns; a file that gives back
what it takes shows what of that is sherpa-onnx's own. Memory is what the process has more once a
live denoiser is loaded and has heard a second. Without --source, the network is a BandRNNSeparator
as it is by default, its weights random: what it costs does not depend on them. GTCRN's file is on
its authors' page.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from options import parser_of
from timing import best_seconds, seconds_of

if TYPE_CHECKING:
    from bloomnet_sb.model import BloomNet

CACHES = ("conv_cache", "tra_cache", "inter_cache")


def network_of(source: str | None) -> tuple[BloomNet, int]:
    """A pretrained network and its sample rate, or one with random weights."""
    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.model import BloomNet
    from bloomnet_sb.nn.filterbanks import STFTFilterbank
    from bloomnet_sb.separators import BandRNNSeparator

    if source is None:
        return BloomNet(STFTFilterbank(), BandRNNSeparator()).eval(), 16000
    enhancer = BloomEnhancer.from_hparams(source=source)
    return enhancer.mods.model, enhancer.sample_rate


def write_gtcrn(path: str, to: Path) -> None:
    """The authors' file with what sherpa-onnx reads in it."""
    import onnx

    from bloomnet_sb.streaming.sherpa_export import sherpa_metadata

    file = onnx.load(path)
    (_, bins, _, _), *caches = (
        [size.dim_value for size in value.type.tensor_type.shape.dim] for value in file.graph.input
    )
    shapes = dict(zip(CACHES, caches, strict=True))
    onnx.helper.set_model_props(file, sherpa_metadata(16000, 2 * (bins - 1), shapes, "GTCRN"))
    onnx.save(file, to)


def write_nothing(window: int, sample_rate: int, to: Path) -> None:
    """A file that gives back what it takes."""
    import onnx
    from onnx import TensorProto
    from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

    from bloomnet_sb.streaming.sherpa_export import sherpa_metadata

    shapes = {"mix": [1, window // 2 + 1, 1, 2], **{cache: [1, 1] for cache in CACHES}}
    given = [make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    made = [make_tensor_value_info(f"{n}_out", TensorProto.FLOAT, s) for n, s in shapes.items()]
    nodes = [make_node("Identity", [name], [f"{name}_out"]) for name in shapes]
    graph = make_graph(nodes, "nothing", given, made)
    file = make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10)
    del shapes["mix"]
    onnx.helper.set_model_props(file, sherpa_metadata(sample_rate, window, shapes, "nothing"))
    onnx.save(file, to)


class Denoisers:
    """Both denoisers of a file, and what loading the live one took.

    Arguments
    ---------
    path : Path
        The file.
    """

    def __init__(self, path: Path):
        import psutil
        import sherpa_onnx

        gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(model=str(path))
        model = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn, num_threads=1)
        before = psutil.Process().memory_info().rss
        config = sherpa_onnx.OnlineSpeechDenoiserConfig(model=model)
        self.load_seconds = seconds_of(
            lambda: setattr(self, "online", sherpa_onnx.OnlineSpeechDenoiser(config))
        )
        self.sample_rate = self.online.sample_rate
        self.live(np.zeros(self.sample_rate, np.float32))
        self.megabytes = (psutil.Process().memory_info().rss - before) / 1e6
        config = sherpa_onnx.OfflineSpeechDenoiserConfig(model=model)
        self.offline = sherpa_onnx.OfflineSpeechDenoiser(config)

    def live(self, signal: np.ndarray) -> None:
        """A hop at a time."""
        hop = self.online.frame_shift_in_samples
        for start in range(0, len(signal), hop):
            self.online.run(signal[start : start + hop], self.sample_rate)
        self.online.flush()

    def whole(self, signal: np.ndarray) -> None:
        """The signal at once."""
        self.offline.run(signal, self.sample_rate)


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--gtcrn", help="GTCRN's ONNX stream; default: it is left out")
    parser.add_argument("--source", help="a pretrained folder, or a name of `bloomnet list`")
    parser.add_argument("--seconds", type=int, default=10, help="of noise; default: 10")
    options = parser.parse_args()

    from bloomnet_sb.streaming.onnx_export import quantise
    from bloomnet_sb.streaming.sherpa_export import export_sherpa

    model, sample_rate = network_of(options.source)
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "exported"
        export_sherpa(model, sample_rate, exported)
        paths = {
            f"{depth} of {model.num_blocks} blocks": exported / f"depth{depth}.onnx"
            for depth in range(1, model.num_blocks + 1)
        }
        whole = f"{model.num_blocks} of {model.num_blocks} blocks"
        paths[f"{whole}, 8 bits"] = Path(folder) / "int8.onnx"
        quantise(paths[whole], paths[f"{whole}, 8 bits"])
        paths["no network"] = Path(folder) / "nothing.onnx"
        write_nothing(model.encoder.window, sample_rate, paths["no network"])
        if options.gtcrn is not None:
            paths["GTCRN"] = Path(folder) / "gtcrn.onnx"
            write_gtcrn(options.gtcrn, paths["GTCRN"])
        systems = {name: Denoisers(path) for name, path in paths.items()}
        sizes = {name: path.stat().st_size / 1e6 for name, path in paths.items()}
    signal = 0.03 * np.random.default_rng(0).standard_normal(options.seconds * sample_rate)
    signal = signal.astype(np.float32)
    turns = {}
    for name, denoisers in systems.items():
        turns[name, "live"] = lambda run=denoisers.live: run(signal)
        turns[name, "offline"] = lambda run=denoisers.whole: run(signal)
    seconds = best_seconds(turns)
    print("| file | MB | loaded in ms | MB of memory | RTF, live | RTF, offline |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, denoisers in systems.items():
        factors = [seconds[name, kind] / options.seconds for kind in ("live", "offline")]
        print(
            f"| {name} | {sizes[name]:.2f} | {1e3 * denoisers.load_seconds:.0f} | "
            f"{denoisers.megabytes:.1f} | " + " | ".join(f"{f:.4f}" for f in factors) + " |"
        )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
