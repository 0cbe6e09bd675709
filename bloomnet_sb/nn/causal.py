"""What a causal layer carries from one piece of a signal to the next, as explicit tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import nn

from bloomnet_sb.utils.errors import InputError

# By name, what a layer carries: the batch first, float32 (counts int64), never changed in place.
State: TypeAlias = dict[str, torch.Tensor]
# What a layer and the one that it is part of call the same tensor.
StateNames: TypeAlias = list[tuple[str, str]]
# What goes from one part of a network to the next.
Feature: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]


def as_tuple(feature: Feature) -> tuple[torch.Tensor, ...]:
    """The tensors of a feature."""
    return (feature,) if isinstance(feature, torch.Tensor) else tuple(feature)


def of_each(function: Callable[[torch.Tensor], torch.Tensor], feature: Feature) -> Feature:
    """A feature of what `function` makes of each tensor of `feature`.

    Example
    -------
    >>> of_each(torch.neg, (torch.ones(2), torch.zeros(1)))
    (tensor([-1., -1.]), tensor([-0.]))
    """
    if isinstance(feature, torch.Tensor):
        return function(feature)
    return tuple(map(function, feature))


class Causal(nn.Module, ABC):
    """A layer that runs on a signal piece by piece, with what it carries handed in and out.

    A subclass defines `step`. One that carries something of its own also defines `start` and
    `warm_up`; one made of other causal layers, a composite, inherits both, which gather those of
    its children under their names, and runs them by `run`.

    Inputs and outputs are tensors with the batch first, or tuples of such.

    Attributes
    ----------
    one_by_one : bool
        Whether frames are computed one after the other, so that a compiled program, which would
        hold a copy of the layer for each of them, takes one frame at a time.

    Example
    -------
    >>> from bloomnet_sb.nn.layers import GRU
    >>> layer, x = GRU(8, 8), torch.rand(2, 50, 8)
    >>> first, state = layer.step(x[:, :20], layer.start(2, x))
    >>> second, state = layer.step(x[:, 20:], state)
    >>> torch.allclose(torch.cat([first, second], dim=1), layer(x), atol=1e-6)
    True
    """

    one_by_one = False

    _known: dict[str, tuple[nn.Module, StateNames | None]] | None = None

    @property
    def warm_up(self) -> int | None:
        """Frames until a layer that restarts within a signal is exact; None: never."""
        return total_warm_up(child for _, child in causal_children(self))

    def start(self, batch: int, like: torch.Tensor) -> State:
        """What the layer carries before the first frame.

        Arguments
        ---------
        batch : int
            Signals side by side.
        like : torch.Tensor
            A tensor of the device and dtype of the inputs to come.

        Returns
        -------
        dict
            Name to tensor, the batch first.
        """
        return {
            f"{name}.{key}": value
            for name, child in causal_children(self)
            for key, value in child.start(batch, like).items()
        }

    @abstractmethod
    def step(self, x: Feature, state: State) -> tuple[Feature, State]:
        """Run on the next frames.

        Arguments
        ---------
        x : torch.Tensor or tuple of torch.Tensor
            One frame or more, after those that `state` has seen.
        state : dict
            What `start` or the last step gave. It stays as it is.

        Returns
        -------
        (torch.Tensor or tuple of torch.Tensor, dict)
            The output for these frames, and what to carry on.
        """

    def forward(self, x: Feature) -> Feature:
        """The output for a whole signal: a step from the start."""
        first = as_tuple(x)[0]
        return self.step(x, self.start(len(first), first))[0]

    def run(self, name: str, x: Feature, state: State, after: State) -> Feature:
        """Run the child `name` on `x`, and put what it carries on into `after`.

        A child that is not causal treats each frame by itself, and is called.
        """
        child: Any = self._modules[name]  # a look-up that takes no time
        known, names = (None, None) if self._known is None else self._known.get(name, (None, None))
        if known is not child:
            names = self._state_names(name, child, state)
        if names is None:
            return child(x)
        own = {}
        for key, full in names:
            own[key] = state[full]
        y, carried = child.step(x, own)
        for key, full in names:
            after[full] = carried[key]
        return y

    def keep_names(self) -> None:
        """Keep, for steps to come, how children and composites call what is carried.

        A step of a few frames is over before they are found again. Not for networks that are to be
        compiled, as torch's compilers follow tensors, not dictionaries.
        """
        for module in self.modules():
            if isinstance(module, Causal):
                module._known = {}

    def _state_names(self, name: str, child: nn.Module, state: State) -> StateNames | None:
        """How a child and `state` call what it carries; None if it is not causal."""
        prefix = f"{name}."
        names = [(key[len(prefix) :], key) for key in state if key.startswith(prefix)]
        found = names if isinstance(child, Causal) else None
        if self._known is not None:
            self._known[name] = child, found
        return found


class CausalSequential(Causal):
    """Modules one after the other, causal ones and those that treat each frame by itself.

    Arguments
    ---------
    *modules : torch.nn.Module
        The modules, each of which takes what the one before gives.

    Example
    -------
    >>> from bloomnet_sb.nn.layers import GRU
    >>> layer = CausalSequential(nn.Linear(8, 4), GRU(4, 4), nn.Sigmoid())
    >>> list(layer.start(batch=1, like=torch.zeros(1)))
    ['1.hidden']
    """

    def __init__(self, *modules: nn.Module):
        super().__init__()
        for index, module in enumerate(modules):
            self.add_module(str(index), module)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._modules)

    def step(self, x: Feature, state: State) -> tuple[Feature, State]:
        """Run all modules on the next frames."""
        after: State = {}
        for name in self._modules:
            x = self.run(name, x, state, after)
        return x, after


class FrameWise(nn.Module):
    """A module that treats each frame by itself, so that it carries nothing.

    For modules of one's own that stand in a causal network; torch's own that do so are known.
    """


# Of torch's modules, those whose output for a frame depends on that frame alone.
FRAME_WISE = (
    FrameWise,
    nn.Linear,
    nn.Identity,
    nn.Dropout,
    nn.Flatten,
    nn.Unflatten,
    nn.MultiheadAttention,
    nn.modules.batchnorm._BatchNorm,
)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def causal_children(module: nn.Module) -> Iterator[tuple[str, Causal]]:
    """The causal layers in a module that stand in no other one, with their names."""
    for name, child in module.named_children():
        if isinstance(child, Causal):
            yield name, child
        else:
            yield from ((f"{name}.{below}", layer) for below, layer in causal_children(child))


def total_warm_up(modules) -> int | None:
    """The frames after which a chain of modules is exact: their sum, None if one never is."""
    total = 0
    for module in modules:
        warm_up = module.warm_up if isinstance(module, Causal) else 0
        if warm_up is None:
            return None
        total += warm_up
    return total


def check_causal(module: nn.Module, name: str) -> None:
    """Refuse a module that is neither causal nor treats each frame by itself.

    A layer that defines `start` and `step` itself is taken at its word. Causal layers in what is
    called with its input alone, a FrameWise or torch's Sequential, are refused: nobody would hand
    them what they carry.

    Arguments
    ---------
    module : torch.nn.Module
        What is to be part of a causal network.
    name : str
        How the message calls it.

    Raises
    ------
    InputError
        Naming the module that is neither.

    Example
    -------
    >>> check_causal(nn.Sequential(nn.Linear(2, 2), nn.GRU(2, 2)), "block1")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: block1.1 is a GRU, which is neither causal...
    """
    if isinstance(module, Causal) and type(module).start is not Causal.start:
        return
    if isinstance(module, FrameWise | nn.Sequential):
        _check_carries_nothing(module, name)
    if isinstance(module, (Causal, FrameWise, *CONTAINERS)):
        for child_name, child in module.named_children():
            check_causal(child, f"{name}.{child_name}")
    elif not _is_frame_wise(module):
        raise InputError(
            f"{name} is a {type(module).__name__}, which is neither causal nor known to treat each "
            "frame by itself; make it a bloomnet_sb.nn.causal.Causal, with step, or a FrameWise"
        )


def _check_carries_nothing(module: nn.Module, name: str) -> None:
    for below, layer in causal_children(module):
        raise InputError(
            f"{name}.{below} is a {type(layer).__name__}, which carries something from frame to "
            f"frame, in a {type(module).__name__}, which does not hand it on; make {name} a "
            "bloomnet_sb.nn.causal.CausalSequential, or another Causal"
        )


def _is_frame_wise(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv1d):
        return module.kernel_size == (1,) and module.stride == (1,) and module.padding == (0,)
    # LayerNorm: over the channels; its frames stand in another dimension, or it could not be built.
    activation = type(module).__module__ == "torch.nn.modules.activation"
    return activation or isinstance(module, FRAME_WISE + (nn.LayerNorm,))
