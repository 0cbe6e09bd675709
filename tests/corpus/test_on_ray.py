"""Corpora on a Ray cluster of two machines: what comes out is what comes out without Ray."""

import json
import os
import sys
import tarfile
import time
from pathlib import Path

import pytest
import soundfile as sf

from bloomnet_sb.cli import app
from tests.helpers.command import invoked
from tests.helpers.forked import Forked
from tests.helpers.ray_cluster import ray_cluster, start_machine
from tests.helpers.recipes import SAMPLES

HAVE_RAY = True
try:
    import ray  # noqa: F401
except ImportError:
    HAVE_RAY = False
on_ray = pytest.mark.skipif(not HAVE_RAY, reason="Ray is not installed (the extra ray)")
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ray_cluster(tmp_path_factory.mktemp("hostile")) as cluster:
        yield cluster


@pytest.fixture
def here(tmp_path, monkeypatch):
    """in/ with recordings, one of them none; where the commands run."""
    write_recordings(tmp_path / "in", [*(f"{n}.flac" for n in range(6)), "deeper/a.wav"])
    (tmp_path / "in" / "broken.flac").write_bytes(b"no audio")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_recordings(folder, names):
    samples, rate = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32")
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sf.write(folder / name, samples[3000 * number :][: 17000 + number], rate)


def enhance(*arguments, source):
    result = invoked("enhance", *arguments, "--source", source)
    assert result.exit_code in (0, 1), result.stderr
    return result


def report(folder):
    """What a report has of the choice and of files, without the time taken and the folder."""
    text = (Path(folder) / "report.jsonl").read_text().replace(str(folder), "OUT")
    lines = [json.loads(line) for line in text.splitlines()]
    lines = [line for line in lines if "network" in line or "input" in line]
    for line in lines:
        line.pop("core_seconds", None)
    return sorted(json.dumps(line, sort_keys=True) for line in lines)


def results(folder):
    """What every file of a folder holds, hidden ones too, locks and reports apart."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    files = [path for path in files if path.name != ".lock" and not path.name.startswith("report.")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@on_ray
@pytest.mark.parametrize(("inputs", "to_shards"), [("in", False), ("in", True), ("shards", False)])
def test_samples_and_report_are_those_without_ray(cluster, here, source, inputs, to_shards):
    options = ["--to-shards"] * to_shards
    if inputs == "shards":
        (here / "shards").mkdir()
        for part, pattern in (("a", "[0-3].flac"), ("b", "[4b]*.flac")):
            with tarfile.open(here / "shards" / f"{part}.tar", "w") as tar:
                for file in sorted((here / "in").glob(pattern)):
                    tar.add(file, f"train/{file.name}")
    enhance(inputs, "alone", *options, source=source)
    run = (inputs, "ray", *options, "--ray", cluster.address)
    result = enhance(*run, source=source)
    assert "broken.flac: not a readable audio file" in result.stderr
    assert report("ray") == report("alone")
    assert results("ray") == results("alone")
    assert enhance(*run, source=source).output.startswith("0 files enhanced")


@on_ray
def test_workers_and_a_machine_die(cluster, here, source):
    """Over a file once, or always: every other is there once, and none is half-written."""
    write_recordings(here / "in", ["0_kills.flac", "0_kills_machine.flac", "9_deadly.flac"])
    enhance("in", "alone", source=source)
    result = enhance("in", "ray", "--ray", cluster.address, source=source)
    start_machine(cluster)
    assert (here / "in" / "0_kills.flac.read").exists()
    assert (here / "in" / "0_kills_machine.flac.read").exists()
    assert "9_deadly.flac: a process died over it" in result.stderr
    for mark in (here / "in").glob("*.read"):
        mark.unlink()
    (here / "alone" / "9_deadly.flac").unlink()
    assert results("ray") == results("alone")
    others = [line for line in report("ray") if "deadly" not in line]
    assert others == [line for line in report("alone") if "deadly" not in line]


def begin(folder, *arguments):
    """The command, for a process of its own."""
    os.chdir(folder)
    sys.argv[1:] = map(str, arguments)
    app()


@on_ray
def test_the_driver_is_killed_and_started_again(cluster, here, source):
    write_recordings(here / "in", [f"{n}.flac" for n in range(15)] + ["waits.flac"])
    enhance("in", "alone", source=source)
    run = ("in", "ray", "--ray", cluster.address, "--source", source)
    driver = Forked(begin, here, "enhance", *run, new_session=True)
    deadline = time.monotonic() + 300
    # Files that are being written may be gone before they are read: names alone are counted.
    while not (here / "in" / "waits.flac.read").exists() or len([*Path("ray").glob("*.flac")]) < 5:
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.1)
    driver.kill()
    driver.finish()
    enhance(*run[:-2], source=source)
    assert results("ray") == results("alone")
    assert report("ray") == report("alone")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ray", "127.0.0.1:1"), "--ray 127.0.0.1:1: no cluster answers there"),
        (("--ray=head",), "--ray head: must be HOST:PORT, ray://HOST:PORT, auto or local"),
        (("--ray=local", "--num-cpus", "0"), "num_cpus is 0.0, but must be 0.01 or more"),
    ],
)
def test_what_is_refused(here, source, options, message):
    pytest.importorskip("ray")
    result = invoked("enhance", "in", "out", *options, "--source", source)
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_ray_it_says_how_to_get_it(here, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = invoked("enhance", "in", "out", "--ray", "--source", source)
    assert result.exit_code == 2
    assert result.stderr == "error: --ray needs Ray: pip install 'bloomnet_sb[ray]'\n"
