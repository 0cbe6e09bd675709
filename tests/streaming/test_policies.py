from itertools import pairwise

import pytest
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.separators import BandRNNSeparator
from bloomnet_sb.streaming.policies import (
    Battery,
    BudgetedStream,
    Fixed,
    Observation,
    Policy,
    Power,
    RealTime,
    Schedule,
)
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import interface, network

CHUNK_SECONDS = 0.01


def simulate(policy, load_of_a_block, seconds, blocks=4, start=100.0):
    """The blocks of each chunk, on a fake clock, where a block costs load_of_a_block(time)."""
    return simulate_load(
        policy, lambda blocks, passed: blocks * load_of_a_block(passed), seconds, blocks, start
    )


def simulate_load(policy, load, seconds, blocks=4, start=100.0):
    """The blocks of each chunk, on a fake clock, where they cost load(blocks, time)."""
    num_blocks, chosen = 4, []
    for number in range(round(seconds / CHUNK_SECONDS)):
        passed = number * CHUNK_SECONDS
        compute = load(blocks, passed) * CHUNK_SECONDS
        chosen.append(blocks)
        seen = Observation(start + passed, blocks, num_blocks, compute, CHUNK_SECONDS)
        blocks = policy.choose(seen)
    return chosen


def changes(chosen):
    return [number * CHUNK_SECONDS for number, (a, b) in enumerate(pairwise(chosen), 1) if a != b]


def step(before, after, at):
    return lambda seconds: before if seconds < at else after


def test_it_stays_where_there_is_room():
    assert set(simulate(RealTime(0.3), lambda _: 0.05, 20)) == {4}


@pytest.mark.parametrize(("load", "settles_at"), [(0.09, 3), (0.14, 2), (0.25, 1), (1.0, 1)])
def test_an_overload_is_over_with_the_next_chunk(load, settles_at):
    chosen = simulate(RealTime(0.3), step(0.05, load, at=1.0), 3.0)
    # Down with the next chunk; one retry, as the first may have been a hiccup.
    assert changes(chosen)[0] == pytest.approx(1.01)
    assert chosen.count(4) in (101, 102)
    assert set(chosen[101:125]) == set(chosen[128:]) == {settles_at}


def test_it_comes_back_block_by_block_after_quiet():
    chosen = simulate(RealTime(0.3, quiet_seconds=2.0), step(0.25, 0.05, at=1.0), 12.0)
    assert chosen[:3] == [4, 1, 1]
    assert chosen[-1] == 4
    ups = changes(chosen)[3:]  # after the overload, the retry and its overload
    assert ups[0] <= 1.0 + 2 * 2.0 + CHUNK_SECONDS
    assert all(2.0 - 1e-6 <= b - a <= 2.0 + 2 * CHUNK_SECONDS for a, b in pairwise(ups))


def test_it_does_not_add_a_block_that_would_not_fit():
    # Two blocks are 0.22; three would be 0.33.
    chosen = simulate(RealTime(0.3), lambda _: 0.11, 60)
    assert changes(chosen) == pytest.approx([0.01, 0.26, 0.27])
    assert set(chosen[30:]) == {2}


def test_what_runs_at_any_depth_is_no_reason_not_to_add_a_block():
    """A load of 0.18 with one block, of 0.24 with two, which it would take for 0.36."""
    policies = (RealTime(0.3, overhead=2.0), RealTime(0.3, overhead=0.0))
    ends = [
        simulate_load(policy, lambda blocks, _: 0.12 + 0.06 * blocks, 20, blocks=1)[-1]
        for policy in policies
    ]
    assert ends == [2, 1]


