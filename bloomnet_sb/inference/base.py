"""What the pretrained interfaces share: loading, choosing the depth, batches and streams."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

from bloomnet_sb.inference.loaded import LoadedNetwork
from bloomnet_sb.scoring.costs import DepthProfile, profile_depths
from bloomnet_sb.streaming.engines import CompiledEngine, EagerEngine
from bloomnet_sb.streaming.full_band import checked_highband
from bloomnet_sb.streaming.resampled_stream import ResampledStream, checked_stream_rate
from bloomnet_sb.streaming.stream import Stream
from bloomnet_sb.utils.errors import InputError, check_blocks, check_samples

# In place of a number of blocks: as many as a window needs.
AUTO = "auto"


class BloomInterface(LoadedNetwork):
    """What `BloomEnhancer` and `BloomSeparator` share.

    Attributes
    ----------
    blocks : int
        How many blocks run where a call does not say; at first all.
    blocks_used : list of int
        How many blocks ran in each window of the last file; for a file of more than eight channels,
        in each eight of each window.
    turn : context manager
        What the network runs in: nothing, but for threads that share it a lock.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sample_rate = self.hparams.sample_rate
        self.blocks_used: list[int] = []
        self.turn: AbstractContextManager = nullcontext()
        self._blocks = self.num_blocks
        # Whether compiled, to what the weights were and what runs a copy of them
        self._engines: dict[bool, tuple[tuple, EagerEngine | CompiledEngine]] = {}

    def __getstate__(self) -> dict:
        """All but the copies of the weights that files and streams run, which are made again."""
        return {**self.__dict__, "_engines": {}}

    @property
    def num_blocks(self) -> int:
        """The number of blocks that the network has, L."""
        return self.mods.model.num_blocks

    @property
    def blocks(self) -> int:
        """How many blocks run where a call does not say."""
        return self._blocks

    @blocks.setter
    def blocks(self, blocks: int) -> None:
        self._blocks = check_blocks(blocks, self.num_blocks)

    def profile(self) -> list[DepthProfile]:
        """What each number of blocks costs on this device.

        Returns
        -------
        list of DepthProfile
            For each number of blocks: parameters in use, multiply-accumulates per second of
            audio, measured real-time factor.
        """
        return profile_depths(self.mods.model, self.sample_rate)

    def stream(
        self,
        blocks: int | None = None,
        batch_size: int | None = None,
        fade_seconds: float = 0.02,
        compiled: bool = False,
        wait_seconds: float = 1.0,
        sample_rate: int | None = None,
        strength: float = 1.0,
        attenuation_limit_db: float | None = None,
        highband: str | None = None,
    ) -> Stream:
        """Process a signal as it comes, for causal networks.

        Streams are independent of each other and share a copy of the weights as they are when the
        stream is made.

        Arguments
        ---------
        blocks : int, optional
            How many blocks run; it may change at any time. Default: `self.blocks`.
        batch_size : int, optional
            How many signals come side by side, as chunks [batch_size, time]. Default: one, as
            chunks [time].
        fade_seconds : float
            Length of the cross-fade between two numbers of blocks, or two strengths.
        compiled : bool
            Whether torch compiles the network for this CPU, once, in a minute or more, with a C++
            compiler: a chunk then takes a half of the time or less. Not for batches. See
            `bloomnet_sb.streaming.engines.CompiledEngine`.
        wait_seconds : float
            How long blocks that never forget all, recurrent ones, run before they are heard.
        sample_rate : int, optional
            The rate of the chunks, in Hz, such as a sound device's; they are resampled to the
            network's and back, which adds 64 samples of the lower of both rates to the delay, 4 ms
            at 16 kHz. Default: the network's.
        strength : float
            How much is enhanced: 1, the network's output; 0, the noisy signal, delayed as that is.
            It may change at any time. Not for separation.
        attenuation_limit_db : float, optional
            The most, in dB, that anything is lowered: the noisy signal's share is 10^(-dB / 20) at
            least. It may change at any time. Not for separation. Default: no limit.
        highband : str, optional
            What becomes of the band above the network's, of chunks of a higher rate: "follow", it
            is let through as far as the network let its top octave through; "mute", it is left out.
            Default: "follow", or "mute" for separation.

        Returns
        -------
        Stream
            The stream, see `bloomnet_sb.streaming.stream`.

        Raises
        ------
        InputError
            If the network cannot stream, or an argument cannot be.
        """
        depth, rate = self._checked(blocks), self.sample_rate
        band = checked_highband(highband, self.mods.model.num_sources)
        amount = (strength, attenuation_limit_db)
        options = (depth, batch_size, fade_seconds, wait_seconds, *amount)
        if sample_rate is None or sample_rate == rate:
            return Stream(self._engine(compiled), rate, *options)
        device_rate = checked_stream_rate(sample_rate, rate)
        return ResampledStream(self._engine(compiled), rate, device_rate, *options, band)

    def _estimate_batch(
        self, mix: torch.Tensor, lengths: torch.Tensor | None, blocks: int | None
    ) -> torch.Tensor:
        """Estimates [batch, time, sources], each of its waveform without the padding."""
        blocks = self._checked(blocks)
        check_waveforms(mix, lengths)
        mix = mix.to(self.device).float()
        check_samples(mix, "the waveforms hold")
        if lengths is None:
            return self._estimate(mix, blocks)
        samples = (lengths.to(self.device) * mix.shape[1]).round().int()
        estimates = mix.new_zeros(*mix.shape, self.mods.model.num_sources)
        for length in samples[samples > 0].unique().tolist():
            alike = samples == length
            estimates[alike, :length] = self._estimate(mix[alike, :length], blocks)
        return estimates

    def _engine(self, compiled: bool) -> EagerEngine | CompiledEngine:
        model = self.mods.model
        weights = (model.training, *map(_version, _tensors(model)))
        made_of, engine = self._engines.get(compiled, (None, None))
        if engine is None or made_of != weights:  # the first, or the weights were trained or loaded
            engine = (CompiledEngine if compiled else EagerEngine)(model)
            self._engines[compiled] = weights, engine
        return engine

    def _checked(self, blocks: int | str | None) -> int:
        return self.blocks if blocks is None else check_blocks(blocks, self.num_blocks)

    def _estimate(
        self, mix: torch.Tensor, blocks: int, level: torch.Tensor | None = None
    ) -> torch.Tensor:
        with self.turn, torch.no_grad(), self.inference_ctx:
            return self.mods.model.estimate(mix, blocks, level).float()

    def _estimate_as_needed(
        self, mix: torch.Tensor, min_gain_db: float, level: torch.Tensor | None
    ) -> torch.Tensor:
        """The estimate of the first block that changes it by less than asked for, or of all."""
        self.blocks_used.append(0)
        with self.turn, torch.no_grad(), self.inference_ctx:
            before = None
            for estimate in self.mods.model.estimates(mix, level):
                self.blocks_used[-1] += 1
                if before is not None and _change_db(before, estimate) < min_gain_db:
                    break
                before = estimate
        return estimate.float()


