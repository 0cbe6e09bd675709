import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained.saving import export_pretrained
from tests.helpers.networks import conv_tasnet

HPARAMS = """
sample_rate: 16000
hidden: 12
note: !ref made of <hidden>
separator: !new:bloomnet_sb.separators.ConvTasNetSeparator
  num_filters: 16
  bottleneck_channels: 8
  hidden_channels: !ref <hidden>
  layers_per_block: 2
  num_blocks: 3
model: !new:bloomnet_sb.model.BloomNet
  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank {num_filters: 16, window: 16}
  separator: !ref <separator>
"""


def test_an_exported_network_comes_back(tmp_path):
    model = conv_tasnet(seed=3)
    hparams = tmp_path / "train.yaml"
    hparams.write_text(HPARAMS)
    export_pretrained(model, hparams, "note: another", tmp_path / "pretrained", "A card, \udce9.")
    enhancer = BloomEnhancer.from_hparams(source=str(tmp_path / "pretrained"))
    mix = torch.randn(2, 3000)
    with torch.no_grad():
        expected = model.estimate(mix, 2)[..., 0]
    torch.testing.assert_close(enhancer.enhance_batch(mix, blocks=2), expected)
    written = (tmp_path / "pretrained" / "hyperparams.yaml").read_text()
    assert "note" not in written
    assert (tmp_path / "pretrained" / "README.md").read_text() == "A card, \\udce9."
    # Others may read the weights as they may read the rest.
    assert len({path.stat().st_mode for path in (tmp_path / "pretrained").iterdir()}) == 1
