"""Damaged and strange audio: a right result or one clear line, whatever the file holds.

    python -m tests.faults.fuzz_audio [--cases 10000] [--minutes 10] [--seed 0]

Mutates small files of every format that libsndfile writes, enhances each with a small network, and
feeds streams chunks of any shape, type and value. Prints every finding and keeps its file; exits
with 1 if there is one.
"""

import io
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.utils.audio_files import audio_info
from bloomnet_sb.utils.errors import InputError
from tests.faults.fuzzing import Check, main, mutated
from tests.helpers.networks import conv_tasnet

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST", "VOC")
RATES = (1, 8000, 11025, 16000, 44100, 48000, 384_000, 15_991)
SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".caf", ".mp3", ".xyz")
CHANNELS = (1, 2, 3, 64)
CHUNK_TYPES = (torch.float32, torch.float32, torch.float64, torch.float16, torch.int16)
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


def enhance(enhancer: BloomEnhancer, path: Path, output: Path) -> str | None:
    """What is wrong with the result for a file, if anything."""
    try:
        enhancer.enhance_file(path, output)
    except InputError as error:
        if not str(error).startswith((str(path), str(output))) or "\n" in str(error):
            return f"not one line that names the file: {error}"
        return "a refused file has a result" if output.exists() else None
    written, read = audio_info(output), audio_info(path)
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
        chunk = chunk.to(CHUNK_TYPES[rng.integers(len(CHUNK_TYPES))])
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


def prepare() -> Check:
    """A check of a damaged file, and of a stream, with two small networks in turn."""
    networks = (conv_tasnet(), conv_tasnet(norm="BN", causal=True))
    enhancers = [BloomEnhancer({"model": net}, {"sample_rate": 16000}) for net in networks]

    def check(case: Path, rng: np.random.Generator) -> str | None:
        suffix, data = whole_file(rng)
        path, output = case / f"in{suffix}", case / "out" / f"out{rng.choice(SUFFIXES)}"
        path.write_bytes(mutated(data, rng))
        output.parent.mkdir()
        found = enhance(enhancers[rng.integers(2)], path, output) or feed(enhancers[1], rng)
        return found or ("left a file half written" if list(case.glob("out/.*")) else None)

    return check


if __name__ == "__main__":
    main(prepare, "files")
