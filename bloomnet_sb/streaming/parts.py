"""The parts of a causal network that a stream runs, as functions of inputs and of states."""

from collections.abc import Sequence

import torch
from torch import nn

from bloomnet_sb.model import BloomNet, decode
from bloomnet_sb.nn.causal import Causal, Feature, State, as_tuple
from bloomnet_sb.nn.folding import fold_batch_norms
from bloomnet_sb.utils.errors import InputError

Tensors = tuple[torch.Tensor, ...]


class Enter(Causal):
    """Filterbank, level and entry: windows to the first feature, and what decodes share.

    Arguments
    ---------
    model : BloomNet
        The network.
    """

    def __init__(self, model: BloomNet):
        super().__init__()
        self.encoder, self.level, self.entry = model.encoder, model.level, model.separator.entry

    def step(self, x: Feature, state: State) -> tuple[Tensors, State]:
        """Of windows [batch, frames, window]: the feature's tensors, features and level."""
        after: State = {}
        (windows,) = x
        features, level = self.run("level", self.encoder(windows), state, after)
        feature = self.run("entry", features, state, after)
        return (*as_tuple(feature), features, level), after


class Block(Causal):
    """A block: the tensors of a feature to those of the next.

    Arguments
    ---------
    block : torch.nn.Module
        A separator's block.
    """

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def step(self, x: Feature, state: State) -> tuple[Tensors, State]:
        """Run on the next frames."""
        after: State = {}
        return as_tuple(self.run("block", as_feature(as_tuple(x)), state, after)), after


class Decode(Causal):
    """Head, level and synthesis: what `Enter` and a block gave to windows of each source.

    Arguments
    ---------
    head, decoder : torch.nn.Module
        Of one depth.
    """

    def __init__(self, head: nn.Module, decoder: nn.Module):
        super().__init__()
        self.head, self.decoder = head, decoder

    def step(self, x: Feature, state: State) -> tuple[Tensors, State]:
        """Windows [batch, sources, frames, window]; a head carries nothing."""
        *feature, features, level = x
        return (decode(self.head, self.decoder, as_feature(feature), features, level),), {}


def as_feature(tensors: Sequence[torch.Tensor]) -> Feature:
    """The feature of these tensors: one as itself, several as a tuple."""
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def parts_of(model: BloomNet) -> dict[str, Causal]:
    """The parts of a causal network, its batch norms folded, by the names that a stream uses.

    Arguments
    ---------
    model : BloomNet
        The network, in evaluation mode. Its weights are copied.

    Returns
    -------
    dict
        "enter", and "block1", "decode1".. for each depth.

    Raises
    ------
    InputError
        If the network is not causal, or is training.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> list(parts_of(BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=1)).eval()))
    ['enter', 'block1', 'decode1']
    """
    if not model.separator.causal:
        raise InputError(
            f"a stream needs a causal network; this {type(model.separator).__name__} is not one"
        )
    if model.training:
        raise InputError("a stream needs a network in evaluation mode; this one is training")
    folded = fold_batch_norms(model)
    separator = folded.separator
    parts: dict[str, Causal] = {"enter": Enter(folded)}
    for depth, block in enumerate(separator.blocks, 1):
        parts[f"block{depth}"] = Block(block)
        parts[f"decode{depth}"] = Decode(separator.heads[depth - 1], folded.decoders[depth - 1])
    return {name: part.eval().requires_grad_(False) for name, part in parts.items()}
