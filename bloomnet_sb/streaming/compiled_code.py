"""Machine code of a network's programs, made by torch's ahead-of-time compiler and kept."""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.streaming.programs import Program, quiet
from bloomnet_sb.utils.atomic_files import make_folder, turn_in, written_whole
from bloomnet_sb.utils.errors import InputError

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).parents[1]
# In a folder of compiled code: the file of each program
CODES = "codes.json"
# What reading code raises that is not there, or that a full disk or a power cut has damaged
NOT_WHOLE = (OSError, ValueError, LookupError, TypeError, RuntimeError)
# What there is to share out among threads is too little for it to pay; and small weights are
# otherwise part of the code, which programs with other weights run as well.
SETTINGS = {"cpp.threads": 1, "always_keep_tensor_constants": True}

# A program as a function of its inputs and states, in a list
Run = Callable[[list[torch.Tensor]], list[torch.Tensor]]


def code_folder(model: BloomNet) -> Path:
    """Where the code of a network is kept: in torch's own folder of compiled code.

    Named by a digest of what it depends on: the weights, the network's layout, the source files of
    its modules and of what is imported from beside them, torch's version and what the CPU can do.

    Arguments
    ---------
    model : BloomNet
        The network.

    Returns
    -------
    Path
        The folder, which need not be there.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(512), BandRNNSeparator(num_blocks=2))
    >>> code_folder(model).parent.name
    'bloomnet_sb'
    """
    # Imported here: torch's compiler takes a second to import.
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    about = [model.fingerprint(), torch.__version__, torch.backends.cpu.get_cpu_capability()]
    digest = hashlib.sha256(repr(about).encode())
    for source in _sources(model):
        digest.update(source)
    return Path(cache_dir()) / "bloomnet_sb" / digest.hexdigest()[:32]


def is_kept(model: BloomNet) -> bool:
    """Whether the code of a network is kept, so that a compiled stream of it starts in seconds.

    Arguments
    ---------
    model : BloomNet
        The network.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> is_kept(BloomNet(STFTFilterbank(512), BandRNNSeparator(num_blocks=2)))
    False
    """
    return (code_folder(model) / CODES).is_file()


def compiled(programs: dict[str, Program], folder: Path) -> dict[str, Run]:
    """Programs as functions of machine code, which is compiled unless the folder has it.

    Programs that differ in their weights alone, such as the blocks of a BandRNN, run one code.
    Those of a Conv-TasNet have numbers of their own in it, as slopes of folded PReLUs. A process
    waits for another that compiles into the same folder.

    Arguments
    ---------
    programs : dict of str to Program
        The programs, by name.
    folder : Path
        Where their code is kept.

    Returns
    -------
    dict of str to callable
        By name.

    Raises
    ------
    InputError
        If compiling fails, as it does where there is no C++ compiler.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer.stream`, whose option `compiled` asks for it.
    """
    with suppress(*NOT_WHOLE):
        return _loaded(programs, folder)
    make_folder(folder)
    with turn_in(folder):
        with suppress(*NOT_WHOLE):
            return _loaded(programs, folder)
        for left in (folder / CODES, *folder.glob("*.pt2")):
            left.unlink(missing_ok=True)
        _compile_all(programs, folder)
    return _loaded(programs, folder)


def _loaded(programs: dict[str, Program], folder: Path) -> dict[str, Run]:
    files = json.loads((folder / CODES).read_text(encoding="utf-8"))
    paths = {name: folder / files[name] for name in programs}
    return {name: _with_weights(paths[name], program) for name, program in programs.items()}


def _compile_all(programs: dict[str, Program], folder: Path) -> None:
    logger.warning("compiling the network for this CPU, which takes a minute or two, once")
    with quiet():
        codes = _codes(programs, folder)
    with written_whole(folder / CODES) as partial:
        partial.write_text(json.dumps(codes), encoding="utf-8")


def _codes(programs: dict[str, Program], folder: Path) -> dict[str, str]:
    """By name, the file with a program's code."""
    files: dict[str, str] = {}  # by structure
    codes = {}
    for name, program in programs.items():
        with torch.no_grad():
            exported = torch.export.export(
                program, program.arguments, dynamic_shapes=program.dynamic_shapes
            )
        codes[name] = file = files.setdefault(_structure(program, exported), f"{name}.pt2")
        if file == f"{name}.pt2":
            _compile(exported, folder / file)
    return codes


def _structure(program: Program, exported: torch.export.ExportedProgram) -> str:
    """All that the code of a program depends on: not the values of its weights."""
    graphs = [
        (name, module.code)
        for name, module in exported.graph_module.named_modules()
        if isinstance(module, torch.fx.GraphModule)
    ]
    tensors = dict(program.state_dict(keep_vars=True))
    examples = [tensor for group in program.arguments for tensor in group]
    shapes = [(tensor.shape, tensor.dtype) for tensor in (*examples, *tensors.values())]
    others = [
        (name, constant.dtype, constant.tolist())
        for name, constant in exported.constants.items()
        if isinstance(constant, torch.Tensor) and name not in tensors
    ]
    return repr((graphs, list(tensors), shapes, others))


def _compile(exported: torch.export.ExportedProgram, path: Path) -> None:
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    try:
        with torch.no_grad(), written_whole(path) as partial, open(partial, "wb") as package:
            torch._inductor.aoti_compile_and_package(
                exported, package_path=package, inductor_configs=SETTINGS
            )
    except (InductorError, InvalidCxxCompiler) as error:  # the latter as it is before torch 2.8
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"a compiled stream needs a C++ compiler for torch: {reason}") from None


def _with_weights(path: Path, program: Program) -> Run:
    """The code of a file, with the weights of a program."""
    package = torch._inductor.aoti_load_package(str(path))
    tensors = program.state_dict()
    of_code = {name: tensors[name] for name in package.get_constant_fqns() if name in tensors}
    package.load_constants(of_code, check_full_update=False)
    return package.loader.run


def _sources(model: BloomNet) -> list[bytes]:
    """The source files of the package, of a network's modules, and of what lies beside those."""
    rooms = ("nn", "separators", "streaming")
    files = {file for room in rooms for file in (PACKAGE / room).glob("*.py")}
    classes = {base for module in model.modules() for base in type(module).__mro__}
    names = {each.__module__ for each in classes} - {"builtins"}
    others = {"torch", *sys.stdlib_module_names}
    own = {name for name in names if name.partition(".")[0] not in others}
    found = [_file_of(sys.modules.get(name)) for name in own]
    if None in found:  # typed in: what it was the last time is not known
        return [os.urandom(16)]
    files |= {Path(file) for file in found if file}
    folders = {file.parent for file in files if PACKAGE not in file.parents}
    loaded = map(_file_of, tuple(sys.modules.values()))
    files |= {Path(file) for file in loaded if file and Path(file).parent in folders}
    return [file.read_bytes() for file in sorted(files) if file.is_file()]


def _file_of(module: object) -> str | None:
    """A module's file, without a question that a lazy module answers by importing another."""
    return getattr(module, "__dict__", {}).get("__file__")
