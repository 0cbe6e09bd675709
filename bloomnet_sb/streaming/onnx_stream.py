"""Streaming from a folder that `bloomnet export` wrote, with onnxruntime and numpy alone.

    python onnx_stream.py noisy.wav enhanced.wav --blocks 2

A copy of this file and of depth_switch.py lies in each such folder. The command takes WAV files of
16 bits and one channel, at the network's sample rate.
"""

import argparse
import json
import wave
from pathlib import Path

import numpy as np
import onnxruntime

try:
    from depth_switch import DepthSwitch  # beside a copy of this file
except ImportError:
    from bloomnet_sb.streaming.depth_switch import DepthSwitch


class OnnxStream:
    """One signal enhanced as it comes; as `bloomnet_sb.streaming.stream.Stream`, on numpy arrays.

    Arguments
    ---------
    folder : str or Path
        What `bloomnet export` wrote.
    blocks : int, optional
        How many blocks run. Default: all.
    fade_seconds : float
        Length of a cross-fade between two numbers of blocks.
    threads : int
        Threads of onnxruntime.

    Example
    -------
    See `bloomnet_sb.streaming.onnx_export.export_onnx`.
    """

    def __init__(self, folder, blocks=None, fade_seconds: float = 0.02, threads: int = 1):
        folder = Path(folder)
        self.about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.kernel_size, self.stride = self.about["kernel_size"], self.about["stride"]
        with np.load(folder / "states.npz") as states:
            self._initial = {name: _value(state) for name, state in states.items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._sessions = {
            name: onnxruntime.InferenceSession(
                folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"]
            )
            for name in self.about["inputs"]
        }
        self._switch = DepthSwitch(
            self.about["reaches"],
            self.about["num_blocks"],
            self.kernel_size,
            self.stride,
            max(round(fade_seconds * self.about["sample_rate"]), 1),
        )
        self.blocks = self.about["num_blocks"] if blocks is None else blocks
        self.reset()

    @property
    def blocks(self) -> int:
        """How many blocks were asked for; may be set at any time."""
        return self._switch.target

    @blocks.setter
    def blocks(self, blocks: int) -> None:
        if not 1 <= blocks <= self.about["num_blocks"]:
            raise ValueError(
                f"blocks is {blocks}, but this network has 1 to {self.about['num_blocks']} blocks"
            )
        self._switch.target = blocks

    def reset(self) -> None:
        """Forget the signal; the next chunk is the start of another."""
        self._states = dict(self._initial)
        self._waiting = np.zeros(0, np.float32)
        self._tail = np.zeros(self.kernel_size - self.stride, np.float32)
        self._received = self._returned = 0
        self._switch.restart()

    def process(self, chunk: np.ndarray) -> np.ndarray:
        """Enhance the next chunk [time], float32; gives the samples that are ready."""
        self._waiting = np.concatenate([self._waiting, chunk.astype(np.float32, copy=False)])
        self._received += len(chunk)
        ready = [np.zeros(0, np.float32)]
        while (count := (len(self._waiting) - self.kernel_size) // self.stride + 1) > 0:
            frames = min(count, self._switch.next_frames(), self.about["most_frames"])
            for depth in self._switch.restarted:
                names = self.about["states"][f"block{depth}"]
                self._states |= {n: self._initial[n] for n in (f"block{depth}/{n}" for n in names)}
            windows = np.lib.stride_tricks.sliding_window_view(self._waiting, self.kernel_size)
            ready.append(self._overlap_add(self._estimate(windows[:: self.stride][:frames])))
            self._waiting = self._waiting[frames * self.stride :]
            self._switch.frame += frames
        self._returned += sum(map(len, ready))
        return np.concatenate(ready)

    def flush(self) -> np.ndarray:
        """End the signal, and reset; gives the samples that `process` held back."""
        missing = self._received - self._returned
        first_frame = self._switch.frame == 0 and self._received > 0
        padding = self.kernel_size - len(self._waiting)
        pad = padding if first_frame or (self.about["pad_input"] and padding < self.stride) else 0
        tail = [self.process(np.zeros(pad, np.float32)), self._tail, np.zeros(missing, np.float32)]
        self.reset()
        return np.concatenate(tail)[:missing]

    def _run(self, graph: str, *inputs):
        """Run a graph on its inputs, and carry its states."""
        names = [f"{graph}/{name}" for name in self.about["states"][graph]]
        session = self._sessions[graph]
        values = [*inputs, *(self._states[name] for name in names)]
        feed = {
            given.name: value for given, value in zip(session.get_inputs(), values, strict=True)
        }
        outputs = session.run_with_ort_values(None, feed)
        first_state = len(outputs) - len(names)
        self._states.update(zip(names, outputs[first_state:], strict=True))
        return outputs[:first_state]

    def _estimate(self, windows: np.ndarray) -> np.ndarray:
        features, state = self._run("enter", _value(np.ascontiguousarray(windows[None])))
        switch, estimates = self._switch, {}
        for depth in range(1, switch.running + 1):
            (state,) = self._run(f"block{depth}", state)
            if depth in (switch.heard, switch.fading_to):
                (estimate,) = self._run(f"decode{depth}", state, features)
                estimates[depth] = estimate.numpy()[0]
        heard = estimates[switch.heard]
        if switch.fading_to is None:
            return heard
        since = np.arange(len(heard))[:, None] * self.stride + np.arange(self.kernel_size)
        since = since + switch.samples_since_fade_start + 0.5
        share = 0.5 - 0.5 * np.cos(np.pi * np.clip(since / switch.fade_samples, 0, 1))
        return heard + share.astype(np.float32) * (estimates[switch.fading_to] - heard)

    def _overlap_add(self, windows: np.ndarray) -> np.ndarray:
        complete = len(windows) * self.stride
        signal = np.zeros(complete + len(self._tail), np.float32)
        signal[: len(self._tail)] = self._tail
        for number, window in enumerate(windows):
            signal[number * self.stride :][: self.kernel_size] += window
        self._tail = signal[complete:]
        return signal[:complete]


def _value(array: np.ndarray) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def main() -> None:
    """Enhance a WAV file in chunks of 10 ms."""
    parser = argparse.ArgumentParser()
    parser.add_argument("noisy")
    parser.add_argument("enhanced")
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--folder", default=Path(__file__).parent)
    options = parser.parse_args()
    stream = OnnxStream(options.folder, options.blocks)
    with wave.open(options.noisy, "rb") as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if form != (stream.about["sample_rate"], 1, 2):
            parser.error(
                f"{options.noisy}: {form[0]} Hz, {form[1]} channels, {8 * form[2]} bits; must be "
                f"{stream.about['sample_rate']} Hz, 1 channel, 16 bits"
            )
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    size = stream.about["sample_rate"] // 100
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    enhanced = np.concatenate([*map(stream.process, chunks), stream.flush()])
    with wave.open(options.enhanced, "wb") as file:
        file.setparams((1, 2, stream.about["sample_rate"], 0, "NONE", "not compressed"))
        file.writeframes((enhanced.clip(-1, 1) * 32767).round().astype("<i2").tobytes())


if __name__ == "__main__":
    main()
