import pytest
import torch

from bloomnet_sb.scoring.costs import count_macs, profile_depths
from tests.helpers.networks import conv_tasnet


def test_macs_by_hand():
    model = conv_tasnet(num_blocks=2, layers_per_block=1, kernel_size=3)
    frames = (1600 - 16) // 8 + 1
    filters, kernel, bottleneck, hidden = 16, 16, 8, 12
    layer = 2 * bottleneck * hidden + 3 * hidden
    ends = 2 * filters * kernel + 2 * filters * bottleneck
    for blocks in (1, 2):
        assert count_macs(model, 1600, blocks) == frames * (ends + blocks * layer)


def test_profile_grows_with_depth():
    model = conv_tasnet()
    profile = profile_depths(model, sample_rate=16000, seconds=0.5)
    assert [depth.blocks for depth in profile] == [1, 2, 3]
    for name in ("parameters", "macs_per_second"):
        values = [getattr(depth, name) for depth in profile]
        assert values == sorted(set(values))
    assert all(depth.real_time_factor > 0 for depth in profile)


def test_profiling_leaves_the_network_as_it_was():
    model = conv_tasnet(norm="BN").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    profile_depths(model, sample_rate=8000, seconds=0.1)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_counting_needs_a_depth_of_the_network():
    with pytest.raises(ValueError, match="1 to 3 blocks"):
        count_macs(conv_tasnet(), 1600, 4)
