"""When a stream that changes its number of blocks runs, hears and fades which; pure Python."""

import math


class DepthSwitch:
    """The timeline of changes of the number of blocks, in frames of the encoder.

    Before each run of frames, `next_frames` decides which blocks run, which of them are to forget
    what they saw, which estimate is heard and which one fades in. Less depth: a fade begins with
    the next frame. More: blocks that come back are `exact` once all within their reach is live,
    and so is the input of each; the fade begins then.

    Arguments
    ---------
    reaches : sequence of int
        How many frames each block looks back.
    blocks : int
        How many blocks run at first.
    kernel_size, stride : int
        Of the encoder, in samples.
    fade_samples : int
        Length of a cross-fade.

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
    restarted : list of int
        The blocks, from 1, that begin anew with the next frame.

    Example
    -------
    >>> switch = DepthSwitch([10, 20], blocks=2, kernel_size=32, stride=16, fade_samples=320)
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
    >>> switch.next_frames(), switch.restarted, switch.heard, switch.fading_to
    (20, [2], 1, None)
    """

    def __init__(self, reaches, blocks: int, kernel_size: int, stride: int, fade_samples: int):
        self.reaches = list(reaches)
        self.kernel_size, self.stride, self.fade_samples = kernel_size, stride, fade_samples
        self.target = blocks
        self.restart()

    def restart(self) -> None:
        """Begin at the first frame of a signal."""
        self.frame = 0
        self.heard = self.running = self.target
        self.fading_to: int | None = None
        self.fade_start = 0
        self.restarted: list[int] = []
        # From which frame on the output of each block is what it would be had all always run.
        self._exact_from = [0] * (len(self.reaches) + 1)

    def next_frames(self) -> float:
        """Decide what holds from `frame` on, and for how many frames it does."""
        if self.frame == 0:
            self.restart()
        if self.fading_to is not None and self.frame >= self._fade_end:
            self.heard, self.fading_to = self.fading_to, None
        self._run(max(self.heard, self.target, self.fading_to or 0))
        if self.fading_to is None and self.target != self.heard:
            if self._exact_from[self.target] > self.frame:
                return self._exact_from[self.target] - self.frame
            self.fading_to = self.target
            # The first sample that no window of an earlier frame adds to.
            self.fade_start = self.frame * self.stride + self.kernel_size - self.stride
        return math.inf if self.fading_to is None else self._fade_end - self.frame

    @property
    def samples_since_fade_start(self) -> int:
        """How far the first sample of the next frame's window is behind the start of the fade."""
        return self.frame * self.stride - self.fade_start

    @property
    def _fade_end(self) -> int:
        """The first frame that adds to no sample of the fade."""
        return math.ceil((self.fade_start + self.fade_samples) / self.stride)

    def _run(self, running: int) -> None:
        self.restarted = list(range(self.running + 1, running + 1))
        for depth in self.restarted:
            exact_input_from = max(self.frame, self._exact_from[depth - 1])
            self._exact_from[depth] = exact_input_from + self.reaches[depth - 1]
        self.running = running
