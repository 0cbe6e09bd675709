"""The contract of causal layers: each layer, and all parts of each causal network."""

import pytest
import torch
from torch import nn

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.causal import Causal, CausalSequential, FrameWise, check_causal
from bloomnet_sb.nn.depthwise import CausalDepthwiseConv
from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.folding import fold_batch_norms
from bloomnet_sb.nn.layers import GRU, PReLU
from bloomnet_sb.nn.levels import LogLevel, RmsLevel
from bloomnet_sb.nn.norms import CumulativeLayerNorm
from bloomnet_sb.nn.recurrence import MinGRU
from bloomnet_sb.separators.base import Separator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.causal_contract import Check, close
from tests.helpers.networks import CAUSAL, network

FRAMES = 60
GRADIENTS = pytest.mark.parametrize("with_autograd", [False, True], ids=["no_grad", "autograd"])


def padded_with_ones() -> CausalDepthwiseConv:
    layer = CausalDepthwiseConv(6, kernel_size=3, dilation=5)
    layer.padding = torch.linspace(-1, 1, 6)
    return layer


LAYERS = {
    "GRU": lambda: (GRU(6, 9, num_layers=2), (6,)),
    "MinGRU": lambda: (MinGRU(6, 9, places=(5,)), (5, 6)),
    "cumulative norm": lambda: (CumulativeLayerNorm(6), (6,)),
    "depthwise": lambda: (CausalDepthwiseConv(6, kernel_size=3, dilation=5), (6,)),
    "depthwise of one tap": lambda: (CausalDepthwiseConv(6, kernel_size=1), (6,)),
    "padded depthwise": lambda: (padded_with_ones(), (6,)),
    "sequence": lambda: (
        CausalSequential(nn.Linear(6, 4), PReLU(), CausalDepthwiseConv(4, 2), GRU(4, 5)),
        (6,),
    ),
}
LEVELS = {
    "root mean square": lambda: RmsLevel(),
    "fading root mean square": lambda: RmsLevel(window=3),
    "log level": lambda: LogLevel(LearnedFilterbank(10, 16), seconds=0.01),
    "log level of an STFT": lambda: LogLevel(STFTFilterbank(8), seconds=0.01),
    "log level that falls faster": lambda: LogLevel(STFTFilterbank(8), 0.01, fall_seconds=0.002),
}


@pytest.mark.parametrize("name", LAYERS)
@GRADIENTS
def test_layers_keep_the_contract(name, with_autograd):
    torch.manual_seed(0)
    layer, shape = LAYERS[name]()
    with torch.set_grad_enabled(with_autograd):
        Check(layer.eval(), torch.randn(2, FRAMES, *shape)).everything()


@pytest.mark.parametrize("name", LEVELS)
def test_levels_keep_the_contract(name):
    torch.manual_seed(0)
    features = torch.randn(2, 10, FRAMES)
    features[0, :, :20] = 0  # silence, of which no level is taken
    Check(LEVELS[name](), features, 2, 2).everything()


@pytest.mark.parametrize("folded", [False, True], ids=["as it is", "folded"])
@pytest.mark.parametrize("name", CAUSAL)
@GRADIENTS
def test_parts_of_networks_keep_the_contract(name, folded, with_autograd):
    model = fold_batch_norms(network(name)) if folded else network(name)
    torch.manual_seed(0)
    separator, frames_in = model.separator, 2
    with torch.set_grad_enabled(with_autograd):
        x = features = torch.randn(2, separator.num_filters, FRAMES)
        for part in (separator.entry, *separator.blocks):
            frames_out = 2 if name == "README's GRU" else 1
            if isinstance(part, Causal):
                Check(part, x, frames_in, frames_out).everything()
            x, frames_in = part(x), frames_out
        masked = separator.heads[-1](x, features)
    assert masked.shape == (2, separator.num_sources, *features.shape[1:])


@pytest.mark.parametrize("name", CAUSAL)
def test_a_restarted_network_is_exact_after_the_warm_ups_of_its_parts(name):
    parts = [network(name).separator.entry, *network(name).separator.blocks]
    warm_ups = [part.warm_up for part in parts if isinstance(part, Causal)]
    recurrent = any(kind in name for kind in ("RNN", "GRU", "cgLN"))
    assert all(w is None for w in warm_ups[1:]) if recurrent else None not in warm_ups
    if not recurrent:
        assert sum(warm_ups) == network(name).separator.reach


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (nn.Conv1d(4, 4, 3, padding=1), "block1 is a Conv1d"),
        (nn.Sequential(nn.Linear(4, 4), nn.GRU(4, 4)), "block1.1 is a GRU"),
        (CausalSequential(nn.Linear(4, 4), nn.LSTM(4, 4)), "block1.1 is a LSTM"),
        (nn.ModuleList([nn.GroupNorm(1, 4)]), "block1.0 is a GroupNorm"),
    ],
)
def test_what_is_neither_causal_nor_frame_wise_is_refused_by_its_name(part, message):
    with pytest.raises(InputError, match=message):
        check_causal(part, "block1")


