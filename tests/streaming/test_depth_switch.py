import math

import pytest

from bloomnet_sb.streaming.depth_switch import DepthSwitch


def switched(warm_ups, blocks, target, at=50):
    """A switch at frame `at`, at which `target` blocks are asked for."""
    switch = DepthSwitch(warm_ups, blocks, window=32, hop=16, fade_samples=64, wait_frames=100)
    assert switch.next_frames() == math.inf
    switch.frame += at
    switch.target = target
    return switch


@pytest.mark.parametrize(
    ("warm_ups", "frames"),
    [
        ([5, 10, 20], 30),  # each is exact only after its input is
        ([5, None, None], 100),  # one wait for both
        ([5, 10, None], 100),
        ([5, None, 20], 120),  # exact 20 frames after what it hears is ready
    ],
)
def test_how_long_blocks_that_come_back_are_unheard(warm_ups, frames):
    switch = switched(warm_ups, blocks=1, target=3)
    assert switch.next_frames() == frames
    assert (switch.running, switch.heard, switch.fading_to) == (3, 1, None)
    switch.frame += frames
    assert switch.next_frames() == 5  # the frames that add to a fade of 64 samples
    assert switch.fading_to == 3


def test_fewer_blocks_fade_at_once_and_then_stop():
    switch = switched([None, None, None], blocks=3, target=1)
    assert switch.next_frames() == 5
    assert (switch.running, switch.heard, switch.fading_to) == (3, 3, 1)
    switch.frame += 5
    assert switch.next_frames() == math.inf
    assert (switch.running, switch.heard, switch.fading_to) == (1, 1, None)


def test_before_the_first_frame_a_change_is_the_beginning():
    switch = DepthSwitch([None, None], 1, window=32, hop=16, fade_samples=64, wait_frames=100)
    switch.target = 2
    assert switch.next_frames() == math.inf
    assert switch.heard == 2
