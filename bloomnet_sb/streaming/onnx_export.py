"""ONNX files of a causal network, to stream with at any depth without torch."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTSynthesis
from bloomnet_sb.streaming import depth_switch, frame_stream, noisy_share, onnx_stream, wav_files
from bloomnet_sb.streaming.engines import stream_facts
from bloomnet_sb.streaming.programs import Program, most_frames, programs_of, quiet
from bloomnet_sb.utils.atomic_files import folder_written_whole
from bloomnet_sb.utils.errors import InputError

MANIFEST = "manifest.json"
STATES = "states.npz"
# Of the files: that which onnxruntime 1.17 knows. What 10 and later add, types of 4 bits and the
# like, is not in these networks.
IR_VERSION = 9
# What torch's exporter writes by itself; it does not convert the branches of a condition to others.
OPSET = 18


def export_onnx(model: BloomNet, sample_rate: int, folder: str | Path, int8: bool = False) -> None:
    """Write a network as ONNX, with the state of a stream as explicit inputs and outputs.

    The folder gets enter.onnx (filterbank, level and entry), block1.onnx and decode1.onnx (head and
    synthesis) and so on for each depth, states.npz (the state at the start of a signal),
    manifest.json, and onnx_stream.py, which streams with onnxruntime and numpy alone, by the very
    modules that streams here run by.

    Arguments
    ---------
    model : BloomNet
        A causal network in evaluation mode.
    sample_rate : int
        Its sample rate, in Hz.
    folder : str or Path
        Where the files go; it must not exist, or be empty.
    int8 : bool
        Whether matrix products are quantised dynamically to 8 bits, weights ahead of time.

    Raises
    ------
    InputError
        If the network is not causal, the folder is not empty, or the packages of the extra
        `export` are not installed.

    Example
    -------
    >>> from bloomnet_sb import BloomNet
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=1, norm="BN", causal=True)
    >>> folder = Path(getfixture("tmpdir")) / "exported"
    >>> export_onnx(BloomNet(LearnedFilterbank(16, 32), separator).eval(), 16000, folder)
    >>> sorted(path.name for path in folder.glob("*.onnx"))
    ['block1.onnx', 'decode1.onnx', 'enter.onnx']
    >>> stream = onnx_stream.OnnxStream(folder, blocks=1)
    >>> len(stream.process(np.zeros(1600, np.float32))) + len(stream.flush())
    1600
    """
    programs = programs_of(model)
    with folder_written_whole(folder) as partial:
        for part, program in programs.items():
            path = partial / f"{part}.onnx"
            write_program(program, path)
            if int8:
                quantise(path, path)
        _write_states(programs, partial / STATES)
        manifest = {
            "sample_rate": sample_rate,
            "facts": asdict(stream_facts(model, most_frames(model))),
            "int8": int8,
            "states": {part: list(program.states) for part, program in programs.items()},
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for module in (onnx_stream, frame_stream, depth_switch, noisy_share, wav_files):
            shutil.copy(str(module.__file__), partial)


def _write_states(programs: dict[str, Program], path: Path) -> None:
    states = {
        f"{part}/{name}": state.cpu().numpy()
        for part, program in programs.items()
        for name, state in program.states.items()
    }
    np.savez(path, **states)  # type: ignore[arg-type]


def write_program(program: Program, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a part as ONNX, its states as inputs and, their names with _out, as outputs.

    Arguments
    ---------
    program : Program
        The part.
    path : Path
        The file.
    metadata : mapping, optional
        What the file says of itself, name to text.

    Raises
    ------
    InputError
        If the packages of the extra `export` are not installed.

    Example
    -------
    See `export_onnx`.
    """
    try:
        import onnx_ir
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise InputError(
            f"an export needs {error.name}: pip install 'bloomnet_sb[export]'"
        ) from None
    for module in program.modules():
        if isinstance(module, STFTSynthesis):
            module.whole_spectra = True
    with torch.no_grad(), quiet(), _registry_once():
        # Traced here: the exporter's own trace fails on conditions, and says so at length.
        traced = torch.export.export(
            program, program.arguments, dynamic_shapes=program.dynamic_shapes
        )
        exported = torch.onnx.export(
            traced,
            input_names=[*program.inputs, *program.states],
            output_names=[*program.outputs, *(f"{name}_out" for name in program.states)],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert exported is not None  # for mypy: it is where there is no file to write
    # What torch notes of each node, such as lines of code, is most of a small network's file.
    for node in onnx_ir.traversal.RecursiveGraphIterator(exported.model.graph):
        node.metadata_props.clear()
    exported.model.graph.metadata_props.clear()
    exported.model.metadata_props.update(metadata or {})
    exported.model.ir_version = min(exported.model.ir_version, IR_VERSION)
    exported.save(path, external_data=False)


@contextmanager
def _registry_once() -> Iterator[None]:
    """What ONNX has for torch's operators is read once in a process.

    torch reads it for each program, which is a third of the time of an export.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    own = vars(ONNXRegistry)["from_torchlib"]
    kept = staticmethod(partial(_read_once, ONNXRegistry.from_torchlib))
    ONNXRegistry.from_torchlib = kept  # type: ignore[method-assign]
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = own  # type: ignore[method-assign]


@cache
def _read_once(read: Callable[..., Any], **options: int) -> Any:
    return read(**options)


def quantise(path: Path, output: Path) -> None:
    """Write an ONNX file with dynamic 8-bit matrix products, weights quantised ahead of time.

    Arguments
    ---------
    path : Path
        The file.
    output : Path
        Where to write; it may be the same.

    Example
    -------
    See `export_onnx`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(path, output, weight_type=QuantType.QInt8)
