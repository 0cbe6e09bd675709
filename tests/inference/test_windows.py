import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomnet_sb.inference.windows import cut, cut_into_frames, join, plan_windows
from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.losses import negative_si_sdr

FILTERBANKS = [LearnedFilterbank(4, *sizes) for sizes in ((16, 8), (32, 16), (7, 3), (8, 8))]
FILTERBANKS += [LearnedFilterbank(4, 16, pad_input=False), STFTFilterbank(64, 16)]


@settings(deadline=None)
@given(
    filterbank=st.sampled_from(FILTERBANKS),
    samples=st.integers(1, 8000),
    context=st.integers(0, 60),
    fade=st.integers(1, 100),
)
def test_windows_hold_whole_frames_and_cover_the_signal(filterbank, samples, context, fade):
    windows = plan_windows(samples, filterbank, 1000, context, fade)
    window, hop, spans = filterbank.window, filterbank.hop, list(windows)
    assert len(spans) == windows.count
    assert (spans[0][0], spans[-1][1]) == (0, samples)
    assert all(start % hop == 0 for start, _ in spans)
    assert all((stop - start - window) % hop == 0 for start, stop in spans[:-1])
    assert all(a[1] - b[0] == windows.overlap for a, b in zip(spans, spans[1:], strict=False))
    assert windows.overlap >= 2 * context + fade
    assert max(stop - start for start, stop in spans) <= 1000 + 2 * window
    if samples <= 1000:
        assert windows.count == 1


@settings(deadline=None)
@given(
    filterbank=st.sampled_from(FILTERBANKS),
    samples=st.integers(1, 3000),
    piece=st.integers(1, 900),
    size=st.integers(1, 900),
)
def test_frames_of_pieces_are_those_of_the_whole(filterbank, samples, piece, size):
    signal = torch.randn(2, samples)
    frames = cut_into_frames(signal.split(piece, dim=1), filterbank, samples, size)
    torch.testing.assert_close(torch.cat(list(frames), dim=1), filterbank.windows_of(signal))


@pytest.mark.parametrize("piece", [1, 100, 5000])
def test_cutting_and_joining_is_the_identity(piece):
    signal = torch.randn(2, 5000, 3)
    windows = plan_windows(5000, FILTERBANKS[0], 1000, context=50, fade=100)
    pieces = signal.transpose(1, 2).split(piece, dim=-1)
    estimates = (window.transpose(1, 2) for window in cut(pieces, windows))
    torch.testing.assert_close(torch.cat(list(join(estimates, windows)), dim=1), signal)


def test_a_source_keeps_its_place_from_window_to_window():
    signal = torch.randn(1, 5000, 2)
    windows = plan_windows(5000, FILTERBANKS[0], 1000, context=50, fade=100)
    estimates = [window.transpose(1, 2) for window in cut([signal.transpose(1, 2)], windows)]
    swapped = [estimate.flip(-1) if n % 2 else estimate for n, estimate in enumerate(estimates)]
    torch.testing.assert_close(torch.cat(list(join(swapped, windows)), dim=1), signal)


def test_a_fade_hides_what_differs_between_windows():
    signal = torch.sin(0.05 * torch.arange(5000.0))[None, :, None]
    windows = plan_windows(5000, FILTERBANKS[0], 1000, context=50, fade=400)
    estimates = [window.transpose(1, 2) for window in cut([signal.transpose(1, 2)], windows)]
    louder = [estimate * (1 + 0.5 * (n % 2)) for n, estimate in enumerate(estimates)]
    joined = torch.cat(list(join(louder, windows)), dim=1)
    jump = joined.diff(dim=1).abs().max()
    assert jump < 1.6 * signal.diff(dim=1).abs().max()
    assert negative_si_sdr(joined[None], signal).item() < -10
    assert math.isclose(joined.abs().max(), 1.5, rel_tol=0.01)
