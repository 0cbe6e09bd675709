import pytest
import torch

from bloomnet_sb.nn.bands import convolved


@pytest.mark.parametrize(
    ("weight", "groups"), [((5, 4, 3, 3), 1), ((2, 4, 1, 3), 1), ((4, 1, 2, 3), 4)]
)
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("biased", [False, True])
def test_a_convolution_of_frames_one_by_one_is_that_of_all(weight, groups, step, biased):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 8, 9, 4), torch.randn(weight)
    bias = torch.randn(len(weight)) if biased else None
    whole = convolved(x, weight, bias, step, groups)
    seen = weight.shape[2]
    each = [convolved(x[:, n : n + seen], weight, bias, step, groups) for n in range(9 - seen)]
    torch.testing.assert_close(torch.cat(each, dim=1), whole)
    assert whole.shape == (2, 9 - seen, 9 if step == 1 else 5, len(weight))
    assert whole.is_contiguous()
