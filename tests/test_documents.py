"""What the documents say can be done: links lead somewhere, quoted code and commands run.

Commands that need a full corpus, a network to convert or a sound device are not run; their files
and options are looked up.
"""

import re
import shlex
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import speechbrain as sb
import torch
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.training.options import check_options
from bloomnet_sb.utils.errors import InputError
from tests.helpers.benchmarks import benchmark_helps
from tests.helpers.recipes import RECIPE, REPOSITORY, SAMPLES
from tests.helpers.recordings import media

DOCUMENTS = sorted(
    path
    for path in REPOSITORY.glob("**/*.md")
    if not any(
        part.startswith(".") or part in ("results", "build")
        for part in path.relative_to(REPOSITORY).parts
    )
)
# Needs trained networks of the paper's code, a sound device, a hub, or hours.
NOT_RUN = ("convert", "live", "evaluate", "export", "push", "separate", "shard")


def blocks_of(document: Path, language: str) -> list[str]:
    pattern = rf"^ *```{language}\n(.*?)^ *```"
    return re.findall(pattern, document.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands_of(document: Path) -> list[list[str]]:
    """The commands of a document, in blocks and within the text, as words."""
    lines = "".join(blocks_of(document, "sh")).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^ *```.*?^ *```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines += [re.sub(r"\s+", " ", quoted) for quoted in re.findall(r"`([^`]+)`", prose)]
    words = [shlex.split(line, comments=True) for line in lines if line.count('"') % 2 == 0]
    return [line for line in words if line and line[0] in RULES and len(line) > 1]


def options_of(words: list[str]) -> list[str]:
    return [word[2:].split("=")[0] for word in words if word.startswith("--")]


def check_make(document: Path, words: list[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in words[1:] if "=" not in target)


def check_python(document: Path, words: list[str]) -> None:
    program = next((word for word in words if word.endswith(".py")), "")
    rest = words[words.index(program) + 1 :] if program else []
    if program.startswith("train"):
        return check_train(document, program, rest)
    if program.startswith("benchmarks/"):
        said = benchmark_helps()[Path(program).stem]
        assert all(f"--{option} " in said for option in options_of(rest)), words


def check_train(document: Path, program: str, words: list[str]) -> None:
    """In the recipe's folder, or in that of Conv-TasNet."""
    folder = document.parent if (document.parent / program).is_file() else RECIPE
    assert (folder / program).is_file()
    hparams = folder / words[0]
    _, options, overrides = sb.parse_arguments([str(hparams), *words[1:]])
    check_options(replace(options, device=None))  # which this machine need not have
    known = re.findall(r"^(\w+):", hparams.read_text(), flags=re.MULTILINE)
    asked = re.findall(r"^(\w+):", overrides, flags=re.MULTILINE)
    assert set(asked) <= set(known), (words, set(asked) - set(known))


def check_bloomnet(document: Path, words: list[str]) -> None:
    command, *rest = words[1:]
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, (words, result.output)
    assert all(f"--{option}" in result.output for option in options_of(rest)), words


RULES = {
    "make": check_make,
    "python": check_python,
    "torchrun": check_python,
    "bloomnet": check_bloomnet,
}
COMMANDS = [(document, command) for document in DOCUMENTS for command in commands_of(document)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    inside = [link for link in links if not link.startswith("http")]
    missing = [link for link in inside if not (document.parent / link).exists()]
    assert not missing


def test_commands_name_what_there_is():
    wrong = []
    for document, command in COMMANDS:
        try:
            RULES[command[0]](document, command)
        except (AssertionError, OSError, InputError) as error:
            wrong.append(f"{document}: {' '.join(command)}: {error}")
    assert not wrong, "\n".join(wrong)
    assert len(COMMANDS) > 30


@pytest.fixture
def at_home(pretrained, noisy_file, tmp_path, monkeypatch):
    """A folder with the files that the commands name."""
    shutil.copy(noisy_file, tmp_path / "noisy.wav")
    (tmp_path / "call.m4a").write_bytes(media("ipod", "aac")())
    shutil.copytree(SAMPLES / "demo", tmp_path / "recordings")
    (tmp_path / "manifest.jsonl").write_text('{"audio_filepath": "recordings/noisy_0dB.flac"}\n')
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "000000.tar", "w") as shard:
        shard.add(noisy_file, "0001.flac")
    shutil.copytree(pretrained, tmp_path / "results" / "demo" / "pretrained")
    (tmp_path / "tests").symlink_to(SAMPLES.parent)
    monkeypatch.chdir(tmp_path)


GUIDES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]  # for who uses a network
RUNNABLE = [c for d, c in COMMANDS if d in GUIDES]
RUNNABLE = [c for c in RUNNABLE if c[0] == "bloomnet" and c[1] not in NOT_RUN]
RUNNABLE = [c for c in RUNNABLE if "name/model" not in " ".join(c)]  # of a hub
RUNNABLE = [c for c in RUNNABLE if "--ray" not in c and "://" not in " ".join(c)]  # of clusters
RUNNABLE = [c for c in RUNNABLE if len(c) > 2 or c[1] == "list"]


def test_the_bloomnet_commands_of_the_guides_run(at_home):
    assert len(RUNNABLE) >= 5
    for command in RUNNABLE:
        options = ["--force"] if command[1] == "enhance" else []  # they write to the same names
        if options and "--blocks" not in command:
            options += ["--blocks", "1"]
        result = CliRunner().invoke(app, [*command[1:], *options])
        assert result.exit_code == 0, (command, result.output)


def test_the_python_of_the_guides_runs(at_home):
    names = {
        "chunks": torch.randn(3, 1600),
        "play": lambda samples: None,
        "battery_is_low": lambda: True,
    }
    # docs/apps.md needs exported files: see tests/streaming/test_sherpa_export.py.
    guides = [guide for guide in GUIDES if guide.name != "apps.md"]
    blocks = [block for guide in guides for block in blocks_of(guide, "python")]
    assert len(blocks) >= 5
    for code in blocks:
        exec(code, names)  # noqa: S102 (that is what is tested)
    assert Path("cheaper.wav").is_file()
    assert names["model"](names["mix"]).shape == (6, 1, 16000, 1)
