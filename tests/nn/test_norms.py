import pytest
import torch

from bloomnet_sb.nn.norms import CumulativeLayerNorm, LevelNorm, make_norm
from bloomnet_sb.utils.errors import InputError


@pytest.mark.parametrize("name", ["cLN", "cgLN", "BN"])
def test_causal_norms_see_the_past_only(name):
    norm = make_norm(name, 5, causal=True).eval()
    x = torch.randn(2, 5, 30)
    torch.testing.assert_close(norm(x)[..., :11], norm(x[..., :11]))


def test_cumulative_norm_ends_where_the_global_norm_is():
    x = 3 + 2 * torch.randn(2, 5, 400)
    ours, theirs = CumulativeLayerNorm(5)(x), make_norm("gLN", 5)(x)
    torch.testing.assert_close(ours[..., -1], theirs[..., -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_level_norm_forgets_the_level_but_not_the_silence(causal):
    norm, x = LevelNorm(causal), torch.rand(2, 5, 30)
    torch.testing.assert_close(norm(1e-6 * x), norm(1e4 * x), rtol=1e-5, atol=0)
    assert torch.equal(norm(torch.zeros(1, 5, 30)), torch.zeros(1, 5, 30))
    if not causal:
        torch.testing.assert_close(norm(x).square().mean((1, 2)), torch.ones(2))


def test_unknown_norm_is_refused():
    with pytest.raises(InputError, match="'LN'.*gLN, cLN, cgLN, BN"):
        make_norm("LN", 5)
    with pytest.raises(InputError, match="looks ahead"):
        make_norm("gLN", 5, causal=True)


@pytest.mark.parametrize("options", [(True, 1), (True, 0), (False, 100)])
def test_wrong_windows_of_the_level(options):
    with pytest.raises(InputError, match="the level's window is"):
        LevelNorm(*options)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_silence_stays_silent_in_every_precision(causal, dtype):
    assert not LevelNorm(causal)(torch.zeros(1, 4, 9, dtype=dtype)).any()
