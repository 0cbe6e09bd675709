import pytest
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.separators import ConvTasNetSeparator
from bloomnet_sb.streaming.framewise import FramewiseNet
from bloomnet_sb.streaming.graphs import graphs_of


@pytest.mark.parametrize("conv_kernel_size", [1, 3])
@pytest.mark.parametrize("norm", ["BN", "cgLN"])
def test_states_keep_their_shapes(conv_kernel_size, norm):
    separator = ConvTasNetSeparator(
        16, 8, 12, conv_kernel_size, layers_per_block=2, num_blocks=2, norm=norm, causal=True
    )
    model = BloomNet(separator, num_filters=16, kernel_size=16, level_window=50).eval()
    for graph in graphs_of(FramewiseNet(model)).values():
        arguments, _ = graph.examples()
        with torch.no_grad():
            outputs = graph(**arguments)
        states = outputs[len(graph.outputs) :] if graph.states else ()
        assert [s.shape for s in states] == [s.shape for s in graph.states.values()]
