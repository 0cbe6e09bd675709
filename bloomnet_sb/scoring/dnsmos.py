"""The overall score of DNSMOS (Reddy et al., 2022, arXiv 2110.01763), by speechmos."""

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from speechmos import dnsmos  # takes seconds: it imports librosa

MODEL = Path(dnsmos.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"


class OverallDNSMOS(dnsmos.DNSMOS):
    """speechmos's DNSMOS without its score of P.808, which nothing here asks for.

    The features of that one are librosa's, for which numba compiles, half a minute the first time,
    and its network takes a quarter of the time of the whole.
    """

    def __init__(self) -> None:
        self.onnx_sess = onnxruntime.InferenceSession(MODEL)
        self.p808_onnx_sess = self

    def audio_melspec(self, audio: np.ndarray, **_) -> np.ndarray:
        """No features."""
        return np.zeros((1, 1))

    def run(self, *_) -> list:
        """No score, in the form in which it is looked up."""
        return [[[np.nan]]]


def overall_score(signal: np.ndarray, sample_rate: int) -> float:
    """The overall score of a signal, from 1 to 5.

    Arguments
    ---------
    signal : numpy.ndarray
        [time], from -1 to 1.
    sample_rate : int
        16000.

    Example
    -------
    >>> noise = np.random.default_rng(0).uniform(-0.1, 0.1, 16000).astype(np.float32)
    >>> 1 < overall_score(noise, 16000) < 2
    True
    """
    return float(_network()(signal, sample_rate, False)["ovrl_mos"])


@cache
def _network() -> OverallDNSMOS:
    return OverallDNSMOS()
