"""Pages of made-up estimates, and what is in a page."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from bloomnet_sb.page.html import Written, write_page
from bloomnet_sb.page.recordings import Network, Recording, make_recording
from bloomnet_sb.scoring.costs import DepthProfile
from tests.helpers.recipes import SAMPLES

RATE = 16000
NETWORK = Network("mine", [DepthProfile(n, 1000 * n, 2_000_000 * n, 0.01 * n) for n in (1, 2, 3)])


def demo(kind: str, seconds: float = 1.5) -> torch.Tensor:
    """[time] of "noisy" or "clean", from 1 s on."""
    path = SAMPLES / "demo" / f"{kind}_0dB.flac"
    samples, _ = sf.read(path, int(seconds * RATE), RATE, dtype="float32")
    return torch.from_numpy(samples)


def demo_estimates(scale: float = 1.0, seconds: float = 1.5) -> dict[int, torch.Tensor]:
    """Three depths that keep less and less of the noise, at levels of their own."""
    noisy, clean = demo("noisy", seconds), demo("clean", seconds)
    return {n: scale * n * (clean + (noisy - clean) / (2 * n))[:, None] for n in (1, 2, 3)}


def demo_recording(name: str = "street", scale: float = 1.0, **options) -> Recording:
    """A recording with clean speech and one network."""
    noisy, clean = scale * demo("noisy"), scale * demo("clean")[:, None]
    return make_recording(name, RATE, noisy, [demo_estimates(scale)], clean, **options)


def demo_page(path: Path, *recordings: Recording) -> Written:
    """A page of recordings of one network; of two streets by default."""
    chosen = recordings or (demo_recording(), demo_recording("another street", 0.5))
    return write_page(chosen, [NETWORK], path, "Hear it")


def data_of(path: Path) -> dict:
    """What a page's script is given."""
    (text,) = re.findall(r"^const PAGE = (.*);$", path.read_text(), flags=re.MULTILINE)
    return json.loads(text)


def sound_of(track: dict) -> tuple[np.ndarray, int, str]:
    """A track's samples [time], rate and format."""
    data = base64.b64decode(track["file"])
    samples, rate = sf.read(io.BytesIO(data), dtype="float64")
    return samples, rate, sf.info(io.BytesIO(data)).format


def check_colour_schemes(page) -> None:
    """An open page is dark on light, or light on dark, as its visitor wants it."""
    page.emulate_media(color_scheme="light")
    ink, paper = _body_colours(page)
    assert ink < 60 and paper > 240
    page.emulate_media(color_scheme="dark")
    ink, paper = _body_colours(page)
    assert ink > 200 and paper < 40


def _body_colours(page) -> list[int]:
    """How red the text and the ground of an open page are, from 0 to 255: how dark or light."""
    styles = "[getComputedStyle(document.body)].flatMap((s) => [s.color, s.backgroundColor])"
    return [int(text.split("(")[1].split(",")[0]) for text in page.evaluate(styles)]
