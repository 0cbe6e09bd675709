"""What runs the parts of a network for a stream in this process: torch, eager or compiled."""

import numpy as np
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.causal import State, total_warm_up
from bloomnet_sb.streaming.compiled_code import Run, code_folder, compiled
from bloomnet_sb.streaming.frame_stream import StreamFacts
from bloomnet_sb.streaming.parts import Tensors, parts_of
from bloomnet_sb.streaming.programs import most_frames, programs_of
from bloomnet_sb.utils.errors import InputError

# Frames in an eager call: what a long file is run by; memory is for this many.
MOST_FRAMES = 4096


def stream_facts(model: BloomNet, most_frames: int) -> StreamFacts:
    """What a stream has to know of a network.

    Arguments
    ---------
    model : BloomNet
        The network.
    most_frames : int
        The most frames in one call of the engine that runs it.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(512), BandRNNSeparator(num_blocks=2))
    >>> stream_facts(model, most_frames=1).warm_ups
    [None, None]
    """
    filterbank = model.encoder
    return StreamFacts(
        num_blocks=model.num_blocks,
        num_sources=model.num_sources,
        window=filterbank.window,
        hop=filterbank.hop,
        left=filterbank.left,
        right=filterbank.right,
        pad_input=filterbank.pad_input,
        warm_ups=[total_warm_up([block]) for block in model.separator.blocks],
        most_frames=most_frames,
    )


class EagerEngine:
    """Runs a network's parts as they are, on its device, for one signal or a batch.

    Arguments
    ---------
    model : BloomNet
        A causal network in evaluation mode. Its weights are copied.

    Raises
    ------
    InputError
        If the network is not causal, or is training.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer.stream`.
    """

    def __init__(self, model: BloomNet):
        self.facts = stream_facts(model, MOST_FRAMES)
        self._parts = parts_of(model)
        for part in self._parts.values():
            part.keep_names()
        self._like = next(model.parameters())
        self._initial: dict[tuple[str, int], State] = {}

    def start(self, part: str, batch_size: int) -> State:
        """What a part carries before the first frame; no step changes it, so that it is kept."""
        if (part, batch_size) not in self._initial:
            self._initial[part, batch_size] = self._parts[part].start(batch_size, self._like)
        return self._initial[part, batch_size]

    def enter(self, windows: np.ndarray, state: State) -> tuple[Tensors, Tensors, State]:
        """The feature, what is shared by all decodes, and the state after these frames."""
        given = torch.from_numpy(np.ascontiguousarray(windows)).to(self._like)
        outputs, state = self._run("enter", (given,), state)
        return outputs[:-2], outputs[-2:], state

    def block(self, depth: int, feature: Tensors, state: State) -> tuple[Tensors, State]:
        """The next feature, and the state after these frames."""
        return self._run(f"block{depth}", feature, state)

    def decode(self, depth: int, feature: Tensors, shared: Tensors) -> np.ndarray:
        """The windows of the estimate of `depth` blocks."""
        (windows,), _ = self._run(f"decode{depth}", (*feature, *shared), {})
        return windows.cpu().numpy()

    def _run(self, part: str, inputs: Tensors, state: State) -> tuple[Tensors, State]:
        with torch.inference_mode():
            return self._parts[part].step(inputs, state)  # type: ignore[return-value]


class CompiledEngine:
    """Runs a network's parts as machine code, made by torch's ahead-of-time compiler, on a CPU.

    Eager torch spends most of a chunk on calling its operations; here a block is one call. When the
    first stream starts, that is compiled, see `bloomnet_sb.streaming.compiled_code.compiled`. The
    code is kept in torch's own folder of compiled code (set TORCHINDUCTOR_CACHE_DIR to move it); a
    later start loads it.

    Arguments
    ---------
    model : BloomNet
        A causal network in evaluation mode, on a CPU.

    Raises
    ------
    InputError
        As `EagerEngine`; if the network is not on a CPU; or, when a stream starts, if compiling
        fails, as it does where there is no C++ compiler.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer.stream`, whose option `compiled` makes one.
    """

    def __init__(self, model: BloomNet):
        device = next(model.parameters()).device
        if device.type != "cpu":
            raise InputError(f"a compiled stream runs on a CPU; this network is on {device}")
        self._folder, self._programs = code_folder(model), programs_of(model)
        self.facts = stream_facts(model, most_frames(model))
        self._initial = {name: list(p.states.values()) for name, p in self._programs.items()}
        self._run: dict[str, Run] = {}

    def start(self, part: str, batch_size: int) -> list[torch.Tensor]:
        """What a part carries before the first frame."""
        if batch_size != 1:
            raise InputError(f"batch_size is {batch_size}, but a compiled stream takes one signal")
        # Only now: a stream starts when all that it was asked for is checked.
        if not self._run:
            self._run = compiled(self._programs, self._folder)
        return self._initial[part]

    def enter(self, windows: np.ndarray, state: list[torch.Tensor]):
        """The feature, what is shared by all decodes, and the state after these frames."""
        given = torch.from_numpy(np.ascontiguousarray(windows))
        outputs = self._run["enter"]([given, *state])
        count = len(outputs) - len(state)
        return outputs[: count - 2], outputs[count - 2 : count], outputs[count:]

    def block(self, depth: int, feature: list[torch.Tensor], state: list[torch.Tensor]):
        """The next feature, and the state after these frames."""
        outputs = self._run[f"block{depth}"]([*feature, *state])
        count = len(outputs) - len(state)
        return outputs[:count], outputs[count:]

    def decode(self, depth: int, feature: list[torch.Tensor], shared: list[torch.Tensor]):
        """The windows of the estimate of `depth` blocks."""
        return self._run[f"decode{depth}"]([*feature, *shared])[0].numpy()
