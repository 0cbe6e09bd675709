"""The command `bloomnet`: in this process, where it begins at once, or started as a user does."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from bloomnet_sb.cli import main

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
