"""ONNX files that sherpa-onnx runs as models of GTCRN's kind, one for each depth of a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.causal import Causal, CausalSequential, Feature, State
from bloomnet_sb.nn.filterbanks import STFTFilterbank, inverse_by_whole_spectra
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.streaming.onnx_export import quantise, write_program
from bloomnet_sb.streaming.parts import Block, Decode, Enter, Tensors, parts_of
from bloomnet_sb.streaming.programs import Program
from bloomnet_sb.utils.atomic_files import folder_written_whole
from bloomnet_sb.utils.errors import InputError

# The version whose names these are: of what it reads in a file, and of an STFTFilterbank's window.
SHERPA_ONNX = "2.0.1"
MODEL_TYPE = "gtcrn"
WINDOW_TYPE = "hann_sqrt"
# An int8 file is written where it loses less, on so many mixtures at most.
MOST_LOSS_DB = 0.05
MOST_MIXTURES = 50


def export_sherpa(
    model: BloomNet,
    sample_rate: int,
    folder: str | Path,
    mixtures: Sequence[dict] | None = None,
) -> dict[int, float]:
    """Write a file for each depth that sherpa-onnx's denoisers take for a GTCRN.

    The folder gets depth1.onnx and so on, each a whole network of that depth, and depth1.int8.onnx
    where 8 bits lose less than 0.05 dB. sherpa-onnx does the STFT; a call takes `mix`, a frame of
    the spectrum [1, bins, 1, 2], and three caches, zeros at first, and gives `enh` and the caches
    for the next. What the denoisers give is what `BloomEnhancer.stream` gives, see docs/apps.md.

    Arguments
    ---------
    model : BloomNet
        A causal network with one source on an `STFTFilterbank` of half-overlapping windows, in
        evaluation mode.
    sample_rate : int
        Its sample rate, in Hz.
    folder : str or Path
        Where the files go; it must not exist, or be empty.
    mixtures : sequence of dict, optional
        Items with mix [time] and target [time, 1], on which the loss is measured. Default: no file
        is of 8 bits.

    Returns
    -------
    dict
        Depth to what 8 bits lose, the difference in mean SI-SDR in dB; empty without mixtures.

    Raises
    ------
    InputError
        If the network does not fit, the folder is not empty, or the packages of the extra `export`
        are not installed.

    Example
    -------
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=1)).eval()
    >>> folder = Path(getfixture("tmpdir")) / "sherpa"
    >>> export_sherpa(model, 16000, folder)
    {}
    >>> [path.name for path in folder.iterdir()]
    ['depth1.onnx']
    """
    parts = {name: part.cpu() for name, part in parts_of(model).items()}
    _check_fit(model)
    losses = {}
    with folder_written_whole(folder) as partial:
        for depth in range(1, model.num_blocks + 1):
            path = partial / f"depth{depth}.onnx"
            mix = torch.zeros(1, model.encoder.num_filters // 2, 1, 2)
            program = Program(SherpaPart(parts, depth), {"mix": mix}, ["enh"], [{}])
            caches = {name: list(cache.shape) for name, cache in program.states.items()}
            comment = f"bloomnet_sb, {depth} of {model.num_blocks} blocks"
            about = sherpa_metadata(sample_rate, model.encoder.window, caches, comment)
            write_program(program, path, about)
            if mixtures is not None:
                losses[depth] = _try_int8(parts, path, mixtures)
    return losses


def sherpa_metadata(
    sample_rate: int, window: int, caches: Mapping[str, Sequence[int]], comment: str
) -> dict[str, str]:
    """What sherpa-onnx reads in a file of GTCRN's kind, and a comment.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    window : int
        In samples; the hop is half of it.
    caches : mapping
        Name to shape of each cache.
    comment : str
        What the file is.

    Returns
    -------
    dict
        Name to text.

    Example
    -------
    >>> sherpa_metadata(16000, 512, {"conv_cache": (1, 8)}, "")["conv_cache_shape"]
    '1,8'
    """
    about = {
        "model_type": MODEL_TYPE,
        "version": 1,
        "sample_rate": sample_rate,
        "n_fft": window,
        "window_length": window,
        "hop_length": window // 2,
        "window_type": WINDOW_TYPE,
        "comment": comment,
    }
    shapes = {f"{name}_shape": ",".join(map(str, shape)) for name, shape in caches.items()}
    return {key: str(value) for key, value in {**about, **shapes}.items()}


class SherpaPart(Causal):
    """A frame of a spectrum to the enhanced one, with what is carried in GTCRN's three caches.

    conv_cache is the state of level and entry as one row, inter_cache that of the blocks.
    tra_cache is 0 before the first frame and 1 from then on: as sherpa-onnx starts with zeros
    everywhere, a state at 0 stands for the one that its layer starts with. Counts are floats here:
    they are exact up to 2^24 frames, 74 hours of 16 ms, and stay there.

    The offline denoiser lets the first window begin with the signal mirrored, a stream with
    silence. What is before the signal is made silent in that window, so that both hear the same.

    Arguments
    ---------
    parts : dict
        Of `bloomnet_sb.streaming.parts.parts_of`.
    depth : int
        How many blocks run.

    Example
    -------
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=2)).eval()
    >>> caches = SherpaPart(parts_of(model), depth=2).start(1, torch.zeros(1))
    >>> [(name, cache.numel()) for name, cache in caches.items()]
    [('conv_cache', 3886), ('tra_cache', 1), ('inter_cache', 8448)]
    """

    def __init__(self, parts: dict[str, Causal], depth: int):
        super().__init__()
        enter = cast(Enter, parts["enter"])
        self.num_filters = enter.encoder.num_filters
        self.level, self.entry = enter.level, enter.entry
        self.blocks = CausalSequential(
            *(cast(Block, parts[f"block{number}"]).block for number in range(1, depth + 1))
        )
        self.head = cast(Decode, parts[f"decode{depth}"]).head
        states = super().start(1, torch.zeros(1))
        of_blocks = {name: x for name, x in states.items() if name.startswith("blocks.")}
        # In the order in which sherpa-onnx hands them over
        self._carried: dict[str, State] = {
            "conv_cache": {name: x for name, x in states.items() if name not in of_blocks},
            "tra_cache": {},
            "inter_cache": of_blocks,
        }
        for cache, row in self._rows(states).items():
            self.register_buffer(f"{cache}_start", row, persistent=False)

    def start(self, batch: int, like: torch.Tensor) -> State:
        """Zeros, for one signal."""
        return {cache: torch.zeros_like(row) for cache, row in self._rows_at_start().items()}

    def step(self, x: Feature, state: State) -> tuple[Tensors, State]:
        """A frame [1, bins, 1, 2] of real and imaginary parts, enhanced."""
        (mix,) = x
        began = state["tra_cache"]
        before: State = {}
        for cache, row in self._rows_at_start().items():
            before.update(self._states(cache, state[cache] + (1 - began) * row))
        spectrum = mix.permute(0, 3, 1, 2).flatten(1, 2)
        features = torch.cond(began[0, 0] > 0, torch.clone, self._after_silence, (spectrum,))
        after: State = {}
        features, level = self.run("level", features, before, after)
        feature = self.run("blocks", self.run("entry", features, before, after), before, after)
        masked = self.head(feature, features) * level.unsqueeze(1)
        enhanced = masked.unflatten(2, (2, -1))[:, 0].permute(0, 2, 3, 1)
        return (enhanced,), {**self._rows(after), "tra_cache": torch.ones_like(began)}

    def _after_silence(self, spectrum: torch.Tensor) -> torch.Tensor:
        """The spectrum [1, filters, 1] of a window whose first half is silent."""
        # Sizes as numbers: in a branch, torch may take those of tensors for unknown.
        bins = self.num_filters // 2
        real, imaginary = spectrum.reshape(1, 2, bins).unbind(1)
        half = inverse_by_whole_spectra(real, imaginary)[:, bins - 1 :]
        silenced = torch.fft.rfft(torch.cat([torch.zeros_like(half), half], dim=1))
        return torch.cat([silenced.real, silenced.imag], dim=1).reshape(1, self.num_filters, 1)

    def _rows_at_start(self) -> State:
        return {cache: getattr(self, f"{cache}_start") for cache in self._carried}

    def _rows(self, states: State) -> State:
        """The caches of states, each a row; of no state, a zero."""
        return {
            cache: torch.cat(
                [states[name].reshape(1, -1).float() for name in starts] or [torch.zeros(1, 1)], 1
            )
            for cache, starts in self._carried.items()
        }

    def _states(self, cache: str, row: torch.Tensor) -> State:
        """What a row stands for."""
        starts = self._carried[cache]
        if not starts:
            return {}
        pieces = row.split([start.numel() for start in starts.values()], dim=1)
        return {
            name: piece.reshape(start.shape).to(start.dtype)
            for (name, start), piece in zip(starts.items(), pieces, strict=True)
        }


def _check_fit(model: BloomNet) -> None:
    """Refuse a network that sherpa-onnx cannot run as a GTCRN."""
    filterbank = model.encoder
    if model.num_sources != 1:
        raise InputError(
            f"sherpa-onnx's denoisers give one signal, but this network has {model.num_sources} "
            "sources"
        )
    if type(filterbank) is not STFTFilterbank:
        raise InputError(
            "sherpa-onnx runs networks on the spectra of an STFTFilterbank, but this network's "
            f"filterbank is a {type(filterbank).__name__}"
        )
    if filterbank.window != 2 * filterbank.hop:
        raise InputError(
            "sherpa-onnx's live denoiser takes windows of two hops, but this network's window is "
            f"{filterbank.window} and its hop {filterbank.hop} samples"
        )


def _try_int8(parts: dict[str, Causal], path: Path, mixtures: Sequence[dict]) -> float:
    """Write the file in 8 bits beside it, unless that loses too much; gives the loss in dB."""
    small = path.with_suffix(".int8.onnx")
    quantise(path, small)
    chosen = range(0, len(mixtures), -(-len(mixtures) // MOST_MIXTURES))
    loss = float(np.mean([_si_sdr_lost(parts, path, small, mixtures[n]) for n in chosen]))
    if not loss < MOST_LOSS_DB:
        small.unlink()
    return loss


@torch.no_grad()
def _si_sdr_lost(parts: dict[str, Causal], path: Path, other: Path, item: dict) -> float:
    """SI-SDR of what one file makes of a mixture, less that of another, in dB."""
    estimates = torch.stack([_enhanced(parts, file, item["mix"][None]) for file in (path, other)])
    before, after = -negative_si_sdr(estimates, item["target"][None]).flatten()
    return float(before - after)


def _enhanced(parts: dict[str, Causal], path: Path, mix: torch.Tensor) -> torch.Tensor:
    """What a file makes of a mixture [1, time], [1, time, 1]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    _, *names = [given.name for given in session.get_inputs()]
    caches = [np.zeros(given.shape, np.float32) for given in session.get_inputs()[1:]]
    filterbank, decoder = (
        cast(Enter, parts["enter"]).encoder,
        cast(Decode, parts["decode1"]).decoder,
    )
    frames = []
    features = filterbank(filterbank.windows_of(mix))
    spectra = features.unflatten(1, (2, -1)).permute(0, 2, 3, 1)  # [1, bins, frames, 2]
    for spectrum in spectra.split(1, dim=2):
        given = {"mix": spectrum.numpy(), **dict(zip(names, caches, strict=True))}
        enhanced, *caches = session.run(None, given)
        frames.append(torch.from_numpy(enhanced))
    masked = torch.cat(frames, dim=2).permute(0, 3, 1, 2).flatten(1, 2)
    return filterbank.overlap_add(decoder(masked.unsqueeze(1)), mix.shape[1])
