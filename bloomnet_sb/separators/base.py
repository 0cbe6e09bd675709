"""What a separator is: an entry, and L blocks with a mask head each."""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import nn

from bloomnet_sb.nn.causal import check_causal
from bloomnet_sb.utils.errors import InputError

# In place: autograd needs their results only, not what the layer before them gave.
MASK_ACTIVATIONS = {"sigmoid": torch.sigmoid_, "relu": torch.relu_}


def mask_activation_named(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The activation of a mask head, "sigmoid" or "relu"; it overwrites its argument.

    Raises
    ------
    InputError
        If the name is unknown.

    Example
    -------
    >>> mask_activation_named("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if name not in MASK_ACTIVATIONS:
        raise InputError(
            f"mask_activation is {name!r}, but must be one of {', '.join(MASK_ACTIVATIONS)}"
        )
    return MASK_ACTIVATIONS[name]


class Separator(nn.Module):
    """The contract between a backbone and `BloomNet`.

    A subclass calls `set_parts` once. The entry maps features to what the first block takes; a
    block maps that feature to the next one, to which it added its residual; a head maps a block's
    feature, and the features that the entry got, to masked features. What goes from part to part is
    a tensor of any shape that the backbone likes, the batch first, or a tuple of such.

    The parts of a causal separator are `bloomnet_sb.nn.causal.Causal`, or treat each frame by
    itself; heads carry nothing.

    A head whose estimates may be upside down, on a filterbank whose synthesis has no weights that
    could turn them, has a method `signed_weights`, which lists the parameters that turn them.

    Arguments
    ---------
    num_filters : int
        Features that the entry takes and a head gives.
    num_sources : int
        Sources that a head gives.
    causal : bool
        Whether no frame depends on a later one.

    Attributes
    ----------
    entry : torch.nn.Module
        `entry(features)` of features [batch, filters, frames].
    blocks : torch.nn.ModuleList
        L modules; `blocks[l](feature)` is the feature after block l + 1.
    heads : torch.nn.ModuleList
        L modules; `heads[l](feature, features)` are masked features [batch, sources, filters,
        frames].
    reach : int or None
        No mask depends on frames that are further away than this; None: there is no such bound.
    sample_rate : int or None
        What the features are of, in Hz, where the separator needs to know; None: anything.
    window_hops : int or None
        Hops in a window of the filterbank, where they must be so many; None: any number.

    Example
    -------
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=2)
    >>> features = torch.rand(1, 16, 30)
    >>> feature = separator.blocks[0](separator.entry(features))
    >>> separator.heads[0](feature, features).shape
    torch.Size([1, 1, 16, 30])
    """

    window_hops: int | None = None

    def __init__(self, num_filters: int, num_sources: int = 1, causal: bool = False):
        super().__init__()
        self.num_filters = num_filters
        self.num_sources = num_sources
        self.causal = causal
        self.reach: int | None = None
        self.sample_rate: int | None = None

    def set_parts(
        self, entry: nn.Module, blocks: Sequence[nn.Module], heads: Sequence[nn.Module]
    ) -> None:
        """Register the entry, the blocks and their mask heads.

        Arguments
        ---------
        entry : torch.nn.Module
            What features go through first.
        blocks, heads : sequence of torch.nn.Module
            As many heads as blocks, at least one.

        Raises
        ------
        InputError
            If their numbers differ or are 0, a head takes one argument only, or a part of a causal
            separator is neither causal nor frame-wise.
        """
        if len(blocks) != len(heads) or not blocks:
            raise InputError(
                f"a separator has a head for each block, got {len(blocks)} blocks and "
                f"{len(heads)} heads"
            )
        for depth, head in enumerate(heads, 1):
            _check_head(head, f"head{depth}")
        if self.causal:
            check_causal(entry, "entry")
            for depth, (block, head) in enumerate(zip(blocks, heads, strict=True), 1):
                check_causal(block, f"block{depth}")
                check_causal(head, f"head{depth}")
        self.entry = entry
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleList(heads)

    @property
    def num_blocks(self) -> int:
        """The number of blocks, L."""
        if "blocks" not in self._modules:
            raise InputError(f"{type(self).__name__} has no parts; its __init__ calls set_parts")
        return len(self.blocks)


def _check_head(head: nn.Module, name: str) -> None:
    try:
        inspect.signature(head.forward).bind(None, None)
    except TypeError:
        raise InputError(
            f"{name}, a {type(head).__name__}, does not take (feature, features): a head gets the "
            "features that its mask is for too, and gives masked features"
        ) from None