def test_a_load_that_misleads_it_makes_it_patient():
    """A second block always overloads, though one alone looks light."""
    blocks, added = 4, []
    policy = RealTime(0.3, quiet_seconds=1.0)
    for number in range(6000):
        load = 0.1 if blocks == 1 else 0.5
        seen = Observation(number * CHUNK_SECONDS, blocks, 4, load * CHUNK_SECONDS, CHUNK_SECONDS)
        chosen = policy.choose(seen)
        if chosen > blocks:
            added.append(seen.seconds)
        blocks = chosen
    waits = [b - a for a, b in pairwise(added)]
    assert all(b > 1.9 * a for a, b in pairwise(waits[:-1]))
    assert waits[0] < 2.1
    assert waits[-1] > 7 * waits[0]
    assert len(added) < 8


def test_it_goes_on_from_what_somebody_else_chose():
    """Not back to the blocks of before an overload, which may be minutes ago."""
    policy = RealTime(0.3)
    policy.choose(Observation(0.0, 4, 4, 0.001, CHUNK_SECONDS))
    assert policy.choose(Observation(5.0, 4, 4, 0.009, CHUNK_SECONDS)) == 1
    assert policy.choose(Observation(65.0, 2, 4, 0.0005, CHUNK_SECONDS)) == 2
    stream = BudgetedStream(interface(network("causal BN")).stream(), policy)
    policy.choose(Observation(100.0, 4, 4, 0.009, CHUNK_SECONDS))
    stream.policy = Fixed(1)
    stream.policy = policy
    assert policy.choose(Observation(160.0, 1, 4, 0.0005, CHUNK_SECONDS)) == 1


def test_patience_ends_when_a_block_has_held():
    policy = RealTime(0.3, quiet_seconds=1.0)
    simulate(policy, lambda passed: 0.05 if passed % 1.5 < 1.2 else 0.2, 20)
    assert policy._patience > 1
    assert simulate(policy, lambda _: 0.02, 120, blocks=1, start=1000.0)[-1] == 4
    assert policy._patience == 1


@pytest.mark.parametrize("every", [2.5, 5.0])
def test_lone_late_chunks_cost_little(every):
    chosen = simulate(RealTime(0.3), hiccup(0.2, every), 20)
    assert chosen[round(every * 100)] == 1
    assert chosen.count(4) / len(chosen) > 0.99 - 0.25 / every


def test_lone_late_chunks_do_not_keep_it_down():
    assert simulate(RealTime(0.3), hiccup(0.4, every=10), 60, blocks=1).count(4) > 4500


def hiccup(load, every):
    """A load of 0.05, but `load` in the last chunk of every so many seconds."""
    chunks = round(every / CHUNK_SECONDS)
    return lambda passed: load if (round(passed / CHUNK_SECONDS) + 1) % chunks == 0 else 0.05


@pytest.mark.parametrize(("now", "blocks"), [(0, 3), (4.99, 3), (5, 1), (7, 4), (100, 4)])
def test_a_schedule(now, blocks):
    schedule = Schedule([(0, 3), (5, 1), (7, 9)])
    schedule.choose(Observation(50.0, 4, 4, 0, CHUNK_SECONDS))
    assert schedule.choose(Observation(50.0 + now, 4, 4, 0, CHUNK_SECONDS)) == blocks


@pytest.mark.parametrize(
    ("battery", "blocks"),
    [
        (Battery(80, False), 4),
        (Battery(50, False), 4),
        (Battery(49, False), 2),
        (Battery(5, False), 1),
        (Battery(5, True), 4),
        (None, 4),
    ],
)
def test_power(battery, blocks):
    policy = Power({20: 1, 50: 2}, battery=lambda: battery)
    assert policy.choose(Observation(0.0, 3, 4, 0, CHUNK_SECONDS)) == blocks


def test_the_battery_is_not_asked_for_every_chunk():
    asked = []
    policy = Power({50: 1}, battery=lambda: asked.append(1), every_seconds=10.0)
    simulate(policy, lambda _: 0.1, 25)
    assert len(asked) == 3


def test_this_machines_battery_or_none():
    pytest.importorskip("psutil")
    assert Power({1: 1}).choose(Observation(0.0, 2, 4, 0, CHUNK_SECONDS)) in (1, 4)


