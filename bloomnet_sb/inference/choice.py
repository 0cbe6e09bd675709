"""The network that enhances many files, and how it runs."""

from dataclasses import asdict, dataclass

from bloomnet_sb.inference.amount import NO_MORE, Amount
from bloomnet_sb.inference.base import AUTO
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.scoring.costs import macs_of_depths
from bloomnet_sb.utils.errors import check_blocks


@dataclass(frozen=True)
class Choice:
    """The network, and how it is to be run on every file.

    Arguments
    ---------
    source : str
        As `BloomEnhancer.from_hparams` takes it.
    blocks : int or "auto", optional
        As `BloomEnhancer.enhance_file` takes it. Default: all.
    min_gain_db : float
        As `BloomEnhancer.enhance_file` takes it.
    amount : Amount
        How much of a noisy file stays in its result.
    device : str, optional
        Where the network runs. Default: a GPU, where there is one.

    Example
    -------
    >>> Choice("convtasnet-16k", blocks=1).load().num_blocks
    4
    """

    source: str
    blocks: int | str | None = None
    min_gain_db: float = -20.0
    amount: Amount = NO_MORE
    device: str | None = None

    def load(self) -> BloomEnhancer:
        """The network, on the device; it measures what it enhances."""
        enhancer = BloomEnhancer.from_hparams(source=self.source, run_opts={"device": self.device})
        enhancer.measuring = True
        return enhancer

    def check(self, enhancer: BloomEnhancer) -> None:
        """Refuse what the network cannot do.

        Raises
        ------
        InputError
            If it has not so many blocks, or the amount cannot be.
        """
        if self.blocks is not None and self.blocks != AUTO:
            check_blocks(self.blocks, enhancer.num_blocks)
        self.amount.check(num_sources=1)

    def head(self, enhancer: BloomEnhancer) -> dict:
        """What results depend on, the first line of their report: not where they were computed."""
        about = {name: value for name, value in asdict(self).items() if name != "device"}
        about["network"] = enhancer.mods.model.fingerprint()
        if self.blocks == AUTO:
            about["macs"] = _macs(enhancer)
        return about


def _macs(enhancer: BloomEnhancer) -> dict[str, list[int]]:
    """Multiply-accumulates for a second of audio at each depth: set, and found by "auto"."""
    fixed, found = zip(*macs_of_depths(enhancer.mods.model, enhancer.sample_rate), strict=True)
    return {"fixed": list(fixed), AUTO: list(found)}
