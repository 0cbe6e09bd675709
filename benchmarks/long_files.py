"""Memory and time that `enhance_file` takes for a long file, beside a short one.

    python benchmarks/long_files.py --hours 2

Random weights: Conv-TasNet at the paper's setting, and smaller networks with a causal Conv-TasNet
(cgLN), DPRNN and SepFormer. Each file is enhanced in a process of its own, whose peak memory is
what Linux calls VmHWM. The audio repeats a sample of tests/samples.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import soundfile as sf
from options import parser_of
from timing import seconds_of

SAMPLE = Path(__file__).parent.parent / "tests/samples/demo/noisy_0dB.flac"
NETWORKS = ["Conv-TasNet", "Conv-TasNet, causal", "DPRNN", "SepFormer"]


def make_network(name: str):
    """The network of a name in `NETWORKS`."""
    from bloomnet_sb import BloomNet
    from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    from bloomnet_sb.separators import ConvTasNetSeparator, DPRNNSeparator, SepFormerSeparator

    if name == "DPRNN":
        return BloomNet(LearnedFilterbank(64, 32), DPRNNSeparator(64, 32, 32, 64, 2))
    if name == "SepFormer":
        return BloomNet(LearnedFilterbank(64, 32), SepFormerSeparator(64, 32, 64, 4, 1, 64, 2))
    if name == "Conv-TasNet, causal":
        separator = ConvTasNetSeparator(256, 64, 128, 3, 4, 4, norm="cgLN", causal=True)
        return BloomNet(LearnedFilterbank(256, 32), separator)
    return BloomNet(LearnedFilterbank(512, 16), ConvTasNetSeparator(dilation_cycle=6))


def write_audio(path: Path, seconds: float) -> None:
    """Write a file that repeats the sample."""
    samples, rate = sf.read(SAMPLE, dtype="float32")
    with sf.SoundFile(path, "w", rate, 1) as file:
        left = round(seconds * rate)
        while left > 0:
            file.write(samples[:left])
            left -= len(samples[:left])


def enhance(name: str, path: str) -> None:
    """Enhance a file in this process; print seconds and peak memory in MB."""
    from bloomnet_sb import BloomEnhancer

    enhancer = BloomEnhancer({"model": make_network(name)}, {"sample_rate": 16000})
    seconds = seconds_of(enhancer.enhance_file, path, f"{path}.out.flac")
    status = Path("/proc/self/status").read_text()
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    print(seconds, int(peak) / 1e3)


def measure(name: str, path: Path) -> np.ndarray:
    """Seconds and MB of a process that enhances the file."""
    command = [sys.executable, "-W", "ignore", __file__, "--network", name, "--file", str(path)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return np.array([float(figure) for figure in output.split()])


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="length of the long file")
    # What a process of its own does
    parser.add_argument("--network", choices=NETWORKS, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        enhance(options.network, options.file)
        return
    print("| network | MB for 10 s | MB more | seconds for a second of audio |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.flac", Path(folder) / "long.flac"
        write_audio(short, 10)
        write_audio(long, options.hours * 3600)
        for name in NETWORKS:
            _, before = measure(name, short)
            seconds, after = measure(name, long)
            factor = seconds / (options.hours * 3600)
            print(f"| {name} | {before:.0f} | {after - before:.0f} | {factor:.3f} |", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
