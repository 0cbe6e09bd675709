"""BLOOM-Net: one masking network that runs with as many blocks as the moment affords."""

import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial

import torch
from torch import nn

from bloomnet_sb.nn.causal import Causal, Feature, as_tuple, check_causal, of_each
from bloomnet_sb.nn.filterbanks import Filterbank
from bloomnet_sb.nn.levels import LogLevel, SignalLevel
from bloomnet_sb.nn.pauses import Pause
from bloomnet_sb.separators.base import Separator
from bloomnet_sb.utils.errors import InputError, check_blocks


class BloomNet(nn.Module):
    """A masking network whose separator is cut into L blocks (Kim and Kim, ICASSP 2022).

    With X the features of the mixture, N those features at one level, g that level, and z_0 the
    separator's entry of N, block l adds its residual to z_{l-1}, and the l-th estimate is s_l =
    synthesis_l(g head_l(z_l, N)), overlapped and added (arXiv 2111.09372, section 2). A gain on
    the input is a gain on the output.

    Arguments
    ---------
    filterbank : Filterbank
        Windows to features and back, see `bloomnet_sb.nn.filterbanks`.
    separator : Separator
        The backbone, see `bloomnet_sb.separators`.
    level : torch.nn.Module, optional
        Gives features at one level and that level, see `bloomnet_sb.nn.levels`. Default: for a
        causal separator the log level of the frames so far, else the level of the whole signal.

    Raises
    ------
    InputError
        If the separator takes another number of features than the filterbank gives, or those of
        another sample rate or hop, or one of separator and level is causal and the other is not.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=3)
    >>> model = BloomNet(LearnedFilterbank(num_filters=16, window=16), separator)
    >>> mix = torch.randn(2, 1000)
    >>> model(mix).shape
    torch.Size([3, 2, 1000, 1])
    >>> torch.equal(model.estimate(mix, blocks=2), model(mix)[1])
    True
    """

    def __init__(
        self, filterbank: Filterbank, separator: Separator, level: nn.Module | None = None
    ):
        super().__init__()
        if separator.num_filters != filterbank.num_filters:
            raise InputError(
                f"the filterbank gives {filterbank.num_filters} features, but the separator takes "
                f"{separator.num_filters}"
            )
        if separator.sample_rate not in (None, filterbank.sample_rate):
            raise InputError(
                f"the filterbank is for {filterbank.sample_rate} Hz, but the separator for "
                f"{separator.sample_rate} Hz"
            )
        if separator.window_hops not in (None, filterbank.window / filterbank.hop):
            raise InputError(
                f"the filterbank's window is {filterbank.window} and its hop {filterbank.hop} "
                f"samples, but this {type(separator).__name__} needs a window of "
                f"{separator.window_hops} hops"
            )
        if level is None:
            level = _default_level(filterbank, separator.causal)
        if separator.causal:
            check_causal(level, "level")
        elif isinstance(level, Causal):
            raise InputError(
                f"level is a {type(level).__name__}, which goes on from frame to frame: for causal "
                f"separators, which this {type(separator).__name__} is not"
            )
        self.encoder = filterbank
        self.level = level
        self.separator = separator
        self.decoders = nn.ModuleList(
            filterbank.make_synthesis() for _ in range(separator.num_blocks)
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
        pause: Pause | None = None,
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
            `bloomnet_sb.nn.levels.SignalLevel`. Default: that of `mix`.
        gradient_scale : float
            The gradient that goes back from a block to the one before is multiplied by this; the
            estimates stay as they are. At 0 a block is trained for its own estimate only (but for
            the encoder, which all estimates share).
        pause : Pause, optional
            Frames in which deeper blocks do not run; estimates are of the deepest that do. For
            training.

        Returns
        -------
        torch.Tensor
            Estimates [depths, batch, time, sources].

        Raises
        ------
        InputError
            If `blocks` or one of `depths` is no number of blocks of this network, `mix` is not
            [batch, time] with at least one sample, or `pause` is none of this network.
        """
        if blocks is None:
            blocks = max(depths) if depths else self.num_blocks
        check_blocks(blocks, self.num_blocks)
        wanted = {check_blocks(depth, blocks) for depth in depths or range(1, blocks + 1)}
        _check_mix(mix)
        return torch.stack(list(self._estimates(mix, blocks, wanted, level, gradient_scale, pause)))

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
        pause: Pause | None = None,
    ) -> Iterator[torch.Tensor]:
        features = self.encoder(self.encoder.windows_of(mix))
        given = () if level is None else (level,)
        features, level = self.level(features, *given)
        feature = self.separator.entry(features)
        shared: Feature = (features, level)
        if pause is not None:
            _check_pause(pause, feature, features.shape[2])
        for depth in range(1, blocks + 1):
            if depth > 1:
                feature = _with_gradient(feature, gradient_scale)
            if pause is not None and depth == pause.block:
                shared = (features, level.expand(-1, -1, features.shape[2]))
                heard = self._windows(depth - 1, pause.asleep(feature), *pause.asleep(shared, 2))
                feature, shared = pause.awake(feature), pause.awake(shared, 2)
            feature = self.separator.blocks[depth - 1](feature)
            if depth in wanted:
                windows = self._windows(depth, feature, *shared)
                if pause is not None and depth >= pause.block:
                    windows = pause.join(windows, heard, dim=2)
                yield self.encoder.overlap_add(windows, mix.shape[-1])

    def _windows(
        self, depth: int, feature: Feature, features: torch.Tensor, level: torch.Tensor
    ) -> torch.Tensor:
        """The windows [batch, sources, frames, window] of the estimate of `depth` blocks."""
        head, decoder = self.separator.heads[depth - 1], self.decoders[depth - 1]
        return decode(head, decoder, feature, features, level)

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
            "encoder", "level", "entry", or "block", "head" or "decoder" with a number from 1.

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
        trunk = ["encoder", "level", "entry", *(f"block{depth}" for depth in range(1, blocks + 1))]
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
        for tensor in {**dict(self.named_buffers()), **self.state_dict()}.values():
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:32]

    def _parts(self) -> dict[str, nn.Module]:
        parts = {"encoder": self.encoder, "level": self.level, "entry": self.separator.entry}
        stacks = {
            "block": self.separator.blocks,
            "head": self.separator.heads,
            "decoder": self.decoders,
        }
        for kind, modules in stacks.items():
            parts |= {f"{kind}{depth}": module for depth, module in enumerate(modules, 1)}
        return parts


def decode(
    head: nn.Module,
    decoder: nn.Module,
    feature: Feature,
    features: torch.Tensor,
    level: torch.Tensor,
) -> torch.Tensor:
    """The windows of an estimate, synthesis_l(g head_l(z_l, N)).

    Arguments
    ---------
    head, decoder : torch.nn.Module
        Of one depth.
    feature : torch.Tensor or tuple of torch.Tensor
        What its block gave.
    features, level : torch.Tensor
        What the network's level gave, [batch, filters, frames] and [batch, 1, frames or 1].

    Returns
    -------
    torch.Tensor
        [batch, sources, frames, window].

    Example
    -------
    >>> head, decoder = lambda z, features: z.unsqueeze(1) * features.unsqueeze(1), nn.Identity()
    >>> decode(head, decoder, torch.ones(1, 4, 9), torch.ones(1, 4, 9), torch.ones(1, 1, 9)).shape
    torch.Size([1, 1, 4, 9])
    """
    return decoder(head(feature, features) * level.unsqueeze(1))


def _check_mix(mix: torch.Tensor) -> None:
    if mix.dim() != 2 or mix.shape[-1] == 0:
        raise InputError(
            f"mix has shape {list(mix.shape)}, but must be [batch, time] with time >= 1"
        )


def _check_pause(pause: Pause, feature: Feature, frames: int) -> None:
    if pause.block < 2 or not 0 <= pause.start < pause.stop <= frames:
        raise InputError(f"{pause} is not of block 2 or a deeper one, within {frames} frames")
    if any(part.shape[1] != frames for part in as_tuple(feature)):
        raise InputError("a pause needs a separator whose features have frames in dimension 1")


def _default_level(filterbank: Filterbank, causal: bool) -> nn.Module:
    if not causal:
        return SignalLevel()
    return LogLevel(filterbank)


def _with_gradient(feature: Feature, scale: float) -> Feature:
    """A feature between two blocks, through which `scale` times the gradient passes."""
    if scale == 1 or not torch.is_grad_enabled():
        return feature
    return of_each(lambda part: torch.lerp(part.detach(), part, scale), feature)


def _settings(module: nn.Module) -> list[tuple[str, object]]:
    """What a module does beside its parts and weights: its numbers, names and functions."""
    settings = {name: value for name, value in vars(module).items() if name[0] != "_"}
    settings.pop("training")
    return [(name, _described(value)) for name, value in sorted(settings.items())]


def _described(value: object) -> object:
    """A setting as what is the same in another process."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, list | tuple):
        return [_described(each) for each in value]
    if isinstance(value, dict):
        return sorted((repr(key), repr(_described(each))) for key, each in value.items())
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, partial):
        return [_described(part) for part in (value.func, value.args, value.keywords)]
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, _described(getattr(value, field.name))) for field in fields(value)]
    return getattr(value, "__name__", None)
