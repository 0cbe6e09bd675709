import torch

from bloomnet_sb.nn.recurrence import MinGRU


def test_autocast_leaves_the_state_in_single_precision():
    layer, x = MinGRU(8, 8), torch.rand(2, 50, 8)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, state = layer.step(x, layer.start(2, x))
    assert hidden.dtype == state["hidden"].dtype == torch.float32
    hidden.sum().backward()
    assert (hidden - expected).abs().max() < 0.02
