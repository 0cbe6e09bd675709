"""Dual-path separators beside SpeechBrain's `Dual_Path_Model`."""

import pytest
import torch
from speechbrain.lobes.models.dual_path import Dual_Path_Model, SBRNNBlock, SBTransformerBlock

from bloomnet_sb.separators import DPRNNSeparator, SepFormerSeparator
from bloomnet_sb.utils.errors import InputError

CHUNK = 20
BLOCKS = 3


def dprnn(num_sources, norm):
    ours = DPRNNSeparator(16, 12, 10, CHUNK, BLOCKS, num_sources, norm=norm)
    return ours, lambda: SBRNNBlock(12, 10, 1), True


def sepformer(num_sources, norm):
    ours = SepFormerSeparator(16, 12, 24, 4, 2, CHUNK, BLOCKS, num_sources, norm)

    def make_path():
        return SBTransformerBlock(
            2, 12, 4, 24, dropout=0.0, use_positional_encoding=True, norm_before=True
        )

    return ours, make_path, False


def randomised(separator):
    """Norms and slopes that are not at their initial values, so that a swap would show."""
    for parameter in separator.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return separator.eval()


def load_ours(theirs, ours, blocks):
    """Give SpeechBrain's model the weights of ours that the estimate of `blocks` blocks uses."""
    head = ours.heads[blocks - 1].state_dict()
    weights = {f"norm.{name}": value for name, value in ours.entry.norm.state_dict().items()}
    weights["conv1d.weight"] = ours.entry.bottleneck.weight.unsqueeze(-1)
    for index in range(blocks):
        block = ours.blocks[index].state_dict()
        weights |= {f"dual_mdl.{index}.{name}": value for name, value in block.items()}
    weights["prelu.weight"] = head["prelu.weight"]
    weights["conv2d.weight"] = head["spread.weight"].unsqueeze(-1)
    weights["conv2d.bias"] = head["spread.bias"] / 2
    weights["end_conv1x1.weight"] = head["mask.weight"]
    weights |= {name: value for name, value in head.items() if name.startswith("output")}
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith("pos_enc.pe") for name in missing)


@pytest.mark.parametrize("backbone", [dprnn, sepformer])
@pytest.mark.parametrize(("num_sources", "norm"), [(1, "gLN"), (2, "cLN"), (3, "gLN")])
@pytest.mark.parametrize("frames", [1, 9, 20, 137])
def test_masks_are_speechbrains(backbone, num_sources, norm, frames):
    torch.manual_seed(0)
    ours, make_path, linear = backbone(num_sources, norm)
    randomised(ours)
    features = torch.randn(2, 16, frames)
    for blocks in range(1, BLOCKS + 1):
        theirs = Dual_Path_Model(
            16,
            12,
            make_path(),
            make_path(),
            num_layers=blocks,
            norm={"gLN": "ln", "cLN": "cln"}[norm],
            K=CHUNK,
            num_spks=num_sources,
            linear_layer_after_inter_intra=linear,
        ).eval()
        load_ours(theirs, ours, blocks)
        for with_autograd in (True, False):
            with torch.set_grad_enabled(with_autograd):
                feature = ours.entry(features)
                for block in ours.blocks[:blocks]:
                    feature = block(feature)
                masked = ours.heads[blocks - 1](feature, features)
                expected = theirs(features).transpose(0, 1) * features.unsqueeze(1)
            torch.testing.assert_close(masked, expected, atol=1e-5, rtol=1e-5)


def test_sepformer_goes_beyond_speechbrains_positional_encoding():
    torch.manual_seed(0)
    ours, make_path, _ = sepformer(1, "gLN")
    path, theirs = ours.blocks[0].intra_mdl.eval(), make_path().eval()
    theirs.load_state_dict(path.state_dict(), strict=False)
    steps = torch.randn(1, 2600, 12)
    with torch.no_grad():
        longer = path(steps)
        torch.testing.assert_close(path(steps[:, :2000]), theirs(steps[:, :2000]))
        with pytest.raises(RuntimeError):
            theirs(steps)
    assert longer.shape == steps.shape


def test_dropout_reaches_the_attention():
    separator = SepFormerSeparator(16, 12, 24, 4, 2, CHUNK, 1, dropout=0.3)
    paths = separator.blocks[0].intra_mdl, separator.blocks[0].inter_mdl
    assert {layer.self_att.att.dropout for path in paths for layer in path.mdl.layers} == {0.3}


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        (DPRNNSeparator, {"chunk_size": 21}, "chunk_size is 21, but must be an even number"),
        (DPRNNSeparator, {"norm": "BN"}, "norm is 'BN', but must be one of gLN, cLN"),
        (DPRNNSeparator, {"rnn_type": "QRNN"}, "rnn_type is 'QRNN'"),
        (DPRNNSeparator, {"hidden_channels": 0}, "hidden_channels is 0"),
        (SepFormerSeparator, {"bottleneck_channels": 20}, "multiple of num_heads, 8"),
        (SepFormerSeparator, {"layers_per_path": 0}, "layers_per_path is 0"),
        (SepFormerSeparator, {"mask_activation": "tanh"}, "mask_activation is 'tanh'"),
    ],
)
def test_wrong_options(backbone, options, message):
    with pytest.raises(InputError, match=message):
        backbone(**options)
