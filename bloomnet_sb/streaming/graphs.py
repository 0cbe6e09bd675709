"""The parts of a streaming network as functions of their inputs and of the states they carry."""

from dataclasses import dataclass

import torch
from torch import nn

from bloomnet_sb.nn.norms import CumulativeLayerNorm
from bloomnet_sb.streaming.framewise import FramewiseNet, LayerMemory, NetMemory

# The most frames in one call; a chunk of more is run in parts.
MOST_FRAMES = 64


def graphs_of(net: FramewiseNet) -> dict[str, "Graph"]:
    """The parts of a network: enter, and block1, decode1 and so on for each depth.

    Arguments
    ---------
    net : FramewiseNet
        The network.

    Returns
    -------
    dict
        Name to part.

    Example
    -------
    >>> from bloomnet_sb import BloomNet
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=1, norm="BN", causal=True)
    >>> list(graphs_of(FramewiseNet(BloomNet(separator, num_filters=16).eval())))
    ['enter', 'block1', 'decode1']
    """
    depths = range(1, net.num_blocks + 1)
    graphs: dict[str, Enter | Block | Decode] = {"enter": Enter(net)}
    graphs |= {f"block{depth}": Block(net, depth) for depth in depths}
    graphs |= {f"decode{depth}": Decode(net, depth) for depth in depths}
    return {name: graph.eval() for name, graph in graphs.items()}


class Graph(nn.Module):
    """A part of a network as a function of its inputs and of the states that it carries.

    Arguments
    ---------
    net : FramewiseNet
        The network.

    Attributes
    ----------
    inputs, outputs : list of str
        Names of what it takes and gives, [1, frames, ..] each, beside its states.
    states : dict
        Name to state at the start of a signal.
    """

    inputs: list[str]
    outputs: list[str]

    def __init__(self, net: FramewiseNet):
        super().__init__()
        self.net = net
        self.states: dict[str, torch.Tensor] = {}

    def examples(self) -> tuple[dict[str, object], dict[str, object]]:
        """Arguments to trace it with, by name, and which of their dimensions may change."""
        net = self.net
        sizes = {
            "windows": net.encoder.kernel_size,
            "features": len(net.encoder_weight),
            "state": len(net.bottleneck[0]),
        }
        inputs = {name: torch.randn(1, 2, sizes[name]) for name in self.inputs}
        frames = torch.export.Dim("frames", min=1, max=MOST_FRAMES)
        shapes = {**dict.fromkeys(inputs, {1: frames}), "states": dict.fromkeys(self.states)}
        return {**inputs, "states": self.states}, shapes

    def add_mean(self, name: str) -> None:
        """Carry a running mean."""
        self.states[f"{name}_mean"] = torch.zeros(1, 1, dtype=torch.double)
        self.states[f"{name}_frames"] = torch.zeros(1, dtype=torch.double)


class Enter(Graph):
    """The encoder and the entry of the separator."""

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


class Block(Graph):
    """A block of the separator."""

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
        level = _GraphMean(given, "level", None)  # not asked for: only `Enter` has one
        memory = NetMemory(1, level, [], [[]] * (self.depth - 1) + [memories])
        return self.net.block(state, self.depth, memory), *given.values()


class Decode(Graph):
    """The mask head and the decoder of a depth."""

    inputs, outputs = ["state", "features"], ["windows"]

    def __init__(self, net: FramewiseNet, depth: int):
        super().__init__(net)
        self.depth = depth

    def forward(self, state, features, states):
        return (self.net.decode(state, features, self.depth),)


@dataclass
class _GraphPast:
    """`bloomnet_sb.streaming.framewise.Past` on a state of a graph."""

    states: dict[str, torch.Tensor]
    name: str

    def append(self, x: torch.Tensor) -> torch.Tensor:
        past = self.states[self.name]
        frames = torch.cat([past, x], dim=1)
        self.states[self.name] = frames[:, x.shape[1] :]
        return frames


@dataclass
class _GraphMean:
    """`bloomnet_sb.nn.carry.RunningMean` on a state of a graph.

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
