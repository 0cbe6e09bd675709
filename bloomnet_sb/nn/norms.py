"""Normalisations of [batch, frames, channels], and linear layers of what they give."""

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.causal import Causal, State
from bloomnet_sb.nn.running_mean import running_mean
from bloomnet_sb.utils.errors import InputError


class _Moments(torch.autograd.Function):
    """Mean and mean square of each signal of a batch, with a backward of one pass."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        # By frames first: one single-precision sum over all of them loses four digits.
        mean = x.mean(2, dtype=torch.float32).mean(1)
        norm = torch.linalg.vector_norm(x, dim=2, dtype=torch.float32)
        return mean, norm.square().sum(1) / x[0].numel()

    @staticmethod
    def backward(ctx, grad_mean, grad_power):
        (x,) = ctx.saved_tensors
        # Of all channels: the kernel is slow where what it broadcasts is one number.
        grads = (grad / x[0].numel() for grad in (grad_mean, 2 * grad_power))
        add, factor = (g[:, None, None].to(x.dtype).repeat(1, 1, x.shape[2]) for g in grads)
        return torch.addcmul(add, x, factor)


class GlobalLayerNorm(nn.Module):
    """gLN: statistics over channels and frames (Luo and Mesgarani, 2019, eq. 7).

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> GlobalLayerNorm(8)(torch.rand(2, 50, 8)).mean((1, 2)).abs().max() < 1e-5
    tensor(True)
    """

    def __init__(self, channels: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def scale_and_shift(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What this norm does to `x`: [batch, 1, channels] each, to multiply and to add."""
        mean, power = _Moments.apply(x)
        variance = (power - mean.square()).clamp(min=0)
        scale = (variance + self.eps).rsqrt()[:, None, None] * self.weight
        return scale, self.bias - mean[:, None, None] * scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x` [batch, frames, channels]."""
        scale, shift = self.scale_and_shift(x)
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


class CumulativeLayerNorm(Causal):
    """cgLN: statistics over the channels of all frames so far (Luo and Mesgarani, 2019, eq. 9).

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> norm, x = CumulativeLayerNorm(8), torch.rand(2, 50, 8)
    >>> torch.allclose(norm(x)[:, :20], norm(x[:, :20]), atol=1e-6)
    True
    """

    warm_up = None  # a mean never forgets all

    def __init__(self, channels: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def start(self, batch: int, like: torch.Tensor) -> State:
        """Mean and mean square of no frame, and how many those are, [batch, 1] each."""
        zero = torch.zeros(batch, 1, device=like.device)
        return {"mean": zero, "power": zero.clone(), "frames": zero.long()}

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Normalise `x` [batch, frames, channels]."""
        power = torch.linalg.vector_norm(x.float(), dim=2).square() / x.shape[2]
        batch = x.shape[0]
        both, last, frames = running_mean(
            torch.cat([x.float().mean(2), power]),
            torch.cat([state["mean"], state["power"]]),
            state["frames"].repeat(2, 1),
        )
        mean, power = both.unsqueeze(2).split(batch)
        # Not 1 / sqrt(variance + eps): the ONNX optimizer takes adding 1e-8 for adding 0.
        variance = (power - mean.square()).clamp(min=0)
        scale = (variance / self.eps + 1).rsqrt() * self.eps**-0.5
        y = (x - mean.to(x.dtype)) * scale.to(x.dtype) * self.weight + self.bias
        return y, {"mean": last[:batch], "power": last[batch:], "frames": frames[:batch]}


class ChannelsLastBatchNorm(nn.BatchNorm1d):
    """BN of [.., channels]: statistics learned in training (Ioffe and Szegedy, 2015).

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> norm, x = ChannelsLastBatchNorm(8).eval(), torch.rand(2, 50, 33, 8)
    >>> scale, shift = norm.scale_and_shift()
    >>> torch.allclose(norm(x), scale * x + shift, atol=1e-5)
    True
    """

    # None in torch's, where no statistics are tracked.
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(channels, eps=eps)

    def scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What this norm does in evaluation: [channels] each, to multiply and to add."""
        scale = (self.running_var + self.eps).rsqrt() * self.weight
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x` [.., channels]."""
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


def norm_then_linear(norm: nn.Module, linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """A linear layer of the normalised `x`; gLN is a part of its weights, which saves a pass.

    Arguments
    ---------
    norm : torch.nn.Module
        A norm of `make_norm`.
    linear : torch.nn.Linear
        The layer.
    x : torch.Tensor
        [batch, frames, channels].

    Returns
    -------
    torch.Tensor
        `linear(norm(x))`, [batch, frames, channels out].

    Example
    -------
    >>> norm, linear, x = GlobalLayerNorm(8), nn.Linear(8, 4), torch.rand(2, 50, 8)
    >>> torch.allclose(norm_then_linear(norm, linear, x), linear(norm(x)), atol=1e-5)
    True
    """
    if not isinstance(norm, GlobalLayerNorm):
        return linear(norm(x))
    scale, shift = norm.scale_and_shift(x)
    weight = (linear.weight * scale).transpose(1, 2)
    return torch.baddbmm(F.linear(shift, linear.weight, linear.bias), x, weight)


NORMS = {
    "gLN": GlobalLayerNorm,
    "cLN": nn.LayerNorm,
    "cgLN": CumulativeLayerNorm,
    "BN": ChannelsLastBatchNorm,
}
# Those whose statistics are taken over the frames of the input.
NORMS_OVER_TIME = ("gLN", "cgLN")


def make_norm(name: str, channels: int, eps: float = 1e-8, causal: bool = False) -> nn.Module:
    """Build a normalisation of [batch, frames, channels] by its name.

    Arguments
    ---------
    name : str
        "gLN" (over channels and time), "cLN" (over the channels of each frame: what Asteroid and
        SpeechBrain call so, torch's LayerNorm), "cgLN" (over channels and all frames so far, which
        the Conv-TasNet paper calls cLN) or "BN" (batch normalisation).
    channels : int
        Number of channels.
    eps : float
        Added to the variance.
    causal : bool
        Whether the norm may look at the past only; "gLN" is refused then.

    Returns
    -------
    torch.nn.Module
        The norm.

    Raises
    ------
    InputError
        If the name is unknown, or the norm is not causal where it must be.

    Example
    -------
    >>> make_norm("gLN", 8)(torch.rand(2, 50, 8)).shape
    torch.Size([2, 50, 8])
    """
    if name not in NORMS:
        raise InputError(f"norm is {name!r}, but must be one of {', '.join(NORMS)}")
    if causal and name == "gLN":
        raise InputError("norm is 'gLN', which looks ahead; causal networks take cLN, cgLN or BN")
    return NORMS[name](channels, eps=eps)
