import json
import os
import shutil
from multiprocessing import get_context

import numpy as np
import pytest
import soundfile as sf
from safetensors.torch import save_file

from bloomnet_sb.inference import workers
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.many_files import REPORT, Choice, enhance_many
from bloomnet_sb.inference.report import Job
from bloomnet_sb.utils.errors import InputError
from tests.helpers.forked import fork_server
from tests.helpers.recipes import SAMPLES


@pytest.fixture
def files(tmp_path):
    """Four short recordings and one that is none, with places for their results."""
    (tmp_path / "in").mkdir()
    samples, rate = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32")
    for number in range(4):
        part = samples[8000 * number : 8000 * (number + 2) + number]  # no two of one length
        sf.write(tmp_path / "in" / f"{number}.flac", part, rate)
    (tmp_path / "in" / "broken.flac").write_bytes(b"no audio")
    paths = sorted((tmp_path / "in").iterdir())
    return [(path, tmp_path / "out" / path.name) for path in paths]


@pytest.fixture
def forked_workers(monkeypatch):
    """Processes that begin at once; those of the file that kills its process are started."""
    monkeypatch.setattr(workers, "worker_context", lambda module: fork_server())


def entries(folder):
    """The head of a report, and the lines of files that are done."""
    head, *lines = map(json.loads, (folder / REPORT).read_text().splitlines())
    return head, [line for line in lines if "input" in line]


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("processes", [1, 2])
def test_each_result_is_that_of_its_file(pretrained, files, tmp_path, processes):
    choice = Choice(str(pretrained), blocks=1)
    summary = enhance_many(files, tmp_path / "out", choice, processes)
    assert (summary.enhanced, summary.skipped) == (4, 0)
    (error,) = summary.errors
    assert "broken.flac: not a readable audio file" in error
    enhancer = BloomEnhancer.from_hparams(source=str(pretrained))
    for path, output in files[:4]:
        written, _ = sf.read(output, dtype="float32")
        expected = enhancer.enhance_file(path, blocks=1)
        np.testing.assert_allclose(written, expected, atol=1e-4)
    head, lines = entries(tmp_path / "out")
    assert head["blocks"] == 1
    assert sum(line.get("core_seconds", 0) for line in lines) > 0
    for line in lines:
        seconds = None if line["error"] else sf.info(line["output"]).duration
        assert line.get("seconds") == pytest.approx(seconds, abs=1e-3)
    assert {line["input"]: line["error"] is None for line in lines} == {
        str(path): path.stem != "broken" for path, _ in files
    }


def test_what_is_done_is_skipped(pretrained, files, tmp_path):
    out, choice = tmp_path / "out", Choice(str(pretrained))
    enhance_many(files[:2], out, choice)
    summary = enhance_many(files, out, choice)
    assert (summary.enhanced, summary.skipped, len(summary.errors)) == (2, 2, 1)
    shutil.copy(files[1][0], files[0][0])  # another recording
    files[1][1].unlink()
    summary = enhance_many(files, out, choice)
    assert (summary.enhanced, summary.skipped, len(summary.errors)) == (2, 2, 1)
    assert sf.read(files[0][1])[0].tolist() == sf.read(files[1][1])[0].tolist()


def test_another_choice_or_network_does_all_again(pretrained, files, tmp_path):
    out, good = tmp_path / "out", files[:4]
    own = tmp_path / "network"
    shutil.copytree(pretrained, own)
    for choice in (Choice(str(own)), Choice(str(own), 1), Choice(str(own), "auto", -10.0)):
        assert enhance_many(good, out, choice).enhanced == 4
        assert enhance_many(good, out, choice).skipped == 4
    weights = BloomEnhancer.from_hparams(source=str(own)).mods.model.state_dict()
    weights["encoder.weight"] *= 2
    save_file(weights, own / "model.safetensors")
    assert enhance_many(good, out, choice).enhanced == 4


def test_an_input_that_was_damaged_and_mended_is_done_again(pretrained, files, tmp_path):
    out, file = tmp_path / "out", files[0][0]
    whole = file.read_bytes()
    for choice in (Choice(str(pretrained)), Choice(str(pretrained), 1)):
        enhance_many(files[:1], out, choice)
        file.write_bytes(b"no audio")
        for _ in range(2):
            assert "not a readable audio file" in enhance_many(files[:1], out, choice).errors[0]
        file.write_bytes(whole)
        assert enhance_many(files[:1], out, choice).errors == []
    assert len(entries(out)[1]) == 1


def test_what_was_put_where_a_file_failed_is_anothers(pretrained, files, tmp_path):
    broken, output = files[4]
    enhance_many([(broken, output)], tmp_path / "out", Choice(str(pretrained)))
    output.write_bytes(b"another's")
    shutil.copy(files[0][0], broken)
    summary = enhance_many([(broken, output)], tmp_path / "out", Choice(str(pretrained)))
    assert "is there already" in summary.errors[0]
    assert output.read_bytes() == b"another's"


@pytest.mark.parametrize("content", [b"no JSON", b"5\n", b'{"blocks": 1}\n', b"\xff"])
def test_a_report_of_another_program_is_not_overwritten(pretrained, files, tmp_path, content):
    (tmp_path / "out").mkdir()
    report = tmp_path / "out" / REPORT
    report.write_bytes(content)
    with pytest.raises(InputError, match="report.jsonl: is there already, and no report of this"):
        enhance_many(files, tmp_path / "out", Choice(str(pretrained)))
    assert report.read_bytes() == content
    assert not files[0][1].exists()


