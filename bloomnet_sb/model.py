"""BLOOM-Net: one masking network that runs with as many blocks as the moment affords."""

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.norms import LevelNorm
from bloomnet_sb.separators.base import Separator
from bloomnet_sb.utils.errors import InputError, check_blocks, check_positive

ENCODER_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "linear": nn.Identity,
}


class BloomNet(nn.Module):
    """A masking network whose separator is cut into L blocks (Kim and Kim, ICASSP 2022).

    With X the encoded mixture and z_0 the separator's entry of it, block l adds its residual to
    z_{l-1}, and head l and decoder l make the l-th estimate: s_l = decoder_l(head_l(z_l) * X)
    (arXiv 2111.09372, section 2). The masks do not depend on the level of the mixture, and the
    encoder and decoders are linear up to a ReLU: a gain on the input is a gain on the output.

    Arguments
    ---------
    separator : Separator
        The backbone, see `bloomnet_sb.separators`.
    num_filters : int
        Filters of the encoder <N>.
    kernel_size : int
        Samples in a filter <L>.
    stride : int, optional
        Samples between two frames, at most `kernel_size`. Default: half of `kernel_size`.
    encoder_activation : str
        "relu" or "linear", what follows the encoder's filters.
    level_norm : bool
        Whether the separator gets features of unit level. Without it, as in other people's
        networks, the masks follow the level of a quiet mixture through the eps of the norms.
    pad_input : bool
        Whether the samples after the last whole frame get a frame of their own. Without it, as in
        Asteroid, the estimates are zero there.
    level_window : int, optional
        For causal separators: frames further back than this fade out of the level, so that a long
        call may change its level. Default: all frames so far count alike.

    Raises
    ------
    InputError
        For a size that cannot be, or an unknown activation.

    Example
    -------
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=3)
    >>> model = BloomNet(separator, num_filters=16, kernel_size=16)
    >>> mix = torch.randn(2, 1000)
    >>> model(mix).shape
    torch.Size([3, 2, 1000, 1])
    >>> torch.equal(model.estimate(mix, blocks=2), model(mix)[1])
    True
    """

    def __init__(
        self,
        separator: Separator,
        num_filters: int = 512,
        kernel_size: int = 16,
        stride: int | None = None,
        encoder_activation: str = "relu",
        level_norm: bool = True,
        pad_input: bool = True,
        level_window: int | None = None,
    ):
        super().__init__()
        check_positive(num_filters=num_filters, kernel_size=kernel_size)
        stride = max(kernel_size // 2, 1) if stride is None else stride
        check_positive(stride=stride)
        if stride > kernel_size:
            raise InputError(f"stride is {stride}, but may be at most kernel_size, {kernel_size}")
        if separator.num_filters != num_filters:
            raise InputError(
                f"num_filters is {num_filters}, but the separator takes {separator.num_filters}"
            )
        if level_window is not None and not level_norm:
            raise InputError(f"level_window is {level_window}, but there is no level_norm")
        self.encoder = Encoder(num_filters, kernel_size, stride, encoder_activation, pad_input)
        self.level_norm = LevelNorm(separator.causal, level_window) if level_norm else None
        self.separator = separator
        self.decoders = nn.ModuleList(
            Decoder(num_filters, kernel_size, stride) for _ in range(separator.num_blocks)
        )

    @property
    def num_blocks(self) -> int:
        """The number of blocks, L."""
        return self.separator.num_blocks

    @property
    def num_sources(self) -> int:
        """The number of sources in an estimate."""
        return self.separator.num_sources

    def forward(
        self,
        mix: torch.Tensor,
        blocks: int | None = None,
        depths: Sequence[int] | None = None,
        level: torch.Tensor | None = None,
        gradient_scale: float = 1.0,
    ) -> torch.Tensor:
        """Estimate the sources with each number of blocks.

        Arguments
        ---------
        mix : torch.Tensor
            Mixtures [batch, time], of one sample or more, at any level.
        blocks : int, optional
            How many blocks run. Default: all, or the largest of `depths`.
        depths : sequence of int, optional
            The numbers of blocks whose estimates are made, in rising order; the heads and decoders
            of the others do not run. Default: 1 to `blocks`.
        level : torch.Tensor, optional
            The level [batch] of the features of the whole signal, where `mix` is a part of it, see
            `bloomnet_sb.nn.norms.LevelNorm`. Default: that of `mix`.
        gradient_scale : float
            The gradient that goes back from a block to the one before is multiplied by this; the
            estimates stay as they are. At 0 a block is trained for its own estimate only (but for
            the encoder, which all estimates share).

        Returns
        -------
        torch.Tensor
            Estimates [depths, batch, time, sources].

        Raises
        ------
        InputError
            If `blocks` or one of `depths` is no number of blocks of this network, or `mix` is not
            [batch, time] with at least one sample.
        """
        if blocks is None:
            blocks = max(depths) if depths else self.num_blocks
        check_blocks(blocks, self.num_blocks)
        wanted = {check_blocks(depth, blocks) for depth in depths or range(1, blocks + 1)}
        _check_mix(mix)
        return torch.stack(list(self._estimates(mix, blocks, wanted, level, gradient_scale)))

    def estimates(
        self, mix: torch.Tensor, level: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """The estimates of 1 block, 2 blocks.., each of which runs when its estimate is asked for.

        Arguments
        ---------
        mix, level
            As `forward`.

        Yields
        ------
        torch.Tensor
            The next estimate [batch, time, sources].

        Raises
        ------
        InputError
            As `forward`.
        """
        _check_mix(mix)
        return self._estimates(mix, self.num_blocks, range(1, self.num_blocks + 1), level)

    def _estimates(
        self,
        mix: torch.Tensor,
        blocks: int,
        wanted: Container[int],
        level: torch.Tensor | None,
        gradient_scale: float = 1.0,
    ) -> Iterator[torch.Tensor]:
        features = self.encoder(mix)
        normed = features if self.level_norm is None else self.level_norm(features, level)
        state = self.separator.enter(normed)
        for depth in range(1, blocks + 1):
            if depth > 1:
                state = _with_gradient(state, gradient_scale)
            state = self.separator.blocks[depth - 1](state)
            if depth in wanted:
                masks = self.separator.heads[depth - 1](state)
                # A new tensor where autograd has to keep the masks.
                multiply = torch.mul if torch.is_grad_enabled() else torch.Tensor.mul_
                masked = multiply(masks, features.unsqueeze(1))
                yield self.decoders[depth - 1](masked, mix.shape[-1])

    def estimate(
        self, mix: torch.Tensor, blocks: int | None = None, level: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Estimate the sources with one number of blocks, running only what it needs.

        Arguments
        ---------
        mix : torch.Tensor
            Mixtures [batch, time].
        blocks : int, optional
            How many blocks run. Default: all.
        level : torch.Tensor, optional
            As `forward`.

        Returns
        -------
        torch.Tensor
            The estimate [batch, time, sources].

        Raises
        ------
        InputError
            As `forward`.
        """
        blocks = self.num_blocks if blocks is None else blocks
        return self(mix, depths=[blocks], level=level)[0]

    def part(self, name: str) -> nn.Module:
        """The modules that go by a name in a schedule.

        Arguments
        ---------
        name : str
            "encoder", "entry", or "block", "head" or "decoder" with a number from 1.

        Returns
        -------
        torch.nn.Module
            The part.

        Raises
        ------
        InputError
            If there is no such part.
        """
        parts = self._parts()
        if name not in parts:
            raise InputError(f"no part {name!r} in this network; it has {', '.join(parts)}")
        return parts[name]

    def parts_in_use(self, blocks: int) -> list[nn.Module]:
        """The parts that `estimate(mix, blocks)` runs."""
        check_blocks(blocks, self.num_blocks)
        trunk = ["encoder", "entry", *(f"block{depth}" for depth in range(1, blocks + 1))]
        return [self.part(name) for name in (*trunk, f"head{blocks}", f"decoder{blocks}")]

    def num_parameters(self, blocks: int | None = None) -> int:
        """The number of parameters that `estimate(mix, blocks)` uses; of all parts by default."""
        parts = [self] if blocks is None else self.parts_in_use(blocks)
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    def fingerprint(self) -> str:
        """A name for this network and its weights, of 32 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, module in self.named_modules():
            digest.update(repr((name, type(module).__name__, _settings(module))).encode())
        for tensor in self.state_dict().values():
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()[:32]

    def _parts(self) -> dict[str, nn.Module]:
        parts = {"encoder": self.encoder, "entry": self.separator.entry}
        stacks = {
            "block": self.separator.blocks,
            "head": self.separator.heads,
            "decoder": self.decoders,
        }
        for kind, modules in stacks.items():
            parts |= {f"{kind}{depth}": module for depth, module in enumerate(modules, 1)}
        return parts


def _check_mix(mix: torch.Tensor) -> None:
    if mix.dim() != 2 or mix.shape[-1] == 0:
        raise InputError(
            f"mix has shape {list(mix.shape)}, but must be [batch, time] with time >= 1"
        )


class Encoder(nn.Module):
    """A learned filterbank: a strided convolution as one matrix product.

    Arguments
    ---------
    num_filters : int
        Filters <N>.
    kernel_size : int
        Samples in a filter <L>.
    stride : int
        Samples between two frames.
    activation : str
        "relu" or "linear".
    pad_input : bool
        Whether the samples after the last whole frame get a frame of their own.

    Example
    -------
    >>> Encoder(16, kernel_size=16, stride=8)(torch.randn(2, 100)).shape
    torch.Size([2, 16, 12])
    """

    def __init__(
        self,
        num_filters: int,
        kernel_size: int,
        stride: int,
        activation: str = "relu",
        pad_input: bool = True,
    ):
        super().__init__()
        if activation not in ENCODER_ACTIVATIONS:
            raise InputError(
                f"encoder_activation is {activation!r}, but must be one of "
                f"{', '.join(ENCODER_ACTIVATIONS)}"
            )
        self.kernel_size, self.stride, self.pad_input = kernel_size, stride, pad_input
        self.weight = nn.Parameter(torch.empty(num_filters, kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.activation = ENCODER_ACTIVATIONS[activation]()

    def num_frames(self, samples: int) -> int:
        """The number of frames of a signal of `samples` samples; one at least."""
        beyond = max(samples - self.kernel_size, 0)
        return 1 + (-(-beyond // self.stride) if self.pad_input else beyond // self.stride)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """Features [batch, filters, frames] of `mix` [batch, time]."""
        samples = (self.num_frames(mix.shape[-1]) - 1) * self.stride + self.kernel_size
        padding = max(samples - mix.shape[-1], 0)
        frames = F.pad(mix, (0, padding)).unfold(-1, self.kernel_size, self.stride)
        return self.activation(self.weight @ frames.transpose(1, 2))


class Decoder(nn.Module):
    """A learned synthesis filterbank: one matrix product and an overlap-add.

    Arguments
    ---------
    num_filters : int
        Filters <N>.
    kernel_size : int
        Samples in a filter <L>.
    stride : int
        Samples between two frames.

    Example
    -------
    >>> Decoder(16, kernel_size=16, stride=8)(torch.rand(2, 1, 16, 12), length=100).shape
    torch.Size([2, 100, 1])
    """

    def __init__(self, num_filters: int, kernel_size: int, stride: int):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.weight = nn.Parameter(torch.empty(num_filters, kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, masked: torch.Tensor, length: int) -> torch.Tensor:
        """Signals [batch, length, sources] of `masked` [batch, sources, filters, frames]."""
        batch, sources, _, num_frames = masked.shape
        frames = (self.weight.t() @ masked).flatten(0, 1)
        signals = F.fold(
            frames,
            output_size=(1, (num_frames - 1) * self.stride + self.kernel_size),
            kernel_size=(1, self.kernel_size),
            stride=(1, self.stride),
        )
        signals = signals.view(batch, sources, -1)
        return F.pad(signals, (0, length - signals.shape[-1])).transpose(1, 2)


def _with_gradient(state: torch.Tensor | tuple, scale: float) -> torch.Tensor | tuple:
    """A separator's state, through which `scale` times the gradient passes."""
    if scale == 1 or not torch.is_grad_enabled():
        return state
    if isinstance(state, torch.Tensor):
        return torch.lerp(state.detach(), state, scale)
    scaled = (_with_gradient(v, scale) if isinstance(v, torch.Tensor) else v for v in state)
    return type(state)._make(scaled) if hasattr(state, "_make") else tuple(scaled)


def _settings(module: nn.Module) -> list[tuple[str, object]]:
    """What a module does beside its parts and weights: its numbers, names and functions."""
    plain = (bool, int, float, str, tuple, type(None))
    settings = {name: value for name, value in vars(module).items() if name[0] != "_"}
    settings.pop("training")
    return sorted(
        (name, value if isinstance(value, plain) else getattr(value, "__name__", None))
        for name, value in settings.items()
    )
