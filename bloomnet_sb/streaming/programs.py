"""The parts of a network as programs of plain tensors, to be compiled or exported."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.causal import Causal
from bloomnet_sb.streaming.parts import Tensors, parts_of

# The most frames in one call where any number will do; a chunk of more is run in parts.
MOST_FRAMES = 64


class Program(nn.Module):
    """A part of a network as a function of its inputs and of the states that it carries.

    Arguments
    ---------
    part : Causal
        The part.
    inputs : dict
        Name to example of what it takes.
    outputs : sequence of str
        Names of what it gives.
    shapes : list of dict
        For each input, which of its dimensions may change, as `torch.export` takes it.

    Attributes
    ----------
    inputs, outputs : list of str
        Names of what it takes and gives, beside its states.
    states : dict
        Name to state at the start of a signal.
    """

    def __init__(
        self,
        part: Causal,
        inputs: dict[str, torch.Tensor],
        outputs: Sequence[str],
        shapes: Sequence[dict],
    ):
        super().__init__()
        self.part = part
        self.examples, self.shapes = list(inputs.values()), list(shapes)
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.states = part.start(1, self.examples[0])

    def forward(self, inputs: list[torch.Tensor], states: list[torch.Tensor]) -> Tensors:
        """The outputs, and then the states after these frames."""
        y, after = self.part.step(tuple(inputs), dict(zip(self.states, states, strict=True)))
        return (*y, *(after[name] for name in self.states))

    @property
    def arguments(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Examples of what `forward` takes."""
        return self.examples, list(self.states.values())

    @property
    def dynamic_shapes(self) -> tuple[list[dict], list[dict]]:
        """Which dimensions of those may change, as `torch.export` takes it."""
        return self.shapes, [{} for _ in self.states]


def programs_of(model: BloomNet) -> dict[str, Program]:
    """The parts of a causal network as programs, for one signal.

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
        As `bloomnet_sb.streaming.parts.parts_of`.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=1)).eval()
    >>> programs_of(model)["block1"].inputs, most_frames(model)
    (['feature0', 'feature1'], 1)
    """
    parts, frames = parts_of(model), 1 if most_frames(model) == 1 else 2
    examples = _flow(parts, _windows(model, frames))
    longer = examples if frames == 1 else _flow(parts, _windows(model, frames + 1))
    dim = torch.export.Dim("frames", min=1, max=MOST_FRAMES)
    return {
        name: Program(
            part,
            inputs=examples[name],
            outputs=_outputs(name, examples),
            shapes=[
                {d: dim for d in range(x.dim()) if x.shape[d] != longer[name][key].shape[d]}
                for key, x in examples[name].items()
            ],
        )
        for name, part in parts.items()
    }


def most_frames(model: BloomNet) -> int:
    """The most frames in a call of a program: 1 where a part computes them one by one."""
    causal = (module for module in model.modules() if isinstance(module, Causal))
    return 1 if any(module.one_by_one for module in causal) else MOST_FRAMES


def _windows(model: BloomNet, frames: int) -> torch.Tensor:
    like = next(model.parameters())
    return 0.1 * torch.randn(1, frames, model.encoder.window, device=like.device)


@torch.no_grad()
def _flow(parts: dict[str, Causal], windows: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    """By part and name, what each part takes for these windows."""
    taken = {"enter": {"windows": windows}}
    *feature, features, level = parts["enter"]((windows,))
    shared = {"features": features, "level": level}
    for depth in range(1, len(parts) // 2 + 1):
        taken[f"block{depth}"] = _numbered("feature", feature)
        feature = parts[f"block{depth}"](tuple(feature))
        taken[f"decode{depth}"] = {**_numbered("feature", feature), **shared}
    return taken


def _numbered(name: str, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{name}{index}": tensor for index, tensor in enumerate(tensors)}


def _outputs(name: str, taken: dict[str, dict[str, torch.Tensor]]) -> list[str]:
    if name.startswith("decode"):
        return ["estimate"]
    if name == "enter":
        return [*(f"{key}_out" for key in taken["block1"]), "features", "level"]
    decoded = taken[name.replace("block", "decode")]
    return [f"{key}_out" for key in decoded if key not in ("features", "level")]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch remarks on its own steps while it exports or compiles a program.

    Example
    -------
    >>> with quiet():
    ...     warnings.warn("of no use to who enhances", stacklevel=1)
    """
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(max(logging.WARNING, disabled))
        try:
            yield
        finally:
            logging.disable(disabled)
