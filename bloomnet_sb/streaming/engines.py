"""What runs the parts of a network for a stream in this process: torch, eager or compiled."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.causal import State, total_warm_up
from bloomnet_sb.streaming.frame_stream import StreamFacts
from bloomnet_sb.streaming.parts import Tensors, parts_of
from bloomnet_sb.streaming.programs import Program, most_frames, programs_of
from bloomnet_sb.utils.atomic_files import make_folder, turn_in, written_whole
from bloomnet_sb.utils.errors import InputError

PACKAGE = Path(__file__).parents[1]
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

    def start(self, part: str, batch_size: int) -> State:
        """What a part carries before the first frame."""
        return self._parts[part].start(batch_size, self._like)

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
    first stream starts, compiling takes from seconds to minutes; a process waits for another that
    compiles the same. The code is kept in torch's own folder of
    compiled code (set TORCHINDUCTOR_CACHE_DIR to move it), named by a digest of the weights, of the
    network's layout, of its modules' source files and of torch's version; a later start loads it.

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
        # Imported here: torch's compiler takes a second to import.
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        folder = Path(cache_dir()) / "bloomnet_sb" / _digest(model)
        programs = programs_of(model)
        self.facts = stream_facts(model, most_frames(model))
        self._initial = {name: list(p.states.values()) for name, p in programs.items()}
        self._paths = {folder / f"{name}.pt2": program for name, program in programs.items()}
        self._run: dict[str, Callable[[list[torch.Tensor]], list[torch.Tensor]]] = {}

    def start(self, part: str, batch_size: int) -> list[torch.Tensor]:
        """What a part carries before the first frame."""
        if batch_size != 1:
            raise InputError(f"batch_size is {batch_size}, but a compiled stream takes one signal")
        # Only now: a stream starts when all that it was asked for is checked.
        if not self._run:
            self._run = {path.stem: _compiled(p, path) for path, p in self._paths.items()}
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


def _digest(model: BloomNet) -> str:
    """What the compiled code depends on."""
    about = [model.fingerprint(), torch.__version__, torch.backends.cpu.get_cpu_capability()]
    digest = hashlib.sha256(repr(about).encode())
    for source in _sources(model):
        digest.update(source)
    return digest.hexdigest()[:32]


def _sources(model: BloomNet) -> list[bytes]:
    """The source files of the package, and of all modules of a network."""
    rooms = ("nn", "separators", "streaming")
    files = {file for room in rooms for file in (PACKAGE / room).glob("*.py")}
    classes = {base for module in model.modules() for base in type(module).__mro__}
    names = {each.__module__ for each in classes} - {"builtins"}
    own = {name for name in names if name.partition(".")[0] != "torch"}
    found = [getattr(sys.modules.get(name), "__file__", None) for name in own]
    if None in found:  # typed in: what it was the last time is not known
        return [os.urandom(16)]
    return [file.read_bytes() for file in sorted(files | {Path(file) for file in found if file})]


def _compiled(program: Program, path: Path) -> Callable[[list[torch.Tensor]], list[torch.Tensor]]:
    """A program as a function of its inputs and states, in a list."""
    if not path.is_file():
        make_folder(path.parent)
        with turn_in(path.parent):
            _compile_once(program, path)
    return torch._inductor.aoti_load_package(str(path)).loader.run


def _compile_once(program: Program, path: Path) -> None:
    """Compile a program, unless another process has done so while this one waited."""
    if path.is_file():
        return
    with written_whole(path) as partial:
        _compile(program, partial)


def _compile(program: Program, path: Path) -> None:
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    # What there is to share out among threads is too little for it to pay.
    settings = {"cpp.threads": 1}
    try:
        with torch.no_grad(), open(path, "wb") as package:
            exported = torch.export.export(
                program, program.arguments, dynamic_shapes=program.dynamic_shapes
            )
            torch._inductor.aoti_compile_and_package(
                exported, package_path=package, inductor_configs=settings
            )
    except (InductorError, InvalidCxxCompiler) as error:  # the latter as it is before torch 2.8
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"a compiled stream needs a C++ compiler for torch: {reason}") from None
