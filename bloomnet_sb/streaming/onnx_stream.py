"""Streaming from a folder that `bloomnet export` wrote, with onnxruntime and numpy alone.

    python onnx_stream.py noisy.wav enhanced.wav --blocks 2

Copies of this file and of those that it needs, frame_stream.py, depth_switch.py and noisy_share.py,
lie in each such folder. The command takes WAV files of 16 bits and one channel, at the network's
sample rate; of a network with several sources it writes a file for each, enhanced_1.wav and so on.
"""

import argparse
import json
import wave
from pathlib import Path

import numpy as np
import onnxruntime

try:
    from frame_stream import FrameStream, StreamFacts  # beside a copy of this file
except ImportError:
    from bloomnet_sb.streaming.frame_stream import FrameStream, StreamFacts

Values = list[onnxruntime.OrtValue]


class OnnxEngine:
    """Runs an exported network's parts, see `frame_stream.Engine`.

    Arguments
    ---------
    folder : str or Path
        What `bloomnet export` wrote.
    threads : int
        Threads of onnxruntime.
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        folder = Path(folder)
        about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.sample_rate = about["sample_rate"]
        self.facts = StreamFacts(**about["facts"])
        with np.load(folder / "states.npz") as states:
            self._initial = {
                part: [_value(states[f"{part}/{name}"]) for name in names]
                for part, names in about["states"].items()
            }
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._sessions = {
            part: onnxruntime.InferenceSession(
                folder / f"{part}.onnx", options, providers=["CPUExecutionProvider"]
            )
            for part in about["states"]
        }
        self._names = {
            part: [given.name for given in session.get_inputs()]
            for part, session in self._sessions.items()
        }

    def start(self, part: str, batch_size: int) -> Values:
        """What a part carries before the first frame."""
        if batch_size != 1:
            raise ValueError(
                f"batch_size is {batch_size}, but an exported network takes one signal"
            )
        return self._initial[part]

    def enter(self, windows: np.ndarray, state: Values) -> tuple[Values, Values, Values]:
        """The feature, what is shared by all decodes, and the state after these frames."""
        outputs, state = self._run("enter", [_value(np.ascontiguousarray(windows))], state)
        return outputs[:-2], outputs[-2:], state

    def block(self, depth: int, feature: Values, state: Values) -> tuple[Values, Values]:
        """The next feature, and the state after these frames."""
        return self._run(f"block{depth}", feature, state)

    def decode(self, depth: int, feature: Values, shared: Values) -> np.ndarray:
        """The windows of the estimate of `depth` blocks."""
        (windows,), _ = self._run(f"decode{depth}", [*feature, *shared], [])
        return windows.numpy()

    def _run(self, part: str, inputs: Values, state: Values) -> tuple[Values, Values]:
        feed = dict(zip(self._names[part], [*inputs, *state], strict=True))
        outputs = self._sessions[part].run_with_ort_values(None, feed)
        count = len(outputs) - len(state)
        return outputs[:count], outputs[count:]


class OnnxStream(FrameStream):
    """One signal enhanced as it comes by an exported network.

    Arguments
    ---------
    folder : str or Path
        What `bloomnet export` wrote.
    blocks, fade_seconds, wait_seconds, strength, attenuation_limit_db
        As `FrameStream`.
    threads : int
        Threads of onnxruntime.

    Example
    -------
    See `bloomnet_sb.streaming.onnx_export.export_onnx`.
    """

    def __init__(
        self,
        folder: str | Path,
        blocks: int | None = None,
        fade_seconds: float = 0.02,
        wait_seconds: float = 1.0,
        threads: int = 1,
        strength: float = 1.0,
        attenuation_limit_db: float | None = None,
    ):
        engine = OnnxEngine(folder, threads)
        times = (fade_seconds, wait_seconds)
        amount = (strength, attenuation_limit_db)
        super().__init__(engine, engine.sample_rate, blocks, None, *times, *amount)


def _value(array: np.ndarray) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def main() -> None:
    """Enhance a WAV file in chunks of 10 ms."""
    parser = argparse.ArgumentParser()
    parser.add_argument("noisy")
    parser.add_argument("enhanced")
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--attenuation_limit_db", type=float)
    parser.add_argument("--folder", default=Path(__file__).parent)
    options = parser.parse_args()
    stream = OnnxStream(
        options.folder,
        options.blocks,
        strength=options.strength,
        attenuation_limit_db=options.attenuation_limit_db,
    )
    with wave.open(options.noisy, "rb") as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if form != (stream.sample_rate, 1, 2):
            parser.error(
                f"{options.noisy}: {form[0]} Hz, {form[1]} channels, {8 * form[2]} bits; must be "
                f"{stream.sample_rate} Hz, 1 channel, 16 bits"
            )
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    size = stream.sample_rate // 100
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    signal = np.concatenate([*map(stream.process, chunks), stream.flush()])
    sources = [signal] if signal.ndim == 1 else list(signal.T)
    path = Path(options.enhanced)
    for number, source in enumerate(sources, 1):
        name = path if len(sources) == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")
        with wave.open(str(name), "wb") as file:
            file.setparams((1, 2, stream.sample_rate, 0, "NONE", "not compressed"))
            file.writeframes((source.clip(-1, 1) * 32767).round().astype("<i2").tobytes())


if __name__ == "__main__":
    main()
