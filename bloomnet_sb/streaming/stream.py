"""Live enhancement, chunk by chunk, with a number of blocks that may change at any time."""

import math
from typing import Any

import torch

from bloomnet_sb.streaming.compiled import CompiledNet
from bloomnet_sb.streaming.depth_switch import DepthSwitch
from bloomnet_sb.streaming.framewise import FramewiseNet
from bloomnet_sb.utils.errors import InputError, check_blocks, check_positive, check_samples


class Stream:
    """One signal, or a batch of signals side by side, enhanced as it comes.

    Made by `BloomEnhancer.stream`. What `process` and `flush` return, one after the other, is the
    enhanced signal; it is that of the whole signal at once, however the signal is cut into chunks.

    A change of `blocks` takes effect without a click. Fewer blocks: the two estimates are
    cross-faded from the next frame on, and the blocks that are no longer needed stop. More
    blocks: those that come back are first run until nothing of what they missed is within their
    reach, unheard, and then faded in. Outside of fades, the output is that of the fixed number of
    blocks. (With the cumulative norm it is not: its mean is over all frames that a block saw.)

    Arguments
    ---------
    net : FramewiseNet or CompiledNet
        The network; streams may share one.
    sample_rate : int
        In Hz.
    blocks : int, optional
        How many blocks run. Default: all.
    batch_size : int, optional
        Chunks are [batch_size, time]. Default: they are [time].
    fade_seconds : float
        Length of a cross-fade between two numbers of blocks.

    Raises
    ------
    InputError
        If `blocks` is no number of blocks of this network, or another argument cannot be.

    Example
    -------
    >>> from bloomnet_sb import BloomEnhancer, BloomNet
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=2, norm="BN", causal=True)
    >>> model = BloomNet(separator, num_filters=16, kernel_size=32)
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> noisy, stream, enhanced = torch.randn(16000), enhancer.stream(), []
    >>> for chunk in noisy.split(160):
    ...     enhanced.append(stream.process(chunk))
    >>> enhanced = torch.cat([*enhanced, stream.flush()])
    >>> torch.allclose(enhanced, enhancer.enhance_batch(noisy[None])[0], atol=1e-4)
    True
    """

    def __init__(
        self,
        net: FramewiseNet | CompiledNet,
        sample_rate: int,
        blocks: int | None = None,
        batch_size: int | None = None,
        fade_seconds: float = 0.02,
    ):
        if batch_size is not None:
            check_positive(batch_size=batch_size)
        if not fade_seconds > 0:
            raise InputError(f"fade_seconds is {fade_seconds!r}, but must be above 0")
        self.net = net
        self.sample_rate = sample_rate
        self.batch_size = batch_size
        self._switch = DepthSwitch(
            [net.reach(depth) for depth in range(1, net.num_blocks + 1)],
            check_blocks(net.num_blocks if blocks is None else blocks, net.num_blocks),
            net.encoder.kernel_size,
            net.encoder.stride,
            fade_samples=max(round(fade_seconds * sample_rate), 1),
        )
        self.reset()

    @property
    def blocks(self) -> int:
        """How many blocks were asked for."""
        return self._switch.target

    @blocks.setter
    def blocks(self, blocks: int) -> None:
        self._switch.target = check_blocks(blocks, self.net.num_blocks)

    @property
    def heard_blocks(self) -> int:
        """The number of blocks whose estimate is heard; in a fade, that of the outgoing one."""
        return self._switch.heard

    @property
    def delay_samples(self) -> int:
        """The most samples that `process` holds back: the encoder's window less one."""
        return self.net.encoder.kernel_size - 1

    def reset(self) -> None:
        """Forget the signal; the next chunk is the start of another."""
        with torch.inference_mode():
            weight = self.net.encoder_weight
            kernel, stride = self.net.encoder.kernel_size, self.net.encoder.stride
            batch = self.batch_size or 1
            self._memory: Any = self.net.new_memory(batch)  # of the network's own kind
            self._waiting = weight.new_zeros(batch, 0)
            self._tail = weight.new_zeros(batch, kernel - stride)
        self._received = self._returned = 0
        self._switch.restart()

    def process(self, chunk: torch.Tensor) -> torch.Tensor:
        """Enhance the next chunk.

        Arguments
        ---------
        chunk : torch.Tensor
            [time], or [batch, time] for a batch; of any length, also none.

        Returns
        -------
        torch.Tensor
            The samples that are ready, of the same form. Up to `delay_samples` of those received
            are not; where chunks are whole strides of the encoder, a chunk comes back for a chunk
            from the second on.

        Raises
        ------
        InputError
            If the chunk has another form, or holds NaN or infinite samples; it is not taken then.
        """
        chunk = self._checked(chunk)
        self._received += chunk.shape[1]
        with torch.inference_mode():
            ready = self._process(chunk)
        self._returned += ready.shape[1]
        return self._returned_form(ready)

    def flush(self) -> torch.Tensor:
        """End the signal, and reset.

        Returns
        -------
        torch.Tensor
            The samples that `process` held back: with them, as many came back as went in.
        """
        encoder, left = self.net.encoder, self._received - self._returned
        if self._received == 0:
            return self._returned_form(self._waiting)
        last_sample = (encoder.num_frames(self._received) - 1) * encoder.stride
        padding = last_sample + encoder.kernel_size - self._received
        with torch.inference_mode():
            ready = self._process(self._waiting.new_zeros(len(self._waiting), max(padding, 0)))
            silence = self._waiting.new_zeros(len(self._waiting), left)
            ready = torch.cat([ready, self._tail, silence], dim=1)[:, :left]
        self.reset()
        return self._returned_form(ready)

    def _process(self, chunk: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.net.encoder.kernel_size, self.net.encoder.stride
        samples = torch.cat([self._waiting, chunk], dim=1)
        count = max((samples.shape[1] - kernel) // stride + 1, 0)
        self._waiting = samples[:, count * stride :]
        if count == 0:
            return samples[:, :0]
        windows = samples.unfold(1, kernel, stride)
        pieces, done = [], 0
        while done < count:
            frames = int(min(count - done, self._switch.next_frames(), self.net.most_frames))
            for depth in self._switch.restarted:
                self.net.restart(depth, self._memory)
            pieces.append(self._overlap_add(self._estimate(windows[:, done : done + frames])))
            self._switch.frame += frames
            done += frames
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def _estimate(self, windows: torch.Tensor) -> torch.Tensor:
        """The windows of what is heard, of windows of the noisy signal."""
        features, state = self.net.enter(windows, self._memory)
        estimates = {}
        switch = self._switch
        for depth in range(1, switch.running + 1):
            state = self.net.block(state, depth, self._memory)
            if depth in (switch.heard, switch.fading_to):
                estimates[depth] = self.net.decode(state, features, depth)
        heard = estimates[switch.heard]
        if switch.fading_to is None:
            return heard
        return torch.lerp(heard, estimates[switch.fading_to], self._share(windows.shape[1]))

    def _share(self, frames: int) -> torch.Tensor:
        """How much of what fades in is heard in each sample of the next windows."""
        stride, kernel = self.net.encoder.stride, self.net.encoder.kernel_size
        samples = torch.arange((frames - 1) * stride + kernel, device=self._waiting.device)
        since = samples + (self._switch.samples_since_fade_start + 0.5)
        share = 0.5 - 0.5 * torch.cos(math.pi * (since / self._switch.fade_samples).clamp(0, 1))
        return share.unfold(0, kernel, stride)

    def _overlap_add(self, windows: torch.Tensor) -> torch.Tensor:
        """Add windows to the tail of those before; gives the samples that are complete."""
        batch, frames, kernel = windows.shape
        stride = self.net.encoder.stride
        signal = windows.new_zeros(batch, (frames - 1) * stride + kernel)
        signal[:, : kernel - stride] = self._tail
        for start in range(0, kernel, stride):
            part = windows[:, :, start : start + stride]
            places = signal[:, start:].unfold(1, part.shape[2], stride)
            places[:, :frames] += part
        self._tail = signal[:, frames * stride :]
        return signal[:, : frames * stride]

    def _checked(self, chunk: torch.Tensor) -> torch.Tensor:
        if not isinstance(chunk, torch.Tensor) or not chunk.is_floating_point():
            kind = getattr(chunk, "dtype", type(chunk).__name__)
            raise InputError(f"a chunk is of {kind}, but must be a tensor of floats")
        form = "[time]" if self.batch_size is None else f"[{self.batch_size}, time]"
        rows = chunk[None] if self.batch_size is None else chunk
        if rows.dim() != 2 or rows.shape[0] != (self.batch_size or 1):
            raise InputError(f"a chunk has shape {list(chunk.shape)}, but must be {form}")
        rows = rows.to(self._waiting)
        check_samples(rows, "a chunk holds")
        return rows

    def _returned_form(self, signals: torch.Tensor) -> torch.Tensor:
        # A copy, outside inference mode, is an ordinary tensor.
        return (signals[0] if self.batch_size is None else signals).clone()
