"""The command `bloomnet` in this process, and a small network for it."""

from io import StringIO
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet

HPARAMS = """
sample_rate: 16000
model: !new:bloomnet_sb.model.BloomNet
  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank
    num_filters: 16
    window: 16
  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator
    num_filters: 16
    bottleneck_channels: 8
    hidden_channels: 12
    num_blocks: 3
    layers_per_block: 2
    norm: BN
"""


def write_network(folder: Path) -> Path:
    """Write a pretrained folder of a small Conv-TasNet with random weights."""
    write_pretrained(conv_tasnet(norm="BN"), StringIO(HPARAMS), folder, "A card.")
    return folder


def bloomnet(*arguments: object, **options) -> Result:
    """What `bloomnet` with these arguments prints and exits with."""
    result = CliRunner().invoke(app, [*map(str, arguments)], **options)
    if not isinstance(result.exception, InputError):
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result
    # As bloomnet_sb.cli.main does with it
    result.exit_code, result.stderr_bytes = 2, f"error: {result.exception}\n".encode()
    return result
