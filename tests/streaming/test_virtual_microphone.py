import logging
import os
import subprocess

import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.streaming import virtual_microphone as module
from bloomnet_sb.streaming.live import run_live
from bloomnet_sb.streaming.policies import Fixed
from bloomnet_sb.streaming.virtual_microphone import virtual_microphone
from bloomnet_sb.utils.errors import InputError, Stopped
from tests.helpers.networks import conv_tasnet
from tests.helpers.sound_server import SoundServer

ENHANCER = BloomEnhancer({"model": conv_tasnet(norm="BN", causal=True)}, {"sample_rate": 16000})
BEFORE = ["module-device-restore"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A sound server that pactl and pacat answer for."""
    server = SoundServer(tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server


def of_process(number: int) -> str:
    """What a process that was killed leaves."""
    null = f"500\tmodule-null-sink\tsink_name=bloomnet_{number} channels=1\t"
    remap = f"501\tmodule-remap-source\tsource_name=bloomnet master=bloomnet_{number}.monitor\t"
    return f"{null}\n{remap}\n"


def dead_process() -> int:
    process = subprocess.Popen(["/bin/sh", "-c", ":"])
    process.wait()
    return process.pid


def test_programs_hear_what_is_enhanced(server, noisy_file, tmp_path):
    samples, _ = sf.read(noisy_file, dtype="float32", frames=8000)
    sf.write(tmp_path / "in.wav", samples, 16000, subtype="FLOAT")
    loaded = []
    policy = Fixed(2)
    policy.choose = lambda seen: loaded.append(server.modules()) or 2
    run_live(ENHANCER, policy, str(tmp_path / "in.wav"), speed="full", virtual=True, blocks=2)
    sink = f"bloomnet_{os.getpid()}"
    assert loaded[0] == [
        *BEFORE,
        f"module-null-sink sink_name={sink} rate=16000 channels=1 "
        f"sink_properties=device.description={sink}",
        f"module-remap-source source_name=bloomnet master={sink}.monitor "
        "channels=1 source_properties=device.description=BLOOM-Net",
    ]
    assert server.modules() == BEFORE
    player = (server.folder / "player").read_text()
    assert f"--device={sink} --format=float32le --rate=16000 --channels=1" in player
    heard = np.fromfile(server.folder / "played", "<f4")
    expected = ENHANCER.enhance_file(tmp_path / "in.wav", blocks=2)
    np.testing.assert_allclose(heard, expected, atol=1e-4)


def test_what_a_killed_process_left_is_removed(server):
    with open(server.folder / "modules", "a") as modules:
        modules.write(of_process(dead_process()))
    with virtual_microphone(48000):
        assert len(server.modules()) == 3
    assert server.modules() == BEFORE


def test_another_process_keeps_its_own(server):
    with open(server.folder / "modules", "a") as modules:
        modules.write(of_process(os.getppid()))
    with pytest.raises(InputError, match=f"process {os.getppid()} has the virtual microphone"):
        virtual_microphone(48000).__enter__()
    assert len(server.modules()) == 3


def test_the_modules_are_unloaded_after_a_failure(server):
    with pytest.raises(ZeroDivisionError), virtual_microphone(48000):
        assert len(server.modules()) == 3
        raise ZeroDivisionError
    assert server.modules() == BEFORE


@pytest.mark.parametrize("how", ["dies", "stops"])
def test_a_server_that_takes_no_more(how, server, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    if how == "dies":
        (server.folder / "dies").touch()
    else:
        (server.programs / "pacat").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    with pytest.raises(Stopped, match="the virtual microphone takes no"):  # noqa: SIM117
        with virtual_microphone(48000) as player:
            for _ in range(1000):
                player.play(torch.zeros(480))
    assert server.modules() == BEFORE


def test_without_a_server(server):
    (server.folder / "refuses").touch()
    with pytest.raises(InputError, match=r"needs PipeWire .*Connection refused\)$"):
        virtual_microphone(48000).__enter__()


@pytest.mark.parametrize("program", ["pactl", "pacat"])
def test_without_the_programs(program, server):
    (server.programs / program).unlink()
    with pytest.raises(InputError, match=f"needs {program}: install pulseaudio-utils"):
        virtual_microphone(48000).__enter__()
    assert server.modules() == BEFORE


def test_hearing_oneself_is_warned_of(server, caplog):
    (server.folder / "default").write_text("bloomnet\n")
    with caplog.at_level(logging.WARNING), virtual_microphone(48000):
        pass
    assert "default microphone is BLOOM-Net itself" in caplog.text
