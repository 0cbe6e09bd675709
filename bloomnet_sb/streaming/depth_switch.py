"""When a stream that changes its number of blocks runs, hears and fades which; pure Python."""

import math
from collections.abc import Sequence


class DepthSwitch:
    """The timeline of changes of the number of blocks, in frames of the filterbank.

    Before each run of frames, `next_frames` decides which blocks run, which estimate is heard and
    which one fades in. Less depth: a fade begins with the next frame. More: the blocks that come
    back go on from what they carried when they stopped, unheard. The warm-ups of blocks that forget
    add up, since each is exact only after its input is; blocks that never forget all share one
    wait. The fade begins then.

    Arguments
    ---------
    warm_ups : sequence of int or None
        The frames after which each block that missed some is exact; None: it never is.
    blocks : int
        How many blocks run at first.
    window, hop : int
        Of the filterbank, in samples.
    fade_samples : int
        Length of a cross-fade.
    wait_frames : int
        How long blocks that never forget all run before they are heard.

    Attributes
    ----------
    target : int
        How many blocks are asked for; may be set at any time.
    heard : int
        The number of blocks whose estimate is heard; in a fade, that of the outgoing one.
    fading_to : int or None
        The number of blocks whose estimate fades in.
    running : int
        How many blocks run.

    Example
    -------
    >>> switch = DepthSwitch([10, 20], 2, window=32, hop=16, fade_samples=320, wait_frames=500)
    >>> switch.next_frames(), switch.running
    (inf, 2)
    >>> switch.frame += 50
    >>> switch.target = 1
    >>> switch.next_frames(), switch.running, switch.fading_to
    (21, 2, 1)
    >>> switch.frame += 21
    >>> switch.next_frames(), switch.running, switch.fading_to
    (inf, 1, None)
    >>> switch.target = 2
    >>> switch.next_frames(), switch.running, switch.heard, switch.fading_to
    (20, 2, 1, None)
    """

    def __init__(
        self,
        warm_ups: Sequence[int | None],
        blocks: int,
        window: int,
        hop: int,
        fade_samples: int,
        wait_frames: int,
    ):
        self.warm_ups, self.wait_frames = list(warm_ups), wait_frames
        self.window, self.hop, self.fade_samples = window, hop, fade_samples
        self.target = blocks
        self.restart()

    def restart(self) -> None:
        """Begin at the first frame of a signal."""
        self.frame = 0
        self.heard = self.running = self.target
        self.fading_to: int | None = None
        self.fade_start = 0
        # From which frame on each block's output may be heard.
        self._ready_from = [0] * (len(self.warm_ups) + 1)

    def next_frames(self) -> float:
        """Decide what holds from `frame` on, and for how many frames it does."""
        if self.frame == 0:
            self.restart()
        if self.fading_to is not None and self.frame >= self._fade_end:
            self.heard, self.fading_to = self.fading_to, None
        self._run(max(self.heard, self.target, self.fading_to or 0))
        if self.fading_to is None and self.target != self.heard:
            if self._ready_from[self.target] > self.frame:
                return self._ready_from[self.target] - self.frame
            self.fading_to = self.target
            # The first sample that no window of an earlier frame adds to.
            self.fade_start = self.frame * self.hop + self.window - self.hop
        return math.inf if self.fading_to is None else self._fade_end - self.frame

    @property
    def samples_since_fade_start(self) -> int:
        """How far the first sample of the next frame's window is behind the start of the fade."""
        return self.frame * self.hop - self.fade_start

    @property
    def _fade_end(self) -> int:
        """The first frame that adds to no sample of the fade."""
        return math.ceil((self.fade_start + self.fade_samples) / self.hop)

    def _run(self, running: int) -> None:
        for depth in range(self.running + 1, running + 1):
            warm_up, before = self.warm_ups[depth - 1], self._ready_from[depth - 1]
            if warm_up is None:
                self._ready_from[depth] = max(self.frame + self.wait_frames, before)
            else:
                self._ready_from[depth] = max(self.frame, before) + warm_up
        self.running = running
