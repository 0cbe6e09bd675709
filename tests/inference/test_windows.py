import math

import pytest
import torch

from bloomnet_sb.inference.windows import cut, join, plan_windows
from bloomnet_sb.model import Encoder
from bloomnet_sb.nn.losses import negative_si_sdr


@pytest.mark.parametrize(("kernel_size", "stride"), [(16, 8), (32, 16), (7, 3), (8, 8)])
@pytest.mark.parametrize("pad_input", [True, False])
@pytest.mark.parametrize(("context", "fade"), [(0, 0), (50, 100), (3, 1)])
@pytest.mark.parametrize("samples", [1, 999, 1000, 1001, 7777])
def test_windows_hold_whole_frames_and_cover_the_signal(
    kernel_size, stride, pad_input, context, fade, samples
):
    encoder = Encoder(4, kernel_size, stride, pad_input=pad_input)
    windows = plan_windows(samples, encoder, 1000, context, fade)
    spans = list(windows)
    assert len(spans) == windows.count
    assert spans[0][0] == 0
    assert spans[-1][1] == samples
    assert all(start % stride == 0 for start, _ in spans)
    assert all((stop - start - kernel_size) % stride == 0 for start, stop in spans[:-1])
    assert all(a[1] - b[0] == windows.overlap for a, b in zip(spans, spans[1:], strict=False))
    assert max(stop - start for start, stop in spans) <= 1000 + stride
    if not fade:
        frames = sum(encoder.num_frames(stop - start) for start, stop in spans)
        assert frames == encoder.num_frames(samples)
    if samples <= 1000:
        assert windows.count == 1


@pytest.mark.parametrize("piece", [1, 100, 5000])
def test_cutting_and_joining_is_the_identity(piece):
    signal = torch.randn(2, 5000, 3)
    windows = plan_windows(5000, Encoder(4, 16, 8), 1000, context=50, fade=100)
    pieces = signal.transpose(1, 2).split(piece, dim=-1)
    estimates = (window.transpose(1, 2) for window in cut(pieces, windows))
    torch.testing.assert_close(torch.cat(list(join(estimates, windows)), dim=1), signal)


def test_a_source_keeps_its_place_from_window_to_window():
    signal = torch.randn(1, 5000, 2)
    windows = plan_windows(5000, Encoder(4, 16, 8), 1000, context=50, fade=100)
    estimates = [window.transpose(1, 2) for window in cut([signal.transpose(1, 2)], windows)]
    swapped = [estimate.flip(-1) if n % 2 else estimate for n, estimate in enumerate(estimates)]
    torch.testing.assert_close(torch.cat(list(join(swapped, windows)), dim=1), signal)


def test_a_fade_hides_what_differs_between_windows():
    signal = torch.sin(0.05 * torch.arange(5000.0))[None, :, None]
    windows = plan_windows(5000, Encoder(4, 16, 8), 1000, context=50, fade=400)
    estimates = [window.transpose(1, 2) for window in cut([signal.transpose(1, 2)], windows)]
    louder = [estimate * (1 + 0.5 * (n % 2)) for n, estimate in enumerate(estimates)]
    joined = torch.cat(list(join(louder, windows)), dim=1)
    jump = joined.diff(dim=1).abs().max()
    assert jump < 1.6 * signal.diff(dim=1).abs().max()
    assert negative_si_sdr(joined[None], signal).item() < -10
    assert math.isclose(joined.abs().max(), 1.5, rel_tol=0.01)
