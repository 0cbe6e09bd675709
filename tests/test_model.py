import copy

import pytest
import soundfile as sf
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.separators import ConvTasNetSeparator, DPRNNSeparator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet

CONFIGURATIONS = [
    {"norm": "gLN"},
    {"norm": "cLN"},
    {"norm": "cgLN"},
    {"norm": "BN"},
    {"norm": "cLN", "causal": True},
    {"norm": "cgLN", "causal": True},
    {"norm": "BN", "causal": True},
    {"norm": "gLN", "mask_activation": "relu", "num_sources": 2},
    {"norm": "gLN", "skip_channels": 6},
    {"norm": "BN", "causal": True, "skip_channels": 6},
]


@pytest.fixture(params=[True, False], ids=["autograd", "no_grad"], autouse=True)
def autograd(request):
    """Each test with and without autograd: without it, norms are folded into other layers."""
    with torch.set_grad_enabled(request.param):
        yield


def configurations(test):
    return pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)(test)


def speech(seconds=1.0):
    samples, rate = sf.read("tests/samples/demo/noisy_5dB.flac", dtype="float32")
    return torch.from_numpy(samples[8000 : 8000 + round(seconds * rate)])[None]


@configurations
@pytest.mark.parametrize("length", [1, 7, 8, 16, 17, 1000])
def test_estimates_have_the_input_length(configuration, length):
    model = conv_tasnet(**configuration)
    estimates = model(torch.randn(2, length))
    assert estimates.shape == (3, 2, length, model.num_sources)
    assert torch.isfinite(estimates).all()


@configurations
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_depth_is_a_stand_alone_network(configuration, blocks):
    model = conv_tasnet(**configuration)
    alone = conv_tasnet(num_blocks=blocks, seed=1, **configuration)
    pairs = zip(alone.parts_in_use(blocks), model.parts_in_use(blocks), strict=True)
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
    mix = speech()
    torch.testing.assert_close(alone.estimate(mix), model.estimate(mix, blocks))
    in_use = sum(p.numel() for part in alone.parts_in_use(blocks) for p in part.parameters())
    assert model.num_parameters(blocks) == in_use


def test_the_deepest_stand_alone_network_lacks_the_other_heads_only():
    model = conv_tasnet(num_blocks=1)
    assert model.num_parameters(1) == model.num_parameters()


@configurations
def test_estimate_equals_forward_and_touches_nothing_deeper(configuration):
    model = conv_tasnet(**configuration)
    mix = speech()
    everything = model(mix)
    poisoned = copy.deepcopy(model)
    unused = [n for n in ("block3", "head3", "decoder3", "head1", "decoder1")]
    for name in unused:
        for parameter in poisoned.part(name).parameters():
            parameter.data.fill_(float("nan"))
    torch.testing.assert_close(poisoned.estimate(mix, 2), everything[1])
    torch.testing.assert_close(model(mix, blocks=2), everything[:2])
    torch.testing.assert_close(model(mix, depths=[2, 3]), everything[1:])


@configurations
@pytest.mark.parametrize("gain", [1e-4, 1e-2, 7.0, 3e4])
def test_a_gain_on_the_input_is_a_gain_on_the_output(configuration, gain):
    model = conv_tasnet(**configuration)
    mix = speech()
    expected = gain * model(mix)
    error = (model(gain * mix) - expected).abs().max() / expected.abs().max()
    assert error < 1e-4


@configurations
def test_silence_in_is_silence_out(configuration):
    assert torch.equal(
        conv_tasnet(**configuration)(torch.zeros(1, 500)).abs().max(), torch.tensor(0.0)
    )


@pytest.mark.parametrize("norm", ["cLN", "cgLN", "BN"])
def test_causal_networks_do_not_look_ahead(norm):
    model = conv_tasnet(norm=norm, causal=True)
    mix = speech()
    changed = mix.clone()
    changed[:, 8000:] = torch.randn(1, 8000)
    # An output sample depends on the frames that cover it: up to a window minus one ahead.
    before = 8000 - 16 + 1
    torch.testing.assert_close(model(mix)[:, :, :before], model(changed)[:, :, :before])
    assert not torch.allclose(model(mix)[:, :, 8000:], model(changed)[:, :, 8000:])


