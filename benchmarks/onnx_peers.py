"""Other networks' ONNX streams at 16 kHz, window 512, hop 256, to be heard beside ours.

GTCRN (Rong et al., ICASSP 2024) and UL-UNAS (Rong et al., arXiv 2503.00340) take and give a frame
of the spectrum, FastEnhancer (Ahn et al., arXiv 2509.21867) samples. Each has its caches as inputs
and outputs; which network a file is, the names of its inputs say. The files are on the authors'
pages.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.nn import functional as F

from bloomnet_sb.utils.errors import InputError

SAMPLE_RATE = 16000
WINDOW, HOP = 512, 256


class OnnxPeer:
    """A network from an ONNX file.

    Arguments
    ---------
    path : str
        The file.

    Raises
    ------
    InputError
        If it is missing, or its inputs are those of no network that is known here.
    """

    def __init__(self, path: str):
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self.fingerprint = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]
        # The signal comes first, then the caches; so they do in the outputs.
        self.signal, *self.caches = ((i.name, i.shape) for i in self.session.get_inputs())
        names = {self.signal[0], *(name for name, _ in self.caches)}
        if "wav_in" in names:
            self._enhance = self._by_samples
        elif "tra_cache" in names:  # GTCRN
            self.window, self._enhance = torch.hann_window(WINDOW).sqrt(), self._by_spectrum
        elif "tfa_cache" in names:  # UL-UNAS
            self.window, self._enhance = torch.hann_window(WINDOW), self._by_spectrum
        else:
            raise InputError(
                f"{path} has the inputs {', '.join(sorted(names))}, but those of GTCRN, UL-UNAS or "
                "FastEnhancer are needed"
            )

    def enhance(self, mix: torch.Tensor) -> torch.Tensor:
        """Enhance a whole signal [time]; the result is as long, and not delayed."""
        gain = 1 / mix.abs().max().clamp(min=1)  # they were trained on peaks of at most 1
        return self._enhance(gain * mix) / gain

    def _by_samples(self, mix: torch.Tensor) -> torch.Tensor:
        padded = F.pad(mix, (HOP, WINDOW + -len(mix) % HOP))
        hops = self._run([window.numpy()[None] for window in padded.unfold(0, WINDOW, HOP)])
        # What comes out belongs to the first half of a window.
        return torch.from_numpy(np.concatenate(hops, axis=-1))[0, HOP : HOP + len(mix)]

    def _by_spectrum(self, mix: torch.Tensor) -> torch.Tensor:
        padded = F.pad(mix, (0, WINDOW))
        how = {"n_fft": WINDOW, "hop_length": HOP, "window": self.window}
        spectrum = torch.stft(padded, **how, pad_mode="constant", return_complex=True)
        frames = torch.view_as_real(spectrum)[None].split(1, dim=2)
        enhanced = np.concatenate(self._run([frame.numpy() for frame in frames]), axis=2)
        spectrum = torch.view_as_complex(torch.from_numpy(enhanced[0]).contiguous())
        return torch.istft(spectrum, **how, length=len(padded))[: len(mix)]

    def _run(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        """What comes out of each frame, the caches handed on."""
        caches = [np.zeros(shape, np.float32) for _, shape in self.caches]
        names = [self.signal[0], *(name for name, _ in self.caches)]
        out = []
        for frame in frames:
            enhanced, *caches = self.session.run(
                None, dict(zip(names, [frame, *caches], strict=True))
            )
            out.append(enhanced)
        return out
