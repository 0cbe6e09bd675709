"""What a separator is: an entry, and L blocks with a mask head each."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import nn

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

    A subclass calls `set_blocks` once, and defines `enter`. A block maps a state to a state of the
    same shape and adds its residual to it; a head maps a state to masks. The state is a tensor of
    any shape that the backbone likes, or a tuple with tensors in it. All modules beside `blocks`
    and `heads` belong to the entry.

    Attributes
    ----------
    blocks : torch.nn.ModuleList
        L modules; `blocks[l](state)` is the state after block l + 1.
    heads : torch.nn.ModuleList
        L modules; `heads[l](state)` are masks [batch, sources, filters, frames].
    num_sources : int
        Masks that a head gives.
    num_filters : int
        Features that `enter` takes and that a mask covers.
    causal : bool
        Whether no frame depends on a later one.
    carries : bool
        Whether it can go on from frames that it saw before, see `bloomnet_sb.nn.carry.carrying`.
    reach : int or None
        No mask depends on frames that are further away than this; None: there is no such bound.

    Example
    -------
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=2)
    >>> state = separator.enter(torch.rand(1, 16, 30))
    >>> state = separator.blocks[0](state)
    >>> separator.heads[0](state).shape
    torch.Size([1, 1, 16, 30])
    """

    def __init__(self, num_filters: int, num_sources: int = 1, causal: bool = False):
        super().__init__()
        self.num_filters = num_filters
        self.num_sources = num_sources
        self.causal = causal
        self.carries = False
        self.reach = None

    def set_blocks(self, blocks: list[nn.Module], heads: list[nn.Module]) -> None:
        """Register the blocks and their mask heads.

        Arguments
        ---------
        blocks, heads : list of torch.nn.Module
            As many heads as blocks, at least one.

        Raises
        ------
        InputError
            If their numbers differ or are 0.
        """
        if len(blocks) != len(heads) or not blocks:
            raise InputError(
                f"a separator has a head for each block, got {len(blocks)} blocks and "
                f"{len(heads)} heads"
            )
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleList(heads)

    @property
    def num_blocks(self) -> int:
        """The number of blocks, L."""
        return len(self.blocks)

    @property
    def entry(self) -> nn.ModuleList:
        """The modules that `enter` uses: all but the blocks and the heads."""
        return nn.ModuleList(
            child for name, child in self.named_children() if name not in ("blocks", "heads")
        )

    @abstractmethod
    def enter(self, features: torch.Tensor) -> torch.Tensor | tuple:
        """Map `features` [batch, filters, frames] to the state that the first block takes."""
