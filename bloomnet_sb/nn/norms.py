"""Normalisations of [batch, channels, frames], and folding them into the layer that follows."""

from typing import TypeGuard

import torch
from torch import nn

from bloomnet_sb.nn.carry import running_mean
from bloomnet_sb.utils.errors import InputError


class GlobalLayerNorm(nn.GroupNorm):
    """gLN: statistics over channels and time (Luo and Mesgarani, 2019, eq. 7).

    torch's group norm with one group, whose kernels are the fastest that torch has for this.

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> norm, x = GlobalLayerNorm(8), torch.rand(2, 8, 50)
    >>> scale, shift = norm.scale_and_shift(x)
    >>> torch.allclose(norm(x), scale * x + shift, atol=1e-5)
    True
    """

    def __init__(self, channels: int, eps: float = 1e-8):
        super().__init__(1, channels, eps=eps)

    def scale_and_shift(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What this norm does to `x`: [batch, channels, 1] each, to multiply and to add."""
        # By channels first: one single-precision sum over all of them loses four digits.
        mean = x.mean(2).mean(1)
        power = torch.linalg.vector_norm(x, dim=2).square().sum(1) / x[0].numel()
        scale = (power - mean.square()).clamp(min=0).add(self.eps).rsqrt()[:, None] * self.weight
        return scale.unsqueeze(2), (self.bias - mean[:, None] * scale).unsqueeze(2)


class BatchNorm(nn.BatchNorm1d):
    """BN: statistics learned in training (Ioffe and Szegedy, 2015).

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> norm, x = BatchNorm(8).eval(), torch.rand(2, 8, 50)
    >>> scale, shift = norm.scale_and_shift(x)
    >>> torch.allclose(norm(x), scale * x + shift, atol=1e-5)
    True
    """

    # None in torch's, where no statistics are tracked.
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, eps: float = 1e-8):
        super().__init__(channels, eps=eps)

    def scale_and_shift(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What this norm does to `x` in evaluation: [batch, channels, 1] each."""
        scale = (self.running_var + self.eps).rsqrt() * self.weight
        shift = self.bias - self.running_mean * scale
        return scale.expand(len(x), -1).unsqueeze(2), shift.expand(len(x), -1).unsqueeze(2)


class ChannelsLastBatchNorm(nn.BatchNorm1d):
    """BN of tensors with the channels last, [.., channels].

    Arguments
    ---------
    channels : int
        Number of channels.

    Example
    -------
    >>> ChannelsLastBatchNorm(8)(torch.rand(2, 50, 33, 8)).shape
    torch.Size([2, 50, 33, 8])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x` [.., channels]."""
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


def can_fold(norm: nn.Module, x: torch.Tensor) -> TypeGuard[GlobalLayerNorm | BatchNorm]:
    """Whether a norm of `x` may be folded into the layer that follows it.

    In evaluation, outside autograd, in single precision on a CPU, and where the norm is the same
    scale and shift for all frames.

    Arguments
    ---------
    norm : torch.nn.Module
        The norm.
    x : torch.Tensor
        Its input.

    Returns
    -------
    bool
        Whether `norm.scale_and_shift` may be used.
    """
    return (
        hasattr(norm, "scale_and_shift")
        and not norm.training
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and x.device.type == "cpu"
        and x.dtype == torch.float32
    )


def norm_then_pointwise(norm: nn.Module, layer: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution of the normalised `x`, with the norm folded into it where it can be.

    Arguments
    ---------
    norm : torch.nn.Module
        A norm of `make_norm`.
    layer : torch.nn.Conv1d
        The convolution, of kernel size 1.
    x : torch.Tensor
        [batch, channels, frames].

    Returns
    -------
    torch.Tensor
        `layer(norm(x))`, [batch, channels out, frames].

    Example
    -------
    >>> norm, layer, x = GlobalLayerNorm(8).eval(), nn.Conv1d(8, 4, 1), torch.rand(2, 8, 50)
    >>> with torch.no_grad():
    ...     torch.allclose(norm_then_pointwise(norm, layer, x), layer(norm(x)), atol=1e-5)
    True
    """
    if not can_fold(norm, x):
        return layer(norm(x))
    scale, shift = norm.scale_and_shift(x)
    weight = layer.weight.squeeze(-1)
    bias = weight @ shift
    if layer.bias is not None:
        bias = bias + layer.bias[:, None]
    return torch.baddbmm(bias, weight * scale.transpose(1, 2), x)


class ChannelLayerNorm(nn.Module):
    """cLN: each frame is normalised over its channels, so it is causal.

    The channel-wise norm that Asteroid and SpeechBrain call cLN. The cumulative norm of the
    Conv-TasNet paper (Luo and Mesgarani, 2019, eq. 9), also written cLN there, is
    `CumulativeLayerNorm`.

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> ChannelLayerNorm(8)(torch.rand(2, 8, 50)).mean(1).abs().max() < 1e-5
    tensor(True)
    """

    def __init__(self, channels: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x` [batch, channels, frames]."""
        variance, mean = torch.var_mean(x.float(), dim=1, keepdim=True, correction=0)
        return _affine((x - mean) * (variance + self.eps).rsqrt(), self)


class CumulativeLayerNorm(ChannelLayerNorm):
    """cgLN: statistics over the channels of all frames so far (Luo and Mesgarani, 2019, eq. 9).

    Arguments
    ---------
    channels : int
        Number of channels.
    eps : float
        Added to the variance.

    Example
    -------
    >>> norm, x = CumulativeLayerNorm(8), torch.rand(2, 8, 50)
    >>> torch.allclose(norm(x)[..., :20], norm(x[..., :20]), atol=1e-6)
    True
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x` [batch, channels, frames]."""
        power = torch.linalg.vector_norm(x.float(), dim=1, keepdim=True).square() / x.shape[1]
        # Double over time only: what is lost in the sum of a frame is not lost again and again.
        mean = running_mean((self, "mean"), x.float().mean(1, keepdim=True))
        power = running_mean((self, "power"), power)
        scale = ((power - mean.square()).clamp(min=0) + self.eps).rsqrt()
        return _affine((x - mean.to(x.dtype)) * scale.to(x.dtype), self)


def _affine(x: torch.Tensor, norm: ChannelLayerNorm) -> torch.Tensor:
    return x * norm.weight[:, None] + norm.bias[:, None]


class LevelNorm(nn.Module):
    """Divides features by their level, so that a mask does not depend on the input's gain.

    Without it, batch normalisation knows the level of the training mixtures only, and the eps of
    the other norms gains weight as the input gets quieter.

    Arguments
    ---------
    causal : bool
        Whether the level of a frame is that of the frames so far, or of all frames.
    window : int, optional
        Where causal, frames further back than this fade out, see
        `bloomnet_sb.nn.carry.RunningMean`. Default: all frames so far count alike.

    Raises
    ------
    InputError
        If `window` is below 2, or given where the norm is not causal.

    Example
    -------
    >>> features = torch.rand(2, 8, 50)
    >>> norm = LevelNorm(causal=True)
    >>> torch.allclose(norm(features), norm(1e-4 * features), rtol=1e-5)
    True
    """

    def __init__(self, causal: bool = False, window: int | None = None):
        super().__init__()
        if window is not None and (not causal or window < 2):
            raise InputError(
                f"the level's window is {window} frames, but must be 2 or more, and is for causal "
                "networks only"
            )
        self.causal = causal
        self.window = window

    def forward(self, features: torch.Tensor, level: torch.Tensor | None = None) -> torch.Tensor:
        """Scale features to unit root mean square; silence stays.

        Arguments
        ---------
        features : torch.Tensor
            [batch, filters, frames].
        level : torch.Tensor, optional
            The root mean square [batch] to divide by. Default: that of `features`, of the frames
            so far where causal.

        Returns
        -------
        torch.Tensor
            [batch, filters, frames].
        """
        if level is not None:
            level = level[:, None, None]
        elif self.causal:
            norm = torch.linalg.vector_norm(features.float(), dim=1, keepdim=True)
            level = running_mean(self, norm.square() / features.shape[1], self.window).sqrt()
        else:
            # The norm of [batch, filters * frames] is one pass where a mean of squares is two.
            norm = torch.linalg.vector_norm(features.float().flatten(1), dim=1)
            level = norm[:, None, None] / features[0].numel() ** 0.5
        return features / level.to(features.dtype).clamp(min=torch.finfo(features.dtype).tiny)


NORMS = {
    "gLN": GlobalLayerNorm,
    "cLN": ChannelLayerNorm,
    "cgLN": CumulativeLayerNorm,
    "BN": BatchNorm,
}
# Those whose statistics are taken over the frames of the input.
NORMS_OVER_TIME = ("gLN", "cgLN")


def make_norm(name: str, channels: int, eps: float = 1e-8, causal: bool = False) -> nn.Module:
    """Build a normalisation of [batch, channels, frames] by its name.

    Arguments
    ---------
    name : str
        "gLN" (over channels and time), "cLN" (over the channels of each frame), "cgLN"
        (over channels and all frames so far) or "BN" (batch normalisation).
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
    >>> make_norm("gLN", 8)(torch.rand(2, 8, 50)).shape
    torch.Size([2, 8, 50])
    """
    if name not in NORMS:
        raise InputError(f"norm is {name!r}, but must be one of {', '.join(NORMS)}")
    if causal and name == "gLN":
        raise InputError("norm is 'gLN', which looks ahead; causal networks take cLN, cgLN or BN")
    return NORMS[name](channels, eps=eps)
