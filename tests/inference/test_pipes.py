"""Recordings by pipes, through the command in this process."""

import io
import os
import threading
from pathlib import Path

import pytest
import soundfile as sf

from tests.helpers.command import invoked, write_network
from tests.helpers.recordings import audio, sound


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network") / "pretrained")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with a recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(audio("WAV")())
    return tmp_path


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "AIFF"])
def test_stdin_and_stdout(here, source, container):
    result = invoked("enhance", "-", "-", "--source", source, input=audio(container)())
    assert result.exit_code == 0, result.stderr
    info = sf.info(io.BytesIO(result.stdout_bytes))
    assert (info.format, info.frames) == (container, len(sound()))


def test_stdin_to_a_file_and_a_file_to_stdout(here, source):
    assert invoked("enhance", "-", "x.flac", "--source", source, input=audio("WAV")()).stdout == ""
    for name in ("y.flac", "z.wav"):
        assert invoked("enhance", "a.wav", name, "--source", source).exit_code == 0
    assert Path("x.flac").read_bytes() == Path("y.flac").read_bytes()
    out = invoked("enhance", "a.wav", "-", "--source", source).stdout_bytes
    assert out == Path("z.wav").read_bytes()


def test_an_unreadable_pipe_is_named(here, source):
    for came, message in ((b"no audio", "-: not a readable"), (b"", "-: nothing came through")):
        result = invoked("enhance", "-", "x.wav", "--source", source, input=came)
        assert result.exit_code == 2
        assert f"error: {message}" in result.stderr
        assert not Path("x.wav").exists()


def test_named_pipes(here, source):
    os.mkfifo("in.pipe")
    os.mkfifo("out.flac")
    came = []
    threads = [
        threading.Thread(target=lambda: (here / "in.pipe").write_bytes(audio("WAV")())),
        threading.Thread(target=lambda: came.append((here / "out.flac").read_bytes())),
    ]
    for thread in threads:
        thread.start()
    result = invoked("enhance", "in.pipe", "out.flac", "--source", source)
    for thread in threads:
        thread.join()
    assert result.exit_code == 0, result.stderr
    assert sf.info(io.BytesIO(came[0])).frames == len(sound())


def test_pipes_are_separated_too(here, source):
    os.mkfifo("in.pipe")
    content = audio("WAV")()
    threading.Thread(target=(here / "in.pipe").write_bytes, args=[content], daemon=True).start()
    names = ["-", "in.pipe", "a.wav", "out"]
    result = invoked("separate", *names, "--source", source, input=audio("FLAC")())
    assert result.exit_code == 0, result.stderr
    written = {path.name: path for path in (here / "out").glob("*_source1*")}
    assert set(written) == {"stdin_source1.flac", "in_source1.pipe.wav", "a_source1.wav"}
    assert {sf.info(path).frames for path in written.values()} == {len(sound())}
