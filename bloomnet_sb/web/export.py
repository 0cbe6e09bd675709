"""A folder for any static server: an exported network, its runtime and a page that plays it."""

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from bloomnet_sb.model import BloomNet
from bloomnet_sb.streaming.onnx_export import MANIFEST, STATES, export_onnx
from bloomnet_sb.utils.atomic_files import folder_written_whole
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.web.runtime import LOCK, runtime_archive, write_runtime

ABOUT = "web.json"
NETWORK, RUNTIME = "network", "runtime"
# Typed arrays of JavaScript begin at multiples of their size.
ALIGNMENT = 8


def export_web(
    model: BloomNet,
    sample_rate: int,
    folder: str | Path,
    int8: bool = False,
    title: str = "BLOOM-Net",
    runtime: str | Path | None = None,
) -> None:
    """Write a page that enhances a microphone or a file in the browser, at a depth that is set.

    The folder gets index.html with its scripts, web.json (what they have to know), network/ (what
    `export_onnx` writes, which streams in Python too, and states.bin) and runtime/
    (onnxruntime-web). It is served as it is, from localhost or by https.

    Arguments
    ---------
    model : BloomNet
        A causal network of one source in evaluation mode.
    sample_rate : int
        Its sample rate, in Hz.
    folder : str or Path
        Where the files go; it must not exist, or be empty.
    int8 : bool
        As `export_onnx`.
    title : str
        The name of the network, for the page.
    runtime : str or Path, optional
        The archive of onnxruntime-web, see `bloomnet_sb.web.runtime.runtime_archive`.

    Raises
    ------
    InputError
        If the network is not causal or has several sources, the folder is not empty, or
        onnxruntime-web or the packages of the extra `export` are not to be had.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=1, norm="BN", causal=False)
    >>> model = BloomNet(LearnedFilterbank(16, 32), separator).eval()
    >>> export_web(model, 16000, Path(getfixture("tmpdir")) / "page", runtime="missing.tgz")
    Traceback (most recent call last):
    bloomnet_sb.utils.errors.InputError: missing.tgz: no such file
    """
    if model.num_sources > 1:
        raise InputError(
            f"a page is for enhancement, and this network separates {model.num_sources} sources"
        )
    with folder_written_whole(folder) as partial:
        archive = runtime_archive(runtime)
        export_onnx(model, sample_rate, partial / NETWORK, int8)
        _write_about(partial, title)
        write_runtime(archive, partial / RUNTIME)
        _write_static(partial)


def _write_about(page: Path, title: str) -> None:
    """What the page has to know, and the states at the start, one after the other."""
    manifest = json.loads((page / NETWORK / MANIFEST).read_text(encoding="utf-8"))
    states: dict[str, list[dict[str, Any]]] = {}
    data = bytearray()
    with np.load(page / NETWORK / STATES) as arrays:
        for part, names in manifest["states"].items():
            states[part] = []
            for name in names:
                array = arrays[f"{part}/{name}"]
                data += bytes(-len(data) % ALIGNMENT)
                about = {"kind": str(array.dtype), "dims": array.shape, "offset": len(data)}
                states[part].append(about)
                data += array.tobytes()
    (page / NETWORK / "states.bin").write_bytes(data)
    about = {
        "title": title,
        "sample_rate": manifest["sample_rate"],
        "facts": manifest["facts"],
        "controls": _controls(manifest["facts"]),
        "states": states,
        "runtime": f"{LOCK['name']} {LOCK['version']} ({LOCK['license']})",
        "bytes": _loaded_bytes(page, states),
    }
    (page / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _controls(facts: dict[str, Any]) -> list[str]:
    """What a visitor may set: there is no depth to choose of one block."""
    depth = ["depth", "auto"] if facts["num_blocks"] > 1 else []
    return depth + (["strength", "limit"] if facts["num_sources"] == 1 else [])


def _loaded_bytes(page: Path, parts: dict[str, Any]) -> int:
    """What the page loads of the network."""
    names = ["states.bin", *(f"{part}.onnx" for part in parts)]
    return sum((page / NETWORK / name).stat().st_size for name in names)


def _write_static(page: Path) -> None:
    with as_file(files("bloomnet_sb.web") / "static") as static:
        shutil.copytree(static, page, dirs_exist_ok=True)
    # The look of the page that compares recordings, on which live.css builds
    with as_file(files("bloomnet_sb.page") / "static" / "page.css") as style:
        shutil.copyfile(style, page / "page.css")
