"""A streaming network as machine code, made by torch's ahead-of-time compiler."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.streaming import framewise, graphs
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError

# By part of the network, the tensors that it carries.
Memory = dict[str, list[torch.Tensor]]


class CompiledNet:
    """What `FramewiseNet` computes, for one signal a stream, compiled for a CPU.

    Eager torch spends most of a 10 ms chunk on calling its operations; here a block is one call.
    The first time, compiling takes from seconds to a minute. The code is kept in torch's own folder
    of compiled code (set TORCHINDUCTOR_CACHE_DIR to move it), named by a digest of the weights, of
    the network's layout and of torch's version; a later start loads it.

    Arguments
    ---------
    model : BloomNet
        A causal Conv-TasNet, as `FramewiseNet` takes it, on a CPU.

    Raises
    ------
    InputError
        As `FramewiseNet`; if the network is not on a CPU; or if compiling fails, as it does where
        there is no C++ compiler.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer.stream`, whose option `compiled` makes one.
    """

    most_frames = graphs.MOST_FRAMES

    def __init__(self, model: BloomNet):
        net = framewise.FramewiseNet(model)
        if net.encoder_weight.device.type != "cpu":
            raise InputError(
                f"a compiled stream runs on a CPU; this network is on {net.encoder_weight.device}"
            )
        self.num_blocks, self.reach = net.num_blocks, net.reach
        self.encoder, self.encoder_weight = net.encoder, net.encoder_weight
        # Imported here: torch's compiler takes a second to import.
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        folder = Path(cache_dir()) / "bloomnet_sb" / _digest(model)
        parts = graphs.graphs_of(net)
        self._initial = {name: list(graph.states.values()) for name, graph in parts.items()}
        self._programs = {
            name: _program(graph, folder / f"{name}.pt2") for name, graph in parts.items()
        }

    def new_memory(self, batch_size: int) -> Memory:
        """What the network carries at the start of a signal."""
        if batch_size != 1:
            raise InputError(f"batch_size is {batch_size}, but a compiled stream takes one signal")
        return dict(self._initial)

    def restart(self, depth: int, memory: Memory) -> None:
        """Let block `depth` forget what it saw."""
        memory[f"block{depth}"] = self._initial[f"block{depth}"]

    def enter(self, windows: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, torch.Tensor]:
        """As `FramewiseNet.enter`."""
        windows = windows.contiguous()  # as the program takes it, unchecked, to be
        features, state, *memory["enter"] = self._programs["enter"]([windows, *memory["enter"]])
        return features, state

    def block(self, state: torch.Tensor, depth: int, memory: Memory) -> torch.Tensor:
        """As `FramewiseNet.block`."""
        name = f"block{depth}"
        state, *memory[name] = self._programs[name]([state, *memory[name]])
        return state

    def decode(self, state: torch.Tensor, features: torch.Tensor, depth: int) -> torch.Tensor:
        """As `FramewiseNet.decode`."""
        return self._programs[f"decode{depth}"]([state, features])[0]


def _digest(model: BloomNet) -> str:
    """What the compiled code depends on."""
    about = [model.fingerprint(), torch.__version__, torch.backends.cpu.get_cpu_capability()]
    digest = hashlib.sha256(repr(about).encode())
    for source in (__file__, framewise.__file__, graphs.__file__):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()[:32]


def _program(graph: graphs.Graph, path: Path) -> Callable[[list[torch.Tensor]], list[torch.Tensor]]:
    """A part of the network as a function of its inputs and states, in a list."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            _compile(graph, partial)
    return torch._inductor.aoti_load_package(str(path)).loader.run


def _compile(graph: graphs.Graph, path: Path) -> None:
    from torch._inductor.exc import InductorError

    examples, shapes = graph.examples()
    # What there is to share out among threads is too little for it to pay.
    settings = {"cpp.threads": 1}
    try:
        with torch.no_grad(), open(path, "wb") as package:
            program = torch.export.export(graph, (), examples, dynamic_shapes=shapes)
            torch._inductor.aoti_compile_and_package(
                program, package_path=package, inductor_configs=settings
            )
    except InductorError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"a compiled stream needs a C++ compiler for torch: {reason}") from None