def test_after_a_kill_it_goes_on(pretrained, files, tmp_path):
    out, choice = tmp_path / "out", Choice(str(pretrained))
    enhance_many(files[:3], out, choice)
    with open(out / REPORT, "rb+") as report:
        report.seek(-20, os.SEEK_END)  # the last line as a kill may leave it
        report.truncate()
    summary = enhance_many(files, out, choice)
    assert (summary.enhanced, summary.skipped) == (2, 2)
    _, lines = entries(out)
    assert len({line["input"] for line in lines}) == len(lines) == 5


def test_an_interrupted_run_keeps_what_is_done(pretrained, files, tmp_path, monkeypatch):
    enhance, calls = workers._enhance, []

    def interrupted(*arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments)
        return enhance(*arguments)

    monkeypatch.setattr(workers, "_enhance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        enhance_many(files, tmp_path / "out", Choice(str(pretrained)))
    monkeypatch.undo()
    assert enhance_many(files, tmp_path / "out", Choice(str(pretrained))).skipped == 2


def test_a_file_in_work_when_a_run_ends_is_not_finished(pretrained, files, tmp_path, monkeypatch):
    """However long it is: the other thread ends where it would compute next."""
    enhancer, computed = Choice(str(pretrained)).load(), []
    estimate = BloomEnhancer._estimate
    monkeypatch.setattr(
        BloomEnhancer,
        "_estimate",
        lambda self, *what: computed.append(1) or estimate(self, *what),
    )
    jobs = [Job(path, output, []) for path, output in files[:4]]
    results = workers.enhance_batches(enhancer, [[job] for job in jobs], Choice(str(pretrained)))
    next(results)
    results.close()
    done = len(computed)
    assert 1 <= done <= 4
    assert not list((tmp_path / "out").glob(".*partial"))


DEADLY = """
import os, soundfile

class Deadly(soundfile.SoundFile):
    def __init__(self, file, *arguments, **options):
        if "deadly" in str(file):
            os._exit(9)
        super().__init__(file, *arguments, **options)

soundfile.SoundFile = Deadly
"""


def test_a_file_over_which_a_process_dies_does_not_stop_the_others(
    pretrained, files, tmp_path, monkeypatch
):
    """As with a file that crashes a decoder, or takes all memory."""
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(workers, "worker_context", lambda module: get_context("spawn"))
    files[1][0].rename(deadly := tmp_path / "in" / "1_deadly.flac")
    files[1] = (deadly, tmp_path / "out" / deadly.name)
    summary = enhance_many(files, tmp_path / "out", Choice(str(pretrained)), processes=2)
    assert summary.enhanced == 3
    assert sorted(error.split("in/")[1].split(": ")[:2] for error in summary.errors) == [
        ["1_deadly.flac", "a process died over it, for want of memory perhaps"],
        ["broken.flac", "not a readable audio file (Format not recognised)"],
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("0.flac", "2.flac", "3.flac"),
        *(".lock", REPORT),
    }
    _, lines = entries(tmp_path / "out")
    assert sorted(line["input"] for line in lines) == sorted(str(path) for path, _ in files)
    assert [line["input"] for line in lines if line.get("again")] == [str(deadly)]


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("processes", [1, 2])
def test_short_files_of_one_length_are_batched(pretrained, tmp_path, monkeypatch, processes):
    samples, rate = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32")
    (tmp_path / "in").mkdir()
    for number in range(6):
        sf.write(tmp_path / "in" / f"{number}.flac", samples[4000 * number :][:11025], 11025)
    broken = tmp_path / "in" / "5.flac"
    broken.write_bytes(broken.read_bytes()[:-3000])
    files = [(path, tmp_path / "out" / path.name) for path in sorted((tmp_path / "in").iterdir())]
    alone, batches = BloomEnhancer.from_hparams(source=str(pretrained)), []
    together = BloomEnhancer.enhance_alike
    monkeypatch.setattr(
        BloomEnhancer,
        "enhance_alike",
        lambda self, files, *how, **amount: (
            batches.append(len(files)) or together(self, files, *how, **amount)
        ),
    )
    summary = enhance_many(files, tmp_path / "out", Choice(str(pretrained)), processes)
    assert summary.enhanced == 5
    (error,) = summary.errors
    assert "5.flac: " in error
    assert batches == ([4, 2] if processes == 1 else [])  # those of other processes are unseen
    for path, output in files[:5]:
        written, _ = sf.read(output, dtype="float32")
        np.testing.assert_allclose(written, alone.enhance_file(path), atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock",
        *(output.name for _, output in files[:5]),
        REPORT,
    ]


@pytest.mark.parametrize(
    ("choice", "processes", "message"),
    [
        ({"blocks": 7}, 1, "blocks is 7, but this network has 1 to 2"),
        ({}, 0, "processes is 0"),
        ({"source": "nowhere"}, 1, "nowhere: neither a folder"),
    ],
)
def test_wrong_options(pretrained, files, tmp_path, choice, processes, message):
    choice = Choice(**({"source": str(pretrained)} | choice))
    with pytest.raises(InputError, match=message):
        enhance_many(files, tmp_path / "out", choice, processes)
    assert not (tmp_path / "out").exists()