@configurations
def test_folding_changes_nothing(configuration):
    model = conv_tasnet(**configuration)
    for norm in model.modules():
        if hasattr(norm, "scale_and_shift"):
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
    mix = torch.cat([speech(), 0.1 * torch.randn(1, 16000)])
    with torch.enable_grad():
        expected = model(mix).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(mix), expected, atol=2e-5, rtol=1e-4)


def test_each_mask_is_of_one_source():
    model = conv_tasnet(num_sources=2)
    estimate = model.estimate(speech(), 1)
    assert not torch.allclose(estimate[..., 0], estimate[..., 1])


def states_of_each_kind():
    """Networks whose state is a tensor, one of parts that may be None, and one with a number."""
    models = {"tensor": conv_tasnet(), "skip": conv_tasnet(skip_channels=6)}
    return models | {"chunks": BloomNet(DPRNNSeparator(16, 8, 8, 20, 3), 16, 32)}


@pytest.mark.parametrize("kind", ["tensor", "skip", "chunks"])
@pytest.mark.parametrize("scale", [0.0, 0.25])
def test_the_gradient_from_deeper_blocks_may_count_less(kind, scale):
    model, mix = states_of_each_kind()[kind], speech(0.2)
    estimates, gradients = [], []
    for gradient_scale in (1.0, scale):
        with torch.enable_grad():
            estimates.append(model(mix, depths=[1, 3], gradient_scale=gradient_scale))
            loss = estimates[-1][1].square().sum()
            blocks = [list(block.parameters()) for block in model.separator.blocks]
            gradients.append([torch.autograd.grad(loss, b, retain_graph=True) for b in blocks])
    assert torch.equal(*estimates)
    for depth, (plain, scaled) in enumerate(zip(*gradients, strict=True), 1):
        for one, other in zip(plain, scaled, strict=True):
            torch.testing.assert_close(other, one * scale ** (3 - depth))


def test_part_names_cover_the_network():
    model = conv_tasnet()
    names = ["encoder", "entry"]
    names += [f"{kind}{depth}" for kind in ("block", "head", "decoder") for depth in (1, 2, 3)]
    parts = [p for name in names for p in model.part(name).parameters()]
    assert len(parts) == len(list(model.parameters())) == len(set(parts))
    with pytest.raises(InputError, match="no part 'block4'"):
        model.part("block4")


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
    ("options", "message"),
    [
        ({"num_filters": 32}, "the separator takes 16"),
        ({"stride": 17}, "at most kernel_size"),
        ({"encoder_activation": "gelu"}, "'gelu'"),
    ],
)
def test_wrong_network(options, message):
    with pytest.raises(InputError, match=message):
        BloomNet(ConvTasNetSeparator(num_filters=16), **{"num_filters": 16, **options})


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ({"mask_activation": "relu"}, {}),
        ({"norm": "cLN", "causal": True}, {"norm": "cLN", "causal": True, "norm_eps": 1e-3}),
        ({"norm": "BN"}, {"norm": "BN", "causal": True}),
    ],
)
def test_the_fingerprint_is_of_the_settings_too(options, others):
    def network(**options):
        torch.manual_seed(0)
        return BloomNet(ConvTasNetSeparator(16, 8, 12, 3, 2, 2, **options), 16)

    assert network(**options).fingerprint() == network(**options).fingerprint()
    assert network(**options).fingerprint() != network(**others).fingerprint()


def test_the_fingerprint_is_of_the_stride_and_the_weights_too():
    torch.manual_seed(0)
    one = conv_tasnet()
    other = copy.deepcopy(one)
    assert one.fingerprint() == other.eval().fingerprint()
    other.encoder.stride += 1
    assert one.fingerprint() != other.fingerprint()
    other = copy.deepcopy(one)
    next(other.parameters()).data[0] += 1
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride is 0"),
        ({"kernel_size": "16"}, "kernel_size is '16'"),
        ({"level_norm": False, "level_window": 9}, "level_window is 9, but there is no level_norm"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        BloomNet(ConvTasNetSeparator(16, 8, 12, 3, 2, 2), 16, **options)