def test_a_stream_follows_its_policy():
    class Alternating(Policy):
        def choose(self, seen):
            assert seen.audio_seconds == pytest.approx(0.1)
            assert seen.num_blocks == 3
            return 1 if seen.blocks == 3 else 3

    now = iter(range(100))
    stream = BudgetedStream(
        interface(network("causal BN")).stream(), Alternating(), clock=lambda: next(now)
    )
    noisy, used, out = torch.randn(8000), [], []
    for chunk in noisy.split(1600):
        used.append(stream.stream.blocks)
        out.append(stream.process(chunk))
    assert used == [3, 1, 3, 1, 3]
    assert stream.seen.load == pytest.approx(10)
    assert len(torch.cat([*out, stream.flush()])) == 8000
    assert stream.process(noisy[:0]).shape == (0,)


class TimedEngine:
    """Computes nothing, but a clock goes on by what that costs, in shares of a frame's hop."""

    def __init__(self, facts, hop_seconds, block, other):
        self.facts, self.hop_seconds, self.costs, self.now = facts, hop_seconds, (block, other), 0.0

    def start(self, part, batch_size):
        return None

    def enter(self, windows, state):
        self.now += windows.shape[1] * self.costs[1] * self.hop_seconds
        return windows, None, None

    def block(self, depth, feature, state):
        self.now += feature.shape[1] * self.costs[0] * self.hop_seconds
        return feature, None

    def decode(self, depth, feature, shared):
        return feature[:, None]


def followed(chunk_seconds, block, other, seconds, sample_rate=None):
    """The blocks of each chunk of a stream of six that cost `block` each and `other` beside."""
    model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=6))
    stream = interface(model).stream(sample_rate=sample_rate)
    engine = stream.engine = TimedEngine(stream.facts, stream.hop_seconds, block, other)
    stream.reset()
    budgeted = BudgetedStream(stream, RealTime(0.3), clock=lambda: engine.now)
    chosen, chunk = [], torch.zeros(round(chunk_seconds * stream.sample_rate))
    for number in range(round(seconds / chunk_seconds)):
        engine.now = max(engine.now, (number + 1) * chunk_seconds)
        budgeted.process(chunk)
        chosen.append(budgeted.seen.blocks)
    return chosen


def test_blocks_that_fade_out_are_not_taken_for_those_that_stay():
    chosen = followed(0.016, block=0.05, other=0.02, seconds=1.5)
    assert set(chosen) == {5, 6}  # of 0.27 and 0.32
    assert chosen.count(6) <= 3  # the first, and one retry


@pytest.mark.parametrize("sample_rate", [None, 48000])
@pytest.mark.parametrize("chunk_seconds", [0.004, 0.01, 0.017, 0.024])
def test_a_load_does_not_depend_on_how_chunks_fall_on_frames(chunk_seconds, sample_rate):
    assert set(followed(chunk_seconds, 0.035, 0.05, 1.0, sample_rate)) == {6}  # 0.26


@pytest.mark.parametrize("chunk_seconds", [1.2, 2.0, 5.0])
def test_long_chunks_are_retried_once(chunk_seconds):
    assert followed(chunk_seconds, 0.05, 0.02, 20 * chunk_seconds).count(6) <= 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0), "blocks is 0"),
        (lambda: RealTime(target=0), "target is 0"),
        (lambda: RealTime(quiet_seconds=-1), "quiet_seconds is -1"),
        (lambda: RealTime(margin=2), "margin is 2"),
        (lambda: RealTime(overhead=-1), "overhead is -1"),
        (lambda: Schedule([(1, 2)]), "must start at 0 and rise"),
        (lambda: Schedule([(0, 2), (0, 3)]), "must start at 0 and rise"),
        (lambda: Schedule([]), "must start at 0 and rise"),
        (lambda: Schedule([(0, 0)]), "blocks from 0 s on is 0"),
        (lambda: Power({120: 1}), "a charge of 120 %"),
        (lambda: Power({20: 0}), "blocks below 20 % is 0"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(InputError, match=message):
        make()
