"""ONNX files of a causal network, to stream with at any depth without torch."""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTSynthesis
from bloomnet_sb.streaming import depth_switch, frame_stream, noisy_share, onnx_stream, wav_files
from bloomnet_sb.streaming.engines import stream_facts
from bloomnet_sb.streaming.programs import Program, most_frames, programs_of
from bloomnet_sb.utils.errors import InputError

MANIFEST = "manifest.json"
STATES = "states.npz"
# Of the files: that which onnxruntime 1.17 knows. What 10 and later add, types of 4 bits and the
# like, is not in these networks.
IR_VERSION = 9


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
    folder = Path(folder)
    check_new_folder(folder)
    programs = programs_of(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        partial = Path(temporary)
        for part, program in programs.items():
            _write_program(program, partial / f"{part}.onnx", int8)
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
        if folder.exists():
            folder.rmdir()
        partial.chmod(0o755)
        partial.rename(folder)
        partial.mkdir()  # for the context to remove


def check_new_folder(folder: str | Path) -> None:
    """See that an export may go to a folder: one that is not there, or is empty.

    Arguments
    ---------
    folder : str or Path
        The folder.

    Raises
    ------
    InputError
        If it is a file, or holds something.

    Example
    -------
    >>> check_new_folder(Path(getfixture("tmpdir")))
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; an export goes to a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; an export goes to a new folder")


def _write_states(programs: dict[str, Program], path: Path) -> None:
    states = {
        f"{part}/{name}": state.cpu().numpy()
        for part, program in programs.items()
        for name, state in program.states.items()
    }
    np.savez(path, **states)  # type: ignore[arg-type]


def _write_program(program: Program, path: Path, int8: bool) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise InputError(
            f"an export needs {error.name}: pip install 'bloomnet_sb[export]'"
        ) from None
    for module in program.modules():
        if isinstance(module, STFTSynthesis):
            module.whole_spectra = True
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            program,
            program.arguments,
            path,
            input_names=[*program.inputs, *program.states],
            output_names=[*program.outputs, *(f"{name}_out" for name in program.states)],
            dynamic_shapes=program.dynamic_shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with _quiet():
            quantize_dynamic(onnx.load(path), path, weight_type=QuantType.QInt8)
    graph = onnx.load(path)
    graph.ir_version = min(graph.ir_version, IR_VERSION)
    onnx.save(graph, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on packages and steps that are not needed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
