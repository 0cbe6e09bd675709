"""Exported pages, and their scripts run by Node.js."""

import json
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.nn.levels import RmsLevel
from bloomnet_sb.separators import BandRNNSeparator
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.web.export import export_web
from bloomnet_sb.web.runtime import runtime_archive
from tests.helpers import exports  # noqa: F401
from tests.helpers.networks import conv_tasnet

STATIC = files("bloomnet_sb.web") / "static"
NODE = shutil.which("node")
RATE = 16000


def _band_rnn() -> BloomNet:
    """One whose masks are not near 1, as they are at first, and whose depths so differ."""
    torch.manual_seed(0)
    sizes = {"channels": 8, "entry_channels": 6, "head_channels": (5, 7), "groups": 2}
    separator = BandRNNSeparator(514, RATE, num_bands=81, num_blocks=2, **sizes)
    model = BloomNet(STFTFilterbank(window=512, hop=256), separator).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    return model


# Past frames, a level and running means; a recurrence and an STFT
NETWORKS = {
    "means": lambda: conv_tasnet(
        RmsLevel(50), norm="cgLN", num_blocks=2, layers_per_block=1, causal=True
    ),
    "BandRNN": _band_rnn,
}


@cache
def _archive() -> Path | str:
    """That of onnxruntime-web, or why it cannot be had; it is asked for once."""
    try:
        return runtime_archive()
    except InputError as error:
        return str(error)


def archive() -> Path:
    """The archive of onnxruntime-web; where it cannot be had, the test is skipped, saying why."""
    found = _archive()
    if isinstance(found, str):
        pytest.skip(found)
    return found


_held: list[tempfile.TemporaryDirectory] = []  # which are removed when the tests end


@cache
def page(name: str) -> Path:
    """The exported page of one of `NETWORKS`; it is not to be changed."""
    runtime = archive()
    temporary = tempfile.TemporaryDirectory()
    _held.append(temporary)
    folder = Path(temporary.name) / "page"
    export_web(NETWORKS[name](), RATE, folder, title=name, runtime=runtime)
    return folder


def run_script(code: str, folder: Path, **values):
    """What the body of an async function returns, whose arguments are `values`, by Node.js.

    Scripts of the page are imported from `folder`, which stands for "PAGE/". Arrays come and go as
    {"f32": path}; `read(name)` gives a file of the page, `samples(array)` a Float32Array, and
    `keep(name, array)` an array to give back.
    """
    with tempfile.TemporaryDirectory() as temporary:
        given = {key: _written(value, Path(temporary) / key) for key, value in values.items()}
        source = f"""
        import {{ readFile, writeFile }} from "node:fs/promises";
        const [page, kept] = {json.dumps([str(folder), temporary])};
        const bytes = async (path) => new Uint8Array(await readFile(path));
        const read = (name) => bytes(page + "/" + name);
        const samples = async ({{ f32 }}) => new Float32Array((await bytes(f32)).buffer);
        const keep = async (name, array) => {{
          const path = kept + "/" + name;
          await writeFile(path, new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
          return {{ f32: path }};
        }};
        const run = async ({{ {", ".join(given)} }}) => {{ {code} }};
        console.log(JSON.stringify(await run({json.dumps(given)})));
        """
        script = Path(temporary) / "script.mjs"
        script.write_text(source.replace("PAGE/", f"{folder.as_uri()}/"), encoding="utf-8")
        assert NODE is not None
        result = subprocess.run([NODE, script], capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        return _read(json.loads(result.stdout.splitlines()[-1]))


def _written(value, path: Path):
    if not isinstance(value, np.ndarray):
        return value
    value.astype(np.float32).tofile(path)
    return {"f32": str(path)}


def _read(value):
    if isinstance(value, dict) and set(value) == {"f32"}:
        return np.fromfile(value["f32"], np.float32)
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    return [_read(item) for item in value] if isinstance(value, list) else value
