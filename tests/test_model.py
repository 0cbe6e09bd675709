"""What every network promises, whatever its parts."""

import copy

import pytest
import soundfile as sf
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.levels import LogLevel, NoLevel, RmsLevel, SignalLevel
from bloomnet_sb.nn.pauses import Pause
from bloomnet_sb.separators import BandRNNSeparator, ConvTasNetSeparator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import CAUSAL, NETWORKS, band_rnn, conv_tasnet, network
from tests.helpers.recipes import SAMPLES

SKIPS = {"gLN with skips": lambda: conv_tasnet(skip_channels=6)}
KINDS = pytest.mark.parametrize("name", NETWORKS)
GRADIENTS = pytest.mark.parametrize("with_autograd", [True, False], ids=["autograd", "no_grad"])


def speech(seconds=0.5):
    samples, rate = sf.read(SAMPLES / "demo" / "noisy_5dB.flac", dtype="float32")
    return torch.from_numpy(samples[8000 : 8000 + round(seconds * rate)])[None]


@KINDS
@GRADIENTS
def test_estimates(name, with_autograd):
    """Each depth has the input's length, and is the same alone: it touches its own parts only."""
    model, mix = network(name), speech()
    blocks = model.num_blocks - 1
    with torch.set_grad_enabled(with_autograd):
        everything = model(mix)
        assert everything.shape == (model.num_blocks, 1, mix.shape[1], model.num_sources)
        assert torch.isfinite(everything).all()
        poisoned = copy.deepcopy(model)
        used = {id(part) for part in poisoned.parts_in_use(blocks)}
        for part in poisoned._parts().values():
            for parameter in part.parameters() if id(part) not in used else ():
                parameter.data.fill_(float("nan"))
        torch.testing.assert_close(poisoned.estimate(mix, blocks), everything[blocks - 1])
        torch.testing.assert_close(model(mix, depths=[blocks + 1]), everything[blocks:])
        torch.testing.assert_close(torch.stack(list(model.estimates(mix))), everything)


@KINDS
@pytest.mark.parametrize("length", [1, 7, 16, 65])
@torch.no_grad()
def test_short_signals(name, length):
    estimates = network(name)(torch.randn(2, length))
    assert estimates.shape[1:3] == (2, length)
    assert torch.isfinite(estimates).all()


@KINDS
@torch.no_grad()
def test_with_and_without_autograd(name):
    """Without it, layers take shorter ways."""
    model, mix = network(name), torch.cat([speech(), 0.1 * torch.randn(1, 8000)])
    with torch.enable_grad():
        expected = model(mix).detach()
    torch.testing.assert_close(model(mix), expected, atol=2e-5, rtol=1e-4)


@KINDS
@torch.no_grad()
def test_silence_in_is_silence_out(name):
    assert not network(name)(torch.zeros(1, 500)).any()


@pytest.mark.parametrize("gain", [1e-4, 3e4])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "no padding"])
@torch.no_grad()
def test_a_gain_on_the_input_is_a_gain_on_the_output(name, gain):
    model, mix = network(name), speech()
    if isinstance(model.level, LogLevel):
        gain = 10 ** (gain > 1) / 3  # what is silence must stay so
        mix = mix + 0.01 * torch.randn_like(mix)
    expected = gain * model(mix)
    error = (model(gain * mix) - expected).abs().max() / expected.abs().max()
    assert error < 1e-4


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_causal_networks_do_not_look_ahead(name):
    model, mix = network(name), speech()
    changed = mix.clone()
    changed[:, 4000:] = torch.randn(1, 4000)
    # An output sample depends on the frames that cover it: up to a window minus one ahead.
    before = 4000 - model.encoder.delay_samples
    torch.testing.assert_close(model(mix)[:, :, :before], model(changed)[:, :, :before])
    assert not torch.allclose(model(mix)[:, :, 4000:], model(changed)[:, :, 4000:])


