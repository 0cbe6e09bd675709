"""Streaming from a folder that `bloomnet export` wrote, with onnxruntime and numpy alone.

    python onnx_stream.py noisy.wav enhanced.wav --blocks 2

Copies of this file and of those that it needs, frame_stream.py, depth_switch.py, noisy_share.py and
wav_files.py, lie in each such folder. The command takes WAV files of one channel, at the network's
sample rate, and writes 16 bits or, for floats, floats; of a network with several sources it writes
a file for each, enhanced_1.wav and so on. It overwrites what is there with --force only, and never
its input.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

if __package__ == "bloomnet_sb.streaming":
    from bloomnet_sb.streaming.frame_stream import FrameStream, StreamFacts
    from bloomnet_sb.streaming.wav_files import Wav, read_wav, write_wav
else:  # this is a copy in an exported folder, with copies of these beside it
    from frame_stream import FrameStream, StreamFacts  # type: ignore[no-redef]
    from wav_files import Wav, read_wav, write_wav  # type: ignore[no-redef]

Values = list[onnxruntime.OrtValue]


class OnnxEngine:
    """Runs an exported network's parts, see `frame_stream.Engine`.

    Arguments
    ---------
    folder : str or Path
        What `bloomnet export` wrote.
    threads : int
        Threads of onnxruntime.

    Raises
    ------
    FileNotFoundError
        If the folder is none of those, or a file of it is missing.
    ValueError
        If one is damaged.
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        folder = Path(folder)
        if not (folder / "manifest.json").is_file():
            raise FileNotFoundError(f"{folder}: no folder that `bloomnet export` wrote")
        with _naming(folder / "manifest.json"):
            about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            self.sample_rate, parts = about["sample_rate"], about["states"]
            self.facts = StreamFacts(**about["facts"])
        with _naming(folder / "states.npz"), np.load(folder / "states.npz") as states:
            self._initial = {
                part: [_value(states[f"{part}/{name}"]) for name in names]
                for part, names in parts.items()
            }
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._sessions = {part: _session(folder / f"{part}.onnx", options) for part in parts}
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


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name a file of the network that cannot be read, or is not what was written there."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise FileNotFoundError(f"{file}: cannot be read ({reason})") from None
    except Exception as error:  # of several libraries, by what is damaged
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{file} is damaged ({reason}): export the network anew") from None


def _session(file: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    with _naming(file):
        return onnxruntime.InferenceSession(
            file.read_bytes(), options, providers=["CPUExecutionProvider"]
        )


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
    parser.add_argument("--force", action="store_true", help="overwrite files that are there")
    options = parser.parse_args()
    try:
        stream = OnnxStream(
            options.folder,
            options.blocks,
            strength=options.strength,
            attenuation_limit_db=options.attenuation_limit_db,
        )
        wav = _read(options.noisy, stream.sample_rate)
        names = _names(Path(options.enhanced), stream.facts.num_sources)
        _check_new(options.noisy, names, options.force)
        sources = _enhanced(stream, wav.samples[:, 0])
        for name, source in zip(names, sources, strict=True):
            _warn_of_clipping(name, source, wav.is_float)
            write_wav(name, source[:, None], wav.rate, wav.is_float)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))


def _read(path: str, sample_rate: int) -> Wav:
    wav = read_wav(path)
    channels = wav.samples.shape[1]
    if (wav.rate, channels) != (sample_rate, 1):
        raise ValueError(
            f"{path}: {wav.rate} Hz, {channels} channels; must be {sample_rate} Hz, 1 channel"
        )
    if not (abs(wav.samples) <= 1e12).all():
        raise ValueError(f"{path}: holds NaN, infinite or absurdly large samples")
    return wav


def _names(path: Path, sources: int) -> list[Path]:
    if path.suffix.lower() not in (".wav", ".wave"):
        raise ValueError(f"{path}: the result is a WAV file, and so must be its name")
    if sources == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{n}{path.suffix}") for n in range(1, sources + 1)]


def _check_new(noisy: str, names: list[Path], force: bool) -> None:
    for name in names:
        if name.exists() and os.path.samefile(noisy, name):
            raise ValueError(f"{name}: is the input; its result would be written over it")
        if os.path.lexists(name) and not force:
            raise ValueError(f"{name}: is there already; with --force it is overwritten")


def _enhanced(stream: OnnxStream, samples: np.ndarray) -> list[np.ndarray]:
    """Each source of a signal, in chunks of 10 ms."""
    size = stream.sample_rate // 100
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    signal = np.concatenate([*map(stream.process, chunks), stream.flush()])
    return [signal] if signal.ndim == 1 else list(signal.T)


def _warn_of_clipping(name: Path, source: np.ndarray, is_float: bool) -> None:
    clipped = int((abs(source) > 1).sum())
    if clipped and not is_float:
        print(f"{name}: {clipped} samples beyond full scale are clipped", file=sys.stderr)


if __name__ == "__main__":
    main()
