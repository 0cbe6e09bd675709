"""How much of a noisy file stays in its result: strength, and the band above the network's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch

from bloomnet_sb.streaming.full_band import FullBand, checked_highband
from bloomnet_sb.streaming.noisy_share import NoisyShare, noisy_share
from bloomnet_sb.utils.errors import InputError

Pieces = Iterator[torch.Tensor]


@dataclass(frozen=True)
class Amount:
    """How much of a noisy file stays in its result.

    Arguments
    ---------
    strength, attenuation_limit_db, highband
        As `bloomnet_sb.inference.enhancer.BloomEnhancer.enhance_file` takes them.

    Example
    -------
    >>> Amount(strength=0.9).check(num_sources=1)
    >>> Amount(strength=9.0).check(num_sources=1)
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: strength is 9.0, but must be within 0 and 1
    """

    strength: float = 1.0
    attenuation_limit_db: float | None = None
    highband: str | None = None

    def check(self, num_sources: int) -> None:
        """Refuse what cannot be, for a network of so many sources."""
        noisy_share(self.strength, self.attenuation_limit_db, InputError)
        checked_highband(self.highband, num_sources)


# Than what the network lets through
NO_MORE = Amount()


def around_network(
    pieces: Pieces,
    estimate: Callable[[Pieces], Pieces],
    rates: tuple[int, int],
    num_sources: int = 1,
    amount: Amount = NO_MORE,
) -> Pieces:
    """What a network makes of signals of another rate, with what is to stay of them.

    Arguments
    ---------
    pieces : iterator of torch.Tensor
        Successive pieces [channels, time] of the signals.
    estimate : callable
        Gives successive pieces [channels, time, sources] of estimates, for pieces at the network's
        rate.
    rates : tuple of int
        The network's, and that of the signals, in Hz.
    num_sources : int
        Of the network.
    amount : Amount
        How much stays.

    Yields
    ------
    torch.Tensor
        Successive pieces [channels, time, sources], at the signals' rate and on the CPU.

    Example
    -------
    >>> noisy = torch.randn(2, 4800)
    >>> def halved(pieces):
    ...     return (0.5 * piece[..., None] for piece in pieces)
    >>> result = around_network(iter(noisy.split(1000, dim=1)), halved, (16000, 48000))
    >>> torch.allclose(torch.cat(list(result), dim=1)[..., 0], 0.5 * noisy, atol=1e-5)
    True
    """
    first = next(pieces)
    channels, highband = len(first), checked_highband(amount.highband, num_sources)
    band = FullBand(*rates, channels, num_sources, highband)
    share = noisy_share(amount.strength, amount.attenuation_limit_db, InputError)
    noisy = NoisyShare(channels, 1, share)

    def for_network() -> Pieces:
        for piece in chain([first], pieces):
            noisy.keep(piece.numpy())
            yield torch.from_numpy(band.split(piece.numpy()))
        yield torch.from_numpy(band.split_end())

    for estimates in estimate(for_network()):
        joined = band.join(estimates.transpose(1, 2).cpu().numpy())
        yield torch.from_numpy(noisy.mix(joined)).transpose(1, 2)
    yield torch.from_numpy(noisy.mix(band.join_end())).transpose(1, 2)