@pytest.mark.parametrize(
    "make",
    [conv_tasnet, lambda **n: conv_tasnet(norm="BN", causal=True, skip_channels=6, **n), band_rnn],
)
@pytest.mark.parametrize("blocks", [1, 2, 3])
@torch.no_grad()
def test_a_depth_is_a_stand_alone_network(make, blocks):
    model, alone, mix = make(), make(num_blocks=blocks), speech()
    pairs = zip(alone.parts_in_use(blocks), model.parts_in_use(blocks), strict=True)
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(alone.estimate(mix), model.estimate(mix, blocks))
    assert alone.num_parameters(blocks) == model.num_parameters(blocks)
    if blocks == 1:
        assert alone.num_parameters(1) == alone.num_parameters()


@torch.no_grad()
def test_each_mask_is_of_one_source():
    estimate = network("causal sources").estimate(speech(), 1)
    assert not torch.allclose(estimate[..., 0], estimate[..., 1])


@pytest.mark.parametrize("name", ["gLN", "gLN with skips", "DPRNN", "BandRNN"])
@pytest.mark.parametrize("scale", [0.0, 0.25])
def test_the_gradient_from_deeper_blocks_may_count_less(name, scale):
    model, mix = (NETWORKS | SKIPS)[name](), speech(0.2)
    last, estimates, gradients = model.num_blocks, [], []
    for gradient_scale in (1.0, scale):
        estimates.append(model.eval()(mix, depths=[1, last], gradient_scale=gradient_scale))
        loss = estimates[-1][1].square().sum()
        blocks = [list(block.parameters()) for block in model.separator.blocks]
        gradients.append([torch.autograd.grad(loss, b, retain_graph=True) for b in blocks])
    assert torch.equal(*estimates)
    for depth, (plain, scaled) in enumerate(zip(*gradients, strict=True), 1):
        for one, other in zip(plain, scaled, strict=True):
            torch.testing.assert_close(other, one * scale ** (last - depth))


@KINDS
def test_part_names_cover_the_network(name):
    model = network(name)
    depths = range(1, model.num_blocks + 1)
    names = ["encoder", "level", "entry"]
    names += [f"{kind}{depth}" for kind in ("block", "head", "decoder") for depth in depths]
    parts = [p for part in names for p in model.part(part).parameters()]
    assert len(parts) == len(list(model.parameters())) == len(set(parts))
    with pytest.raises(InputError, match="no part 'block9'"):
        model.part("block9")


@pytest.mark.parametrize("name", sorted({*CAUSAL} - {"README's GRU"}))
@pytest.mark.parametrize("start", [0, 7])
def test_blocks_that_pause_hold_what_they_carry(name, start):
    """As frame by frame: deeper blocks are not called, and the deepest that is called is heard."""
    torch.manual_seed(0)
    model, mix = NETWORKS[name]().eval(), torch.randn(2, 2000)
    pause = Pause(2, start, start + 5)
    with torch.no_grad():
        first, second = model(mix, depths=[1, 2], pause=pause)
        features, level = model.level(model.encoder(model.encoder.windows_of(mix)))
        feature = model.separator.blocks[0](model.separator.entry(features))
        state, windows = model.separator.blocks[1].start(2, features), []
        for frame in range(features.shape[2]):
            depth, now = 1, _frame(feature, frame)
            if not pause.start <= frame < pause.stop:
                depth, (now, state) = 2, model.separator.blocks[1].step(now, state)
            scale = level.expand(-1, -1, features.shape[2])[:, :, frame : frame + 1]
            given = (now, features[:, :, frame : frame + 1], scale)
            windows.append(model._windows(depth, *given))
    expected = model.encoder.overlap_add(torch.cat(windows, dim=2), 2000)
    torch.testing.assert_close(second, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first, model.estimate(mix, blocks=1))


def _frame(feature, frame):
    if isinstance(feature, torch.Tensor):
        return feature[:, frame : frame + 1]
    return tuple(_frame(part, frame) for part in feature)


