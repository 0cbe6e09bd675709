"""ONNX files of a causal Conv-TasNet, to stream with at any depth without torch."""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.streaming import depth_switch, onnx_stream
from bloomnet_sb.streaming.framewise import FramewiseNet
from bloomnet_sb.streaming.graphs import MOST_FRAMES, Graph, graphs_of
from bloomnet_sb.utils.errors import InputError

MANIFEST = "manifest.json"
STATES = "states.npz"


def export_onnx(model: BloomNet, sample_rate: int, folder: str | Path, int8: bool = False) -> None:
    """Write a network as ONNX, with the state of a stream as explicit inputs and outputs.

    The folder gets enter.onnx (encoder and entry), block1.onnx and decode1.onnx (head and decoder)
    and so on for each depth, states.npz (the state at the start of a signal), manifest.json, and
    onnx_stream.py, which streams with onnxruntime and numpy alone.

    Arguments
    ---------
    model : BloomNet
        The network, of a causal Conv-TasNet without skip paths, in evaluation mode.
    sample_rate : int
        Its sample rate, in Hz.
    folder : str or Path
        Where the files go; it must not exist, or be empty.
    int8 : bool
        Whether matrix products are quantised dynamically to 8 bits, weights ahead of time.

    Raises
    ------
    InputError
        If the network cannot stream, the folder is not empty, or the packages of the extra
        `export` are not installed.

    Example
    -------
    >>> from bloomnet_sb import BloomNet
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=1, norm="BN", causal=True)
    >>> folder = Path(getfixture("tmpdir")) / "exported"
    >>> export_onnx(BloomNet(separator, 16).eval(), 16000, folder)
    >>> sorted(path.name for path in folder.glob("*.onnx"))
    ['block1.onnx', 'decode1.onnx', 'enter.onnx']
    >>> stream = onnx_stream.OnnxStream(folder, blocks=1)
    >>> len(stream.process(np.zeros(1600, np.float32))) + len(stream.flush())
    1600
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; an export goes to a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; an export goes to a new folder")
    net = FramewiseNet(model)
    graphs = graphs_of(net)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        partial = Path(temporary)
        for name, graph in graphs.items():
            _write_graph(graph, partial / f"{name}.onnx", int8)
        initial = {f"{g}/{n}": s for g, graph in graphs.items() for n, s in graph.states.items()}
        arrays: dict[str, Any] = {name: state.numpy() for name, state in initial.items()}
        np.savez(partial / STATES, **arrays)
        manifest = _manifest(net, sample_rate, graphs, int8)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for module in (onnx_stream, depth_switch):
            shutil.copy(str(module.__file__), partial)
        if folder.exists():
            folder.rmdir()
        partial.chmod(0o755)
        partial.rename(folder)
        partial.mkdir()  # for the context to remove


def _manifest(net: FramewiseNet, sample_rate: int, graphs: dict, int8: bool) -> dict:
    return {
        "sample_rate": sample_rate,
        "kernel_size": net.encoder.kernel_size,
        "stride": net.encoder.stride,
        "pad_input": net.encoder.pad_input,
        "num_blocks": net.num_blocks,
        "reaches": [net.reach(depth) for depth in range(1, net.num_blocks + 1)],
        "most_frames": MOST_FRAMES,
        "int8": int8,
        "inputs": {name: graph.inputs for name, graph in graphs.items()},
        "states": {name: list(graph.states) for name, graph in graphs.items()},
    }


def _write_graph(graph: Graph, path: Path, int8: bool) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise InputError(
            f"an export needs {error.name}: pip install 'bloomnet_sb[export]'"
        ) from None
    examples, shapes = graph.examples()
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            graph,
            kwargs=examples,
            f=path,
            input_names=[*graph.inputs, *graph.states],
            output_names=[*graph.outputs, *(f"{name}_out" for name in graph.states)],
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with _quiet():
            quantize_dynamic(onnx.load(path), path, weight_type=QuantType.QInt8)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on packages and steps that are not needed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
