"""The command `bloomnet`: in this process, where it begins at once, or started as a user does; and
a small network for it."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from click.testing import Result
from typer.testing import CliRunner

from bloomnet_sb.cli import app, main
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet

COMMAND = Path(sys.executable).with_name("bloomnet")


def bloomnet(*arguments) -> subprocess.CompletedProcess:
    """Run the command in this process; a fault's exception passes, as its traceback would."""
    output, errors, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["bloomnet", *map(str, arguments)]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


def started_bloomnet(*arguments) -> subprocess.CompletedProcess:
    """Run the command in a process of its own, as a user would."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


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
    write_pretrained(conv_tasnet(norm="BN"), io.StringIO(HPARAMS), folder, "A card.")
    return folder


def invoked(*arguments: object, **options) -> Result:
    """What the command in this process prints, in bytes too, for input that may be given."""
    result = CliRunner().invoke(app, [*map(str, arguments)], **options)
    if not isinstance(result.exception, InputError):
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result
    # As bloomnet_sb.cli.main does with it
    result.exit_code, result.stderr_bytes = 2, f"error: {result.exception}\n".encode()
    return result