@pytest.mark.parametrize(
    ("name", "pause", "message"),
    [
        ("BandRNN", Pause(1, 0, 2), "is not of block 2 or a deeper one, within 64 frames"),
        ("BandRNN", Pause(2, 0, 65), "is not of block 2 or a deeper one, within 64 frames"),
        ("README's GRU", Pause(2, 0, 2), "features have frames in dimension 1"),
    ],
)
def test_pauses_that_cannot_be(name, pause, message):
    with pytest.raises(InputError, match=message):
        NETWORKS[name]()(torch.randn(1, 2000), pause=pause)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: (LearnedFilterbank(32), {}), "gives 32 features, but the separator takes 16"),
        (lambda: (LearnedFilterbank(16, window=16, hop=17), {}), "hop is 17 samples, but may be"),
        (lambda: (LearnedFilterbank(16, hop=0), {}), "hop is 0"),
        (lambda: (LearnedFilterbank(16, window="16", hop=8), {}), "window is '16'"),
        (lambda: (LearnedFilterbank(16, activation="gelu"), {}), "'gelu'"),
        (lambda: (LearnedFilterbank(16), {"level": RmsLevel()}), "level is a RmsLevel, which goes"),
    ],
)
def test_networks_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        filterbank, options = make()
        BloomNet(filterbank, ConvTasNetSeparator(num_filters=16), **options)


def test_a_separator_may_need_a_hop_of_half_a_window():
    with pytest.raises(InputError, match="window is 512 and its hop 128 samples, .* of 2 hops"):
        BloomNet(STFTFilterbank(512, 128), BandRNNSeparator(num_blocks=1))


def test_a_causal_network_takes_no_level_of_the_whole_signal():
    with pytest.raises(InputError, match="level is a SignalLevel, which is neither causal"):
        conv_tasnet(SignalLevel(), norm="BN", causal=True)
    assert isinstance(conv_tasnet(norm="BN", causal=True).level, LogLevel)
    assert isinstance(conv_tasnet(NoLevel(), norm="BN", causal=True).level, NoLevel)


@pytest.mark.parametrize("blocks", [0, 4, -1, "two", 1.5, True])
def test_wrong_number_of_blocks(blocks):
    with pytest.raises(InputError, match="1 to 3 blocks"):
        conv_tasnet().estimate(torch.randn(1, 100), blocks)


@pytest.mark.parametrize("shape", [(0,), (100,), (1, 0), (1, 1, 100)])
def test_wrong_shape(shape):
    with pytest.raises(InputError, match="must be .batch, time."):
        conv_tasnet()(torch.randn(*shape))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_blocks": 0}, "num_blocks is 0"),
        ({"hidden_channels": 1.5}, "hidden_channels is 1.5"),
        ({"mask_activation": "tanh"}, "'tanh'.*sigmoid, relu"),
        ({"norm": "IN"}, "'IN'"),
    ],
)
def test_wrong_separator(sizes, message):
    with pytest.raises(InputError, match=message):
        ConvTasNetSeparator(**sizes)


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"mask_activation": "relu"}, {}),
        ({"norm": "cLN", "causal": True}, {"norm": "cLN", "causal": True, "norm_eps": 1e-3}),
        ({"norm": "BN"}, {"norm": "BN", "causal": True}),
    ],
)
def test_the_fingerprint_is_of_the_settings_too(options, others):
    assert conv_tasnet(**options).fingerprint() == conv_tasnet(**options).fingerprint()
    assert conv_tasnet(**options).fingerprint() != conv_tasnet(**others).fingerprint()


def test_the_fingerprint_is_of_the_hop_and_the_weights_too():
    one = conv_tasnet()
    other = copy.deepcopy(one)
    assert one.fingerprint() == other.eval().fingerprint()
    other.encoder.hop += 1
    assert one.fingerprint() != other.fingerprint()
    other = copy.deepcopy(one)
    next(other.parameters()).data[0] += 1
    assert one.fingerprint() != other.fingerprint()