def _tensors(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and buffers, in a third of the time that the methods of these names take."""
    for module in model.modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:
                yield tensor


def _version(tensor: torch.Tensor) -> tuple[int, int]:
    """What changes when a tensor is moved or written to."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _change_db(before: torch.Tensor, after: torch.Tensor) -> float:
    """The power of the change over that of the result, of the channel where it is highest."""
    power = after.square().mean((1, 2)).clamp(min=torch.finfo(torch.float32).tiny)
    change = (after - before).square().mean((1, 2))
    return 10 * torch.log10(change / power).max().item()


def check_waveforms(mix: torch.Tensor, lengths: torch.Tensor | None) -> None:
    """Refuse what is no batch of waveforms.

    Raises
    ------
    InputError
        If `mix` is no tensor [batch, time] of floating point numbers, or `lengths` not [batch] of
        shares of the time.

    Example
    -------
    >>> check_waveforms(torch.zeros(2, 16000), torch.tensor([1.0, 0.5]))
    """
    if not (isinstance(mix, torch.Tensor) and mix.is_floating_point() and mix.dim() == 2):
        found = f"{mix.dtype} {list(mix.shape)}" if hasattr(mix, "shape") else type(mix).__name__
        raise InputError(
            f"the waveforms are {found}, but must be a tensor [batch, time] of floating point"
        )
    if not mix.numel():
        raise InputError(f"the waveforms are {list(mix.shape)}: empty")
    if lengths is None:
        return
    shares = isinstance(lengths, torch.Tensor) and lengths.shape == mix.shape[:1]
    if not shares or not ((lengths >= 0) & (lengths <= 1)).all():
        raise InputError(
            f"lengths are {lengths}, but must be a tensor of {len(mix)} shares of the time, 0 to 1"
        )
