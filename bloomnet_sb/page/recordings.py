"""What a page lets one compare: a recording, its estimates at every depth, the clean speech."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from bloomnet_sb.nn.losses import best_order
from bloomnet_sb.scoring.costs import DepthProfile
from bloomnet_sb.scoring.depth_scores import DepthScores

NOISY, DEPTH, CLEAN = "noisy", "depth", "clean"


@dataclass(frozen=True)
class Network:
    """A network of a page.

    Arguments
    ---------
    name : str
        What it is called.
    costs : list of DepthProfile
        What each depth that is on the page costs.
    """

    name: str
    costs: list[DepthProfile]


@dataclass(frozen=True)
class Track:
    """One of the sounds that a listener switches between.

    Arguments
    ---------
    kind : str
        "noisy", "depth" or "clean".
    label : str
        What it is called beside its network's name.
    signal : numpy.ndarray
        [time], float32.
    network : int, optional
        The index of its network.
    blocks : int
        How many blocks ran.
    voice : int
        The index of the source, for networks that separate several.
    """

    kind: str
    label: str
    signal: np.ndarray
    network: int | None = None
    blocks: int = 0
    voice: int = 0


@dataclass(frozen=True)
class Recording:
    """A recording with all its tracks, the noisy one first.

    Arguments
    ---------
    name : str
        What it is called.
    sample_rate : int
        In Hz.
    tracks : list of Track
        All of one length.
    scores : list of dict
        For each network, number of blocks to its row of `DepthScores`, 0 for the noisy track; empty
        without clean speech.
    failures : list of str
        See `DepthScores.failures`.
    """

    name: str
    sample_rate: int
    tracks: list[Track]
    scores: list[dict[int, dict]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.tracks[0].signal) / self.sample_rate


def make_recording(
    name: str,
    sample_rate: int,
    mix: torch.Tensor,
    estimates: Sequence[dict[int, torch.Tensor]],
    clean: torch.Tensor | None = None,
    with_dnsmos: bool = False,
) -> Recording:
    """Gather the tracks of a recording, and score the estimates where there is clean speech.

    Arguments
    ---------
    name : str
        What the page calls it.
    sample_rate : int
        In Hz.
    mix : torch.Tensor
        The recording [time].
    estimates : sequence of dict
        For each network, number of blocks to estimate [time, sources].
    clean : torch.Tensor, optional
        The clean sources [time, sources]. The sources of an estimate are put in their order. A
        network of one source is to estimate the mean of them.
    with_dnsmos : bool
        Whether DNSMOS is among the scores.

    Returns
    -------
    Recording
        Its tracks are noisy, the depths of each network, clean.

    Example
    -------
    >>> mix, clean = torch.randn(16000), torch.randn(16000, 1)
    >>> estimates = [{1: torch.randn(16000, 1), 2: torch.randn(16000, 1)}]
    >>> recording = make_recording("street", 16000, mix, estimates, clean)
    >>> [track.label for track in recording.tracks]
    ['noisy', '1 block', '2 blocks', 'clean']
    >>> sorted(recording.scores[0])
    [0, 1, 2]
    """
    tracks = [Track(NOISY, "noisy", mix.numpy())]
    scores: list[dict[int, dict]] = []
    failures: list[str] = []
    sources = 1
    for network, by_depth in enumerate(estimates):
        signals = torch.stack(list(by_depth.values()))[:, None]
        sources = max(sources, signals.shape[-1])
        if clean is not None:
            target = (clean if signals.shape[-1] > 1 else clean.mean(1, keepdim=True))[None]
            signals = signals[..., best_order(target, signals)[0].argsort()]
            scored = DepthScores(list(by_depth), sample_rate, with_dnsmos)
            scored.add(name, mix[None], target, signals)
            scores.append({row["blocks"]: row for row in scored.rows})
            failures += scored.failures
        for blocks, signal in zip(by_depth, signals[:, 0], strict=True):
            label = "1 block" if blocks == 1 else f"{blocks} blocks"
            tracks += _voices(DEPTH, label, signal, network, blocks)
    if clean is not None:
        tracks += _voices(CLEAN, "clean", clean if sources > 1 else clean.mean(1, keepdim=True))
    return Recording(name, sample_rate, tracks, scores, list(dict.fromkeys(failures)))


def _voices(
    kind: str, label: str, signals: torch.Tensor, network: int | None = None, blocks: int = 0
) -> list[Track]:
    """The tracks of `signals` [time, sources]."""
    voices = signals.unbind(-1)
    names = [label] if len(voices) == 1 else [f"{label}, voice {n + 1}" for n in range(len(voices))]
    return [
        Track(kind, name, signal.numpy(), network, blocks, voice)
        for voice, (name, signal) in enumerate(zip(names, voices, strict=True))
    ]
