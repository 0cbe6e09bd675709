"""What each depth of a network costs: parameters, multiply-accumulates, time."""

import copy
import math
import time
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from bloomnet_sb.model import BloomNet


@dataclass(frozen=True)
class DepthProfile:
    """The cost of running a number of blocks.

    Arguments
    ---------
    blocks : int
        How many blocks run.
    parameters : int
        Parameters in use.
    macs_per_second : int
        Multiply-accumulates for a second of audio.
    real_time_factor : float
        Measured seconds of compute for a second of audio.
    """

    blocks: int
    parameters: int
    macs_per_second: int
    real_time_factor: float


def profile_depths(model: BloomNet, sample_rate: int, seconds: float = 4.0) -> list[DepthProfile]:
    """Profile a network at each depth, on the device that it is on.

    Arguments
    ---------
    model : BloomNet
        The network.
    sample_rate : int
        Its sample rate, in Hz.
    seconds : float
        Length of the audio whose operations are counted, and whose processing is timed, one
        mixture at a time; the best of 3 runs counts.

    Returns
    -------
    list of DepthProfile
        One entry for each number of blocks.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=2))
    >>> [depth.blocks for depth in profile_depths(model, sample_rate=16000, seconds=0.1)]
    [1, 2]
    """
    samples = round(seconds * sample_rate)
    return [
        DepthProfile(
            blocks=blocks,
            parameters=model.num_parameters(blocks),
            macs_per_second=round(macs / seconds),
            real_time_factor=_time_estimate(model, samples, blocks) / seconds,
        )
        for blocks, (macs, _) in enumerate(macs_of_depths(model, samples), 1)
    ]


def macs_of_depths(model: BloomNet, num_samples: int) -> list[tuple[int, int]]:
    """Multiply-accumulates of an estimate of one mixture: matrix products, filters, transforms.

    A Fourier transform of N samples counts as N log2 N.

    Arguments
    ---------
    model : BloomNet
        The network.
    num_samples : int
        Length of the mixture.

    Returns
    -------
    list of (int, int)
        For each number of blocks: those of its estimate, and those of its estimate and all before
        it, as where the depth is found by them; without those of element-wise operations.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(LearnedFilterbank(512, 16), ConvTasNetSeparator(dilation_cycle=6))
    >>> round(macs_of_depths(model, 16000)[5][0] / 1e6)
    1886
    """
    # On the meta device nothing is computed.
    model = copy.deepcopy(model).to("meta")
    counter = FlopCounterMode(display=False, custom_mapping=ALSO_COUNTED)
    decoding = [0]  # by the heads and decoders that have run

    def begin(*_) -> None:
        decoding[0] -= counter.get_total_flops()

    def end(*_) -> None:
        decoding[0] += counter.get_total_flops()

    for module in {*model.separator.heads, *model.decoders}:
        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)
    flops, of_others = [], 0
    with counter, torch.no_grad():
        for _ in model.estimates(torch.empty(1, num_samples, device="meta")):
            every = counter.get_total_flops()
            flops.append((every - of_others, every))
            of_others = decoding[0]
    return [(alone // 2, every // 2) for alone, every in flops]


def _transforms(shape: torch.Size, *_, out_shape: torch.Size, **__) -> int:
    samples = max(shape[-1], out_shape[-1])
    return round(2 * shape[:-1].numel() * samples * math.log2(samples))


def _multiply_adds(*_, out_shape: torch.Size, **__) -> int:
    return 2 * out_shape.numel()


# The floating point operations, two a multiply-accumulate, of what torch's counter leaves out:
# transforms, and the taps of filters that are written as multiply-adds
ALSO_COUNTED = {
    torch.ops.aten._fft_r2c: _transforms,
    torch.ops.aten._fft_c2r: _transforms,
    torch.ops.aten.addcmul: _multiply_adds,
    torch.ops.aten.addcmul_: _multiply_adds,
}


def _time_estimate(model: BloomNet, num_samples: int, blocks: int) -> float:
    mix = torch.randn(1, num_samples, device=next(model.parameters()).device)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        seconds = min(_seconds(model, mix, blocks) for _ in range(3))
    model.train(was_training)
    return seconds


def _seconds(model: BloomNet, mix: torch.Tensor, blocks: int) -> float:
    start = time.perf_counter()
    model.estimate(mix, blocks)
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and mix.device.type == accelerator.type:
        torch.accelerator.synchronize(mix.device)
    return time.perf_counter() - start
