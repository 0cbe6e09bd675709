import pytest
import torch

from bloomnet_sb.nn.recurrence import MinGRU, _scan_in_runs, gated_scan


def test_autocast_leaves_the_state_in_single_precision():
    layer, x = MinGRU(8, 8), torch.rand(2, 50, 8)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        hidden, state = layer.step(x, layer.start(2, x))
    assert hidden.dtype == state["hidden"].dtype == torch.float32
    hidden.sum().backward()
    assert (hidden - expected).abs().max() < 0.02


@pytest.mark.parametrize("frames", [1, 2, 9, 126])
def test_runs_at_once_give_what_one_frame_after_the_other_does(frames):
    # What devices other than a CPU run, whose memory and calls have other prices
    gate, candidate = torch.rand(2, frames, 3, 4), torch.randn(2, frames, 3, 4)
    expected = gated_scan(gate, candidate, torch.zeros(2, 3, 4))
    found = _scan_in_runs(1 - gate, gate * candidate)
    torch.testing.assert_close(found, expected)
