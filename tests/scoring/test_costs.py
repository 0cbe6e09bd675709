import torch

from bloomnet_sb.scoring.costs import macs_of_depths, profile_depths
from tests.helpers.networks import band_rnn, conv_tasnet


def test_macs_by_hand():
    model = conv_tasnet(num_blocks=2, layers_per_block=1, kernel_size=3, norm="cLN", causal=True)
    frames = (1600 - 16) // 8 + 1
    filters, kernel, bottleneck, hidden = 16, 16, 8, 12
    layer = 2 * bottleneck * hidden + 3 * hidden
    ends = 2 * filters * kernel + 2 * filters * bottleneck
    before = (2 + 1) * hidden  # of two taps, before the first frame, where nothing is multiplied
    alone = [frames * (ends + blocks * layer) - blocks * before for blocks in (1, 2)]
    head_and_decoder = frames * ends // 2
    every = [alone[0], alone[1] + head_and_decoder]
    assert macs_of_depths(model, 1600) == list(zip(alone, every, strict=True))


def test_transforms_count():
    network = band_rnn(num_blocks=1)
    counted = [macs_of_depths(network, samples)[0][0] for samples in (3200, 6400)]
    frames = 3200 // network.encoder.hop
    transforms = 2 * 64 * 6  # there and back, N log2 N each
    entry = 33 * 21 + 9 * 6 * 11
    assert counted[1] - counted[0] > frames * (transforms + entry)


def test_profile_grows_with_depth():
    model = conv_tasnet()
    profile = profile_depths(model, sample_rate=16000, seconds=0.5)
    assert [depth.blocks for depth in profile] == [1, 2, 3]
    for name in ("parameters", "macs_per_second"):
        values = [getattr(depth, name) for depth in profile]
        assert values == sorted(set(values))
    assert all(depth.real_time_factor > 0 for depth in profile)


def test_costs_are_counted_over_the_length_asked_for():
    """Frames at the beginning of a short mixture count for less of a longer one's second."""
    network = band_rnn(num_blocks=1)
    short, long = (
        profile_depths(network, sample_rate=16000, seconds=seconds)[0].macs_per_second
        for seconds in (0.1, 1.0)
    )
    assert long < short


def test_profiling_leaves_the_network_as_it_was():
    model = conv_tasnet(norm="BN").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    profile_depths(model, sample_rate=8000, seconds=0.1)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
