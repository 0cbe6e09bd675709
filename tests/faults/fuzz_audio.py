"""Damaged and strange audio: a right result or one clear line, whatever the file holds.

    python -m tests.faults.fuzz_audio [--files 10000] [--minutes 10] [--seed 0]

Mutates small files of every format that libsndfile writes, enhances each with a small network, and
feeds streams chunks of any shape, type and value. Prints every finding and keeps its file; exits
with 1 if there is one. Each batch of files has a process of its own, with a limit of memory and of
time for each file, so that a crash is a finding too.
"""

import argparse
import faulthandler
import io
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.errors import InputError
from tests.conftest import make_model

BATCH = 100
MEMORY = 6 * 2**30
SECONDS_EACH = 60
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST", "VOC")
RATES = (1, 8000, 11025, 16000, 44100, 48000, 384_000, 15_991)
SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".caf", ".mp3", ".xyz")
CHANNELS = (1, 2, 3, 64)
CHUNK_TYPES = (torch.float32, torch.float32, torch.float64, torch.float16, torch.int16)
SPECIAL_INTEGERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SPECIAL_VALUES = (0.0, 1e-42, -1e-42, 1.0, -1.0, 1e3, 1e11, 1e13, 3e38, np.inf, np.nan)


def whole_file(rng: np.random.Generator) -> tuple[str, bytes]:
    """The suffix and bytes of a small file of some format, type, rate and number of channels."""
    while True:
        form = str(rng.choice(FORMATS))
        subtype = str(rng.choice(list(sf.available_subtypes(form))))
        rate, channels = int(rng.choice(RATES)), int(rng.choice(CHANNELS))
        if form == "OGG" and rate > 200_000:
            continue  # libsndfile itself crashes
        samples = 0.1 * rng.standard_normal((int(rng.integers(0, 3000)), channels))
        if subtype in ("FLOAT", "DOUBLE") and rng.random() < 0.5:
            spoilt = rng.integers(0, samples.size + 1, size=3)
            samples.flat[spoilt[spoilt < samples.size]] = rng.choice(SPECIAL_VALUES)
        try:
            sf.write(file := io.BytesIO(), samples, rate, subtype, format=form)
        except (sf.SoundFileError, ValueError):
            continue  # not every format has every rate, type and number of channels
        return f".{form.lower()}", file.getvalue()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with up to six mutations, most of them in the header."""
    data = bytearray(data)
    for _ in range(rng.integers(0, 7)):
        at = int(rng.integers(0, min(len(data), 128 if rng.random() < 0.7 else len(data)) + 1))
        kind = rng.integers(0, 6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            size = int(rng.choice([1, 2, 4]))
            value = int(rng.choice(SPECIAL_INTEGERS)) % 2 ** (8 * size)
            data[at : at + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 64))]
        elif kind == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == 4:
            data[at : at + 16] = rng.bytes(16)
        else:
            del data[at:]
    return bytes(data)


def enhance(enhancer: BloomEnhancer, path: Path, output: Path) -> str | None:
    """What is wrong with the result for a file, if anything."""
    try:
        enhancer.enhance_file(path, output)
    except InputError as error:
        if not str(error).startswith((str(path), str(output))) or "\n" in str(error):
            return f"not one line that names the file: {error}"
        return "a refused file has a result" if output.exists() else None
    written, read = sf.info(str(output)), sf.info(str(path))
    if (written.frames, written.channels) != (read.frames, read.channels):
        return f"{written.frames} frames of {written.channels} channels for {read}"
    samples = sf.read(str(output), dtype="float64")[0]
    return None if np.isfinite(samples).all() else "the result holds NaN"


def feed(enhancer: BloomEnhancer, rng: np.random.Generator) -> str | None:
    """What is wrong with a stream that is fed chunks of any form, if anything."""
    stream, received, returned = enhancer.stream(), 0, 0
    for _ in range(8):
        shape = tuple(rng.integers(0, 300, size=rng.choice([0, 1, 1, 1, 1, 2])))
        chunk = torch.from_numpy(np.asarray(0.1 * rng.standard_normal(shape)))
        chunk = chunk.to(
            [torch.float32, torch.float64, torch.float16, torch.int16][rng.integers(4)]
        )
        if chunk.numel() and chunk.is_floating_point() and rng.random() < 0.3:
            chunk.view(-1)[0] = rng.choice(SPECIAL_VALUES)
        stream.blocks = int(rng.integers(1, enhancer.num_blocks + 1))
        try:
            ready = stream.process(chunk)
        except InputError:
            continue
        received, returned = received + len(chunk), returned + len(ready)
        if not torch.isfinite(ready).all():
            return f"a chunk of {chunk.dtype} {shape} gave NaN"
    returned += len(stream.flush())
    return None if returned == received else f"{returned} samples for {received}"


def run_batch(seed: int, kept: Path) -> None:
    """Try a batch; write what is found to `kept`."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    faulthandler.enable()  # a crash says where
    torch.set_num_threads(1)
    rng, model = np.random.default_rng(seed), make_model()
    causal = make_model(norm="BN", causal=True)
    enhancers = [BloomEnhancer({"model": net}, {"sample_rate": 16000}) for net in (model, causal)]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(BATCH):
            suffix, data = whole_file(rng)
            path = kept / f"{seed}_{number}{suffix}"
            path.write_bytes(mutated(data, rng))
            output = Path(folder) / f"{number}{rng.choice(SUFFIXES)}"
            signal.alarm(SECONDS_EACH)  # ends this process: what is left in `kept` was tried last
            try:
                found = enhance(enhancers[number % 2], path, output) or feed(enhancers[1], rng)
            except Exception as error:  # anything but an InputError is a finding
                found = f"{type(error).__name__}: {error}"
            signal.alarm(0)
            if found is None and list(Path(folder).glob(".*")):
                found = "left a file half written"
            if found is None:
                path.unlink()
                continue
            path.with_suffix(".txt").write_text(found)


def fuzz(files: int, minutes: float, seed: int, kept: Path) -> tuple[int, list[str]]:
    """The number of files tried, and the findings, a line each."""
    kept.mkdir(parents=True, exist_ok=True)
    tried, findings, end = 0, [], time.monotonic() + 60 * minutes
    context = multiprocessing.get_context("spawn")
    while tried < files and time.monotonic() < end:
        process = context.Process(target=run_batch, args=(seed, kept))
        process.start()
        process.join()
        for note in sorted(kept.glob(f"{seed}_*.txt")):
            findings.append(f"{note.stem}: {note.read_text()}")
        if process.exitcode != 0:
            tried_last = [path for path in kept.glob(f"{seed}_*") if path.suffix != ".txt"]
            last = max(tried_last, key=lambda path: path.stat().st_mtime, default=seed)
            findings.append(f"{last}: the process ended with {process.exitcode}")
        tried, seed = tried + BATCH, seed + 1
    return tried, findings


def main() -> None:
    """Fuzz, print the findings, and say how many there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path("fuzz_findings"))
    options = parser.parse_args()
    tried, findings = fuzz(options.files, options.minutes, options.seed, options.kept)
    print("\n".join([*findings, f"{tried} files, {len(findings)} findings"]))
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
