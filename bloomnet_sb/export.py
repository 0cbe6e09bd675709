"""ONNX files of a causal Conv-TasNet, to stream with at any depth without torch."""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bloomnet_sb import onnx_stream, switching
from bloomnet_sb.errors import InputError
from bloomnet_sb.framewise import FramewiseNet, LayerMemory, NetMemory
from bloomnet_sb.inference import BloomEnhancer
from bloomnet_sb.norms import CumulativeLayerNorm

MANIFEST = "manifest.json"
STATES = "states.npz"
# A chunk of more frames is run in parts.
MOST_FRAMES = 64


def export_onnx(enhancer: BloomEnhancer, folder: str | Path, int8: bool = False) -> None:
    """Write a network as ONNX, with the state of a stream as explicit inputs and outputs.

    The folder gets enter.onnx (encoder and entry), block1.onnx and decode1.onnx (head and decoder)
    and so on for each depth, states.npz (the state at the start of a signal), manifest.json, and
    onnx_stream.py, which streams with onnxruntime and numpy alone.

    Arguments
    ---------
    enhancer : BloomEnhancer
        Of a causal Conv-TasNet without skip paths.
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
    >>> enhancer = BloomEnhancer({"model": BloomNet(separator, 16)}, {"sample_rate": 16000})
    >>> folder = Path(getfixture("tmpdir")) / "exported"
    >>> export_onnx(enhancer, folder)
    >>> sorted(path.name for path in folder.glob("*.onnx"))
    ['block1.onnx', 'decode1.onnx', 'enter.onnx']
    >>> stream = onnx_stream.OnnxStream(folder, blocks=1)
    >>> len(stream.process(np.zeros(1600, np.float32))) + len(stream.flush())
    1600
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; an export goes to a new folder")
    net = FramewiseNet(enhancer.mods.model)
    graphs = {"enter": _Enter(net)}
    graphs |= {f"block{depth}": _Block(net, depth) for depth in range(1, net.num_blocks + 1)}
    graphs |= {f"decode{depth}": _Decode(net, depth) for depth in range(1, net.num_blocks + 1)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as partial:
        partial = Path(partial)
        for name, graph in graphs.items():
            _write_graph(graph, partial / f"{name}.onnx", int8)
        initial = {f"{g}/{n}": s for g, graph in graphs.items() for n, s in graph.states.items()}
        np.savez(partial / STATES, **{name: state.numpy() for name, state in initial.items()})
        manifest = _manifest(net, enhancer.sample_rate, graphs, int8)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for module in (onnx_stream, switching):
            shutil.copy(module.__file__, partial)
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


class _Graph(nn.Module):
    """A part of the network as a function of its inputs and of the states that it carries."""

    inputs: list[str]
    outputs: list[str]

    def __init__(self, net: FramewiseNet):
        super().__init__()
        self.net = net
        self.states: dict[str, torch.Tensor] = {}

    def example(self, name: str) -> torch.Tensor:
        """An input of that name, of two frames."""
        net = self.net
        sizes = {
            "windows": net.encoder.kernel_size,
            "features": len(net.encoder_weight),
            "state": len(net.bottleneck[0]),
        }
        return torch.randn(1, 2, sizes[name])

    def add_mean(self, name: str) -> None:
        """Carry a running mean."""
        self.states[f"{name}_mean"] = torch.zeros(1, 1, dtype=torch.double)
        self.states[f"{name}_frames"] = torch.zeros(1, dtype=torch.double)


class _Enter(_Graph):
    inputs, outputs = ["windows"], ["features", "state"]

    def __init__(self, net: FramewiseNet):
        super().__init__(net)
        if net.has_level_norm:
            self.add_mean("level")
        if isinstance(net.entry_norm, CumulativeLayerNorm):
            self.add_mean("norm0")
            self.add_mean("norm1")

    def forward(self, windows, states):
        given = dict(states)
        means = {
            name: _GraphMean(given, name, self.net.level_window if name == "level" else None)
            for name in ("level", "norm0", "norm1")
        }
        memory = NetMemory(1, means["level"], [means["norm0"], means["norm1"]], [])
        features, state = self.net.enter(windows, memory)
        return features, state, *given.values()


class _Block(_Graph):
    inputs, outputs = ["state"], ["state_out"]

    def __init__(self, net: FramewiseNet, depth: int):
        super().__init__(net)
        self.depth = depth
        for index, layer in enumerate(net.blocks[depth - 1]):
            self.states[f"past{index}"] = layer.before.repeat(1, layer.reach, 1)
            for place, norm in enumerate((layer.norm, layer.last_norm)):
                if isinstance(norm, CumulativeLayerNorm):
                    self.add_mean(f"norm{index}_{2 * place}")
                    self.add_mean(f"norm{index}_{2 * place + 1}")

    def forward(self, state, states):
        given = dict(states)
        memories = [
            LayerMemory(
                _GraphPast(given, f"past{index}"),
                [_GraphMean(given, f"norm{index}_{place}", None) for place in range(4)],
            )
            for index in range(len(self.net.blocks[self.depth - 1]))
        ]
        memory = NetMemory(1, None, [], [[]] * (self.depth - 1) + [memories])
        return self.net.block(state, self.depth, memory), *given.values()


class _Decode(_Graph):
    inputs, outputs = ["state", "features"], ["windows"]

    def __init__(self, net: FramewiseNet, depth: int):
        super().__init__(net)
        self.depth = depth

    def forward(self, state, features, states):
        return (self.net.decode(state, features, self.depth),)


@dataclass
class _GraphPast:
    """`bloomnet_sb.framewise.Past` on a state of a graph."""

    states: dict[str, torch.Tensor]
    name: str

    def append(self, x: torch.Tensor) -> torch.Tensor:
        past = self.states[self.name]
        frames = torch.cat([past, x], dim=1)
        self.states[self.name] = frames[:, -past.shape[1] :]
        return frames


@dataclass
class _GraphMean:
    """`bloomnet_sb.carry.RunningMean` on a state of a graph.

    A frame keeps the share 1 - 1/n of the mean before it; the product of the shares so far, as a
    sum of logarithms, turns the recursion into one sum.
    """

    states: dict[str, torch.Tensor]
    name: str
    window: int | None

    def over(self, x: torch.Tensor) -> torch.Tensor:
        mean, frames = self.states[f"{self.name}_mean"], self.states[f"{self.name}_frames"]
        counts = frames + torch.cumsum(torch.ones_like(x[0], dtype=torch.double), 0)
        self.states[f"{self.name}_frames"] = counts[-1:]
        if self.window is not None:
            counts = counts.clamp(max=self.window)
        # The first frame of all keeps nothing of what was before it: too little to be seen.
        kept = torch.exp(torch.cumsum(torch.log((1 - 1 / counts).clamp(min=1e-30)), 0))
        means = kept * (torch.cumsum(x.double() / (counts * kept), 1) + mean)
        self.states[f"{self.name}_mean"] = means[:, -1:]
        return means


def _write_graph(graph: _Graph, path: Path, int8: bool) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise InputError(
            f"an export needs {error.name}: pip install 'bloomnet_sb[export]'"
        ) from None
    inputs = {name: graph.example(name) for name in graph.inputs}
    frames = torch.export.Dim("frames", min=1, max=MOST_FRAMES)
    shapes = {**dict.fromkeys(inputs, {1: frames}), "states": dict.fromkeys(graph.states)}
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            graph.eval(),
            kwargs={**inputs, "states": graph.states},
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
