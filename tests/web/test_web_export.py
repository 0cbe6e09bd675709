import json
import re
import tarfile

import numpy as np
import pytest

from bloomnet_sb.cli import app
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.web import export
from bloomnet_sb.web.export import export_web
from tests.helpers.networks import conv_tasnet
from tests.helpers.web import NETWORKS, RATE, STATIC, archive, page

pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
pytestmark = pytest.mark.xdist_group("export")


@pytest.fixture
def no_archive(monkeypatch):
    """For exports that are refused before one is asked for."""
    monkeypatch.setattr(export, "runtime_archive", lambda _: pytest.fail("asked for"))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_states_are_those_of_the_export(name):
    folder = page(name)
    about = json.loads((folder / "web.json").read_text())
    data = (folder / "network" / "states.bin").read_bytes()
    manifest = json.loads((folder / "network" / "manifest.json").read_text())
    assert about["facts"] == manifest["facts"] and about["sample_rate"] == RATE
    with np.load(folder / "network" / "states.npz") as states:
        for part, names in manifest["states"].items():
            for state, tensor in zip(names, about["states"][part], strict=True):
                expected = states[f"{part}/{state}"]
                offset, kind = tensor["offset"], np.dtype(tensor["kind"])
                assert offset % kind.itemsize == 0
                found = np.frombuffer(data, kind, expected.size, offset)
                assert (found.reshape(tensor["dims"]) == expected).all()


def test_all_that_the_page_asks_for_is_there_and_nothing_from_elsewhere():
    folder = page("means")
    assert not {path.name for path in STATIC.iterdir()} - {path.name for path in folder.iterdir()}
    sources = [*folder.glob("*.mjs"), *folder.glob("*.html"), *folder.glob("*.css")]
    for source in sources:
        text = source.read_text()
        assert not re.search(r"https?://", text), source
        for name in re.findall(r'(?:from|href=|src=|new URL\() ?"(?:\./)?([\w./]+)"', text):
            assert (folder / name).exists(), f"{source.name}: {name}"


def test_the_manifest_names_the_controls(tmp_path):
    one = conv_tasnet(norm="BN", causal=True, num_blocks=1, layers_per_block=1)
    export_web(one, RATE, tmp_path / "page", runtime=archive())
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    folders = {1: tmp_path / "page", 2: page("means")}
    found = {n: json.loads((folders[n] / "web.json").read_text())["controls"] for n in folders}
    amount = ["strength", "limit"]
    assert found == {1: amount, 2: ["depth", "auto", *amount]}


def test_what_no_page_is_made_of_is_refused(tmp_path, no_archive):
    sources = conv_tasnet(norm="BN", causal=True, num_sources=2)
    with pytest.raises(InputError, match="for enhancement, and this network separates 2 sources"):
        export_web(sources, RATE, tmp_path / "page")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(
        InputError, match="full: is not empty; what is written goes to a new folder"
    ):
        export_web(conv_tasnet(norm="BN", causal=True), RATE, tmp_path / "full")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "notes.txt"]


def test_an_export_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="needs a causal network"):
        export_web(conv_tasnet(norm="BN"), RATE, tmp_path / "page", runtime=archive())
    with tarfile.open(tmp_path / "other.tgz", "w:gz"):
        pass
    with pytest.raises(InputError, match="is not onnxruntime-web"):
        export_web(
            conv_tasnet(norm="BN", causal=True), RATE, tmp_path / "page",
            runtime=tmp_path / "other.tgz",
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["other.tgz"]


def test_a_runtime_is_for_a_page(tmp_path):
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["export", str(tmp_path / "out"), "--runtime", "x.tgz"])
    assert isinstance(result.exception, InputError)
    assert "--runtime x.tgz is for --web" in str(result.exception)