def test_what_a_causal_network_may_be_made_of():
    class Own(Causal):
        warm_up = 1

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(4, 4, 2)  # the class says itself what it carries

        def start(self, batch, like):
            return {"last": like.new_zeros(batch, 4, 1)}

        def step(self, x, state):
            seen = torch.cat([state["last"], x], dim=2)
            return self.conv(seen), {"last": seen[..., -1:]}

    for part in (Own(), nn.Conv1d(4, 4, 1), nn.Sequential(nn.LayerNorm(4), nn.Sigmoid())):
        check_causal(part, "block1")


class _Head(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, feature, features):
        return self.answer(feature, features)


def of_heads(*answers) -> BloomNet:
    """A network that hands its features on, and whose heads give what these functions do."""
    separator = Separator(num_filters=4)
    separator.set_parts(
        nn.Identity(), [nn.Identity() for _ in answers], [_Head(answer) for answer in answers]
    )
    torch.manual_seed(0)
    return BloomNet(LearnedFilterbank(4, 8), separator).eval()


@GRADIENTS
def test_no_estimate_changes_another_whatever_the_heads_give(with_autograd):
    answers = {
        "a view": lambda feature, features: feature.unsqueeze(1),
        "expanded": lambda feature, features: features[:, None, :1].expand(-1, 1, 4, -1),
        "a product": lambda feature, features: (feature * features).unsqueeze(1),
    }
    mix = torch.randn(2, 100)
    with torch.set_grad_enabled(with_autograd):
        together = of_heads(*answers.values(), answers["a view"])(mix)
        for index, answer in enumerate([*answers.values(), answers["a view"]]):
            model = of_heads(*[answer] * 4)
            model.load_state_dict(of_heads(*answers.values(), answers["a view"]).state_dict())
            close(together[index], model.estimate(mix, index + 1))


def test_a_head_of_masks_alone_is_refused():
    with pytest.raises(InputError, match=r"head1, a Sequential, does not take \(feature, feat"):
        Separator(4).set_parts(nn.Identity(), [nn.Identity()], [nn.Sequential(nn.Sigmoid())])


def test_a_separator_without_parts_is_refused():
    class Forgot(Separator):
        pass

    with pytest.raises(InputError, match="Forgot has no parts.*set_parts"):
        BloomNet(LearnedFilterbank(4, 8), Forgot(4))


def test_frame_wise_modules_are_looked_into():
    class Hides(FrameWise):
        def __init__(self):
            super().__init__()
            self.inner = nn.GRU(4, 4)

    with pytest.raises(InputError, match="head1.inner is a GRU"):
        check_causal(Hides(), "head1")


def test_a_child_that_is_replaced_runs_by_what_it_carries_itself():
    layer, x = CausalSequential(CausalDepthwiseConv(4, 3), nn.Sigmoid()), torch.rand(1, 6, 4)
    layer.keep_names()
    layer(x)
    layer.add_module("1", GRU(4, 4))
    assert torch.allclose(layer(x)[:, :3], layer(x[:, :3]), atol=1e-6)
    assert list(layer.step(x, layer.start(1, x))[1]) == ["0.past", "1.hidden"]
    setattr(layer, "0", nn.Identity())
    assert list(layer.step(x, layer.start(1, x))[1]) == ["1.hidden"]


class HoldsMemory(FrameWise):
    def __init__(self):
        super().__init__()
        self.recurrence = GRU(4, 4)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (nn.Sequential(nn.Linear(4, 4), GRU(4, 4)), r"block1\.1 is a GRU.* in a Sequential"),
        (HoldsMemory(), r"block1\.recurrence is a GRU.* in a HoldsMemory"),
    ],
)
def test_a_causal_layer_where_nobody_hands_it_what_it_carries_is_refused(part, named):
    """It would start anew with each chunk, in streams only."""
    with pytest.raises(InputError, match=named):
        check_causal(part, "block1")
    check_causal(CausalSequential(nn.Linear(4, 4), GRU(4, 4)), "block1")
