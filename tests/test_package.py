"""What `import bloomnet_sb` brings, and what it leaves for later."""

import re

import pytest

import bloomnet_sb
from tests.helpers.recipes import REPOSITORY, run_python


def test_the_import_takes_neither_torch_nor_torchaudio_which_can_be_imported_then():
    code = (
        "import sys, bloomnet_sb\n"
        "early = {'torch', 'torchaudio', 'speechbrain', 'numpy'} & set(sys.modules)\n"
        "assert not early, early\n"
        "import bloomnet_sb, speechbrain, torchaudio\n"
        "from bloomnet_sb import BlockwiseBrain\n"
        "assert issubclass(BlockwiseBrain, speechbrain.Brain)\n"
    )
    result = run_python("-c", code)
    assert result.returncode == 0, result.stderr
    assert "torchaudio" not in result.stderr


def test_a_file_is_enhanced_without_what_takes_seconds_to_import(tmp_path):
    noisy = str(REPOSITORY / "tests/samples/demo/noisy_0dB.flac")
    commands = [
        ["enhance", noisy, str(tmp_path / f"{source}.wav"), "--source", source, "--blocks", "1"]
        for source in ("bandrnn-16k", "convtasnet-16k")
    ]
    code = (
        "import sys\n"
        "from bloomnet_sb.cli import app\n"
        f"for command in {commands}:\n"
        "    app(command, standalone_mode=False)\n"
        "late = {'torch._dynamo', 'sympy', 'scipy.signal', 'matplotlib'} & set(sys.modules)\n"
        "assert not late, late\n"
    )
    result = run_python("-c", code)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.iterdir())) == 2


def test_every_name_is_there():
    assert set(bloomnet_sb.__all__) <= set(dir(bloomnet_sb))
    for name in bloomnet_sb.__all__:
        assert getattr(bloomnet_sb, name).__name__ == name
    assert set(bloomnet_sb.__all__) <= vars(bloomnet_sb).keys()  # the next time at once


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'bloomnet_sb' has no attribute 'Bloom'"):
        bloomnet_sb.Bloom  # noqa: B018 (its error is looked at)
    with pytest.raises(ImportError, match="cannot import name 'Bloom'"):
        from bloomnet_sb import Bloom  # noqa: F401


def test_the_version_is_written_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", bloomnet_sb.__version__)
    assert bloomnet_sb.__version__ not in (REPOSITORY / "setup.py").read_text()
    result = run_python(REPOSITORY / "setup.py", "--version")
    assert result.stdout.splitlines()[-1] == bloomnet_sb.__version__, result.stderr
