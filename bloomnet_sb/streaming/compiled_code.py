"""Machine code of a network's programs, made by torch's ahead-of-time compiler and kept."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.streaming.programs import Program
from bloomnet_sb.utils.atomic_files import make_folder, turn_in, written_whole
from bloomnet_sb.utils.errors import InputError

PACKAGE = Path(__file__).parents[1]
# In a folder of compiled code: the file of each program
CODES = "codes.json"
# What there is to share out among threads is too little for it to pay; and small weights are
# otherwise part of the code, which programs with other weights run as well.
SETTINGS = {"cpp.threads": 1, "always_keep_tensor_constants": True}

# A program as a function of its inputs and states, in a list
Run = Callable[[list[torch.Tensor]], list[torch.Tensor]]


def code_folder(model: BloomNet) -> Path:
    """Where the code of a network is kept: in torch's own folder of compiled code.

    Named by a digest of what it depends on: the weights, the network's layout, its modules' source
    files, torch's version and what the CPU can do.

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


def compiled(programs: dict[str, Program], folder: Path) -> dict[str, Run]:
    """Programs as functions of machine code, which is compiled unless the folder has it.

    Programs that differ in their weights alone, such as the blocks of a BandRNN, run one code; the
    slope of a folded PReLU is a number in the code, so that each block of a Conv-TasNet has its
    own. A process waits for another that compiles into the same folder.

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
    if not (codes := _kept(folder)):
        make_folder(folder)
        with turn_in(folder):
            codes = _kept(folder) or _compile_all(programs, folder)
    return {name: _loaded(folder / codes[name], program) for name, program in programs.items()}


def _kept(folder: Path) -> dict[str, str]:
    """The file of each program; none unless all are there."""
    with suppress(FileNotFoundError):
        codes = json.loads((folder / CODES).read_text(encoding="utf-8"))
        if all((folder / file).is_file() for file in codes.values()):
            return codes
    return {}


def _compile_all(programs: dict[str, Program], folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}  # by structure
    codes = {}
    for name, program in programs.items():
        with torch.no_grad():
            exported = torch.export.export(
                program, program.arguments, dynamic_shapes=program.dynamic_shapes
            )
        codes[name] = file = files.setdefault(_structure(program, exported), f"{name}.pt2")
        if not (folder / file).is_file():
            _compile(exported, folder / file)
    with written_whole(folder / CODES) as partial:
        partial.write_text(json.dumps(codes), encoding="utf-8")
    return codes


def _structure(program: Program, exported: torch.export.ExportedProgram) -> str:
    """All that the code of a program depends on: not the values of its weights."""
    tensors = dict(program.state_dict(keep_vars=True))
    examples = [tensor for group in program.arguments for tensor in group]
    shapes = [(tensor.shape, tensor.dtype) for tensor in (*examples, *tensors.values())]
    others = {
        name: hashlib.sha256(tensor.numpy().tobytes()).digest()
        for name, tensor in exported.constants.items()
        if isinstance(tensor, torch.Tensor) and name not in tensors
    }
    return repr((exported.graph_module.code, list(tensors), shapes, others))


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


def _loaded(path: Path, program: Program) -> Run:
    """The code of a file, with the weights of a program."""
    package = torch._inductor.aoti_load_package(str(path))
    tensors = program.state_dict()
    of_code = {name: tensors[name] for name in package.get_constant_fqns() if name in tensors}
    package.load_constants(of_code, check_full_update=False)
    return package.loader.run


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
