"""Nothing written over what should stay, through the command in this process."""

import os

import pytest
import soundfile as sf

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.utils import audio_files
from bloomnet_sb.utils.atomic_files import lock_folder
from bloomnet_sb.utils.errors import InputError
from tests.helpers.command import invoked, write_network
from tests.helpers.recordings import audio, sound


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network") / "pretrained")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with two recordings and what is another user's."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(audio("WAV")())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.wav").write_bytes(b"something of another's")
    (tmp_path / "link.wav").symlink_to("a.wav")
    os.link(tmp_path / "a.wav", tmp_path / "hard.wav")
    (tmp_path / "linked_folder").symlink_to(".")
    return tmp_path


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "report.jsonl")
    }


REFUSED = [
    (("a.wav", "b.wav"), "is there already; with --force"),
    (("a.wav", "b.wav", "c.wav"), "c.wav: is no folder, but several results go to one"),
    (("a.wav", "b.wav", "new.wav"), "new.wav: is the name of one file"),
    (("folder", "new.flac"), "new.flac: is the name of one file"),
    (("a.wav", "b.wav", "-"), "-: is no folder"),
    (("a.wav", "a.wav"), "is an input"),
    (("a.wav", "./linked_folder/a.wav", "--force"), "is an input"),
    (("a.wav", "link.wav", "--force"), "is an input"),
    (("link.wav", "a.wav", "--force"), "is an input"),
    (("a.wav", "hard.wav", "--force"), "is an input"),
    (("folder/a.wav", "b.wav", "hard.wav", "linked_folder", "--force"), "is an input"),
    (("a.wav", "new.m4a"), "cannot write .m4a, but one of .wav, .flac"),
    (("a.wav", "new.xyz"), "cannot write .xyz, but one of .wav, .flac"),
    (("a.wav", "new.wve"), "cannot write .wve of 1 channels at 16000 Hz, but one of .wav, .flac"),
    (("a.wav", "new.xi"), "cannot write .xi of"),
    (("a.wav", "new.mp2"), "cannot write .mp2 of"),
    (("folder/a.wav", "new.wav"), "not a readable audio file"),
    (("nowhere.wav", "new.wav"), "nowhere.wav: no such file"),
    (("a.wav", "a.wav/new.wav"), "cannot be written"),
    (("a.wav", f"{'long' * 70}.wav"), "cannot be written (File name too long)"),
]


@pytest.mark.parametrize(("paths", "message"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_would_lose_something_is_refused(here, source, paths, message):
    before = contents(here)
    result = invoked("enhance", *paths, "--source", source)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert contents(here) == before


def test_with_force_a_file_is_overwritten_and_no_other(here, source):
    before = contents(here)
    assert invoked("enhance", "a.wav", "b.wav", "--force", "--source", source).exit_code == 0
    after = contents(here)
    assert {name for name in before if after[name] != before[name]} == {"b.wav"}
    assert after.keys() == before.keys()


def test_an_output_that_is_a_link_stays_one(here, source):
    (here / "result.wav").symlink_to("folder/new.wav")
    assert invoked("enhance", "a.wav", "result.wav", "--source", source).exit_code == 2
    assert invoked("enhance", "a.wav", "result.wav", "--force", "--source", source).exit_code == 0
    assert (here / "result.wav").is_symlink()
    assert sf.info(here / "folder" / "new.wav").frames == len(sound())


def test_a_folder_knows_its_own_files_and_leaves_others(here, source):
    run = ("enhance", "a.wav", "b.wav", "folder", "--source", source)
    result = invoked(*run)
    assert "folder/a.wav: is there already" in result.stderr
    assert "1 files enhanced, 0 had been before, 1 could not be" in result.stdout
    first = contents(here)["folder/b.wav"]
    assert "1 files enhanced" in invoked(*run, "--blocks", 1).stdout  # its own, by another choice
    assert contents(here)["folder/b.wav"] != first
    assert contents(here)["folder/a.wav"] == b"something of another's"
    assert "1 files enhanced, 1 had been" in invoked(*run, "--blocks", 1, "--force").stdout


@pytest.mark.parametrize(
    ("command", "module"), [("enhance", "inference.many_files"), ("separate", "utils.atomic_files")]
)
def test_two_runs_into_one_folder(here, source, monkeypatch, command, module):
    def in_use(folder, name=""):
        raise InputError(f"{folder}: in use by process 1; wait, or take another")

    monkeypatch.setattr(f"bloomnet_sb.{module}.lock_folder", in_use)
    result = invoked(command, "a.wav", "folder", "--source", source)
    assert result.exit_code == 2
    assert "folder: in use by process 1" in result.stderr
    monkeypatch.undo()
    lock_folder(here / "folder").close()


def test_pythons_function_overwrites_but_never_its_input(here, source):
    enhancer = BloomEnhancer.from_hparams(source=str(source))
    before = contents(here)["a.wav"]
    for name in ("a.wav", "link.wav", "hard.wav", "linked_folder/a.wav"):
        with pytest.raises(InputError, match="is the input"):
            enhancer.enhance_file("a.wav", name)
    enhancer.enhance_file("a.wav", "b.wav")
    assert contents(here)["a.wav"] == before
    assert contents(here)["b.wav"] != before


@pytest.mark.parametrize("where", ["read-only", "full"])
def test_a_disk_that_cannot_be_written_is_named_for_each_file(here, source, monkeypatch, where):
    class Refusing(sf.SoundFile):
        def __init__(self, file, mode="r", *arguments, **options):
            if mode == "w" and where == "read-only" and b"b.wav" in file:
                raise OSError(30, "Read-only file system")
            super().__init__(file, mode, *arguments, **options)

        def write(self, data):
            if where == "full" and b"b.wav" in self.name:
                raise sf.LibsndfileError(2)
            super().write(data)

    monkeypatch.setattr(audio_files.sf, "SoundFile", Refusing)
    result = invoked("enhance", "a.wav", "b.wav", "c.wav", "new", "--source", source)
    monkeypatch.undo()
    assert "2 files enhanced, 0 had been before, 1 could not be" in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "new/b.wav: cannot be written (" in line
    assert {path.name for path in (here / "new").glob("*.wav")} == {"a.wav", "c.wav"}
    assert not list((here / "new").glob(".*.partial"))


def test_live_does_not_replace_what_is_there(here):
    before = contents(here)
    for options in ((), ("--force",)):
        result = invoked("live", "--input", "a.wav", "--output", "link.wav", *options)
        assert result.exit_code == 2
        assert "is the input" in result.stderr
    assert contents(here) == before
