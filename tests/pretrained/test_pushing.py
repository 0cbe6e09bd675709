"""Pretrained folders to a hub that a test serves, and from there again."""

import pytest
import yaml
from huggingface_hub import constants
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained.pushing import push
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.hostile import NETWORK
from tests.helpers.hub import TOKEN
from tests.helpers.networks import conv_tasnet

ID = "someone/new"
CARD = '# A network\n\n    BloomEnhancer.from_hparams(source="this folder")\n'


@pytest.fixture
def folder(tmp_path):
    """A pretrained folder, beside which and in which are other files."""
    write_pretrained(conv_tasnet(num_blocks=2), NETWORK, tmp_path / "net", CARD)
    (tmp_path / "net" / "notes.txt").write_text("not to be pushed")
    return tmp_path / "net"


@pytest.fixture
def logged_in(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def refusal(*arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        push(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def header_of(card: bytes) -> dict:
    """Of a card, what is between its first lines of dashes."""
    return yaml.safe_load(card.decode().split("---\n")[1])


@pytest.mark.parametrize("large", [(), ("model.safetensors",)])
def test_there_and_back(large, logged_in, folder):
    logged_in.large = large
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = ["push", str(folder), ID, "--private", "--license", "cc-by-4.0", "--message", "First"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    repository = logged_in.repositories[ID]
    (files,) = repository.commits.values()
    assert f"{logged_in.url}/{ID}/commit/{repository.at('main')}" in result.output
    assert repository.private and repository.messages == ["First"]
    assert sorted(files) == ["README.md", "hyperparams.yaml", "model.safetensors"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    fingerprints = [
        BloomEnhancer.from_hparams(source=source).mods.model.fingerprint()
        for source in (str(folder), ID)
    ]
    assert fingerprints[0] == fingerprints[1]


def test_the_card_has_what_the_hub_reads(logged_in, folder):
    push(folder, ID)
    (files,) = logged_in.repositories[ID].commits.values()
    header = header_of(files["README.md"])
    assert header["pipeline_tag"] == "audio-to-audio" and header["library_name"] == "bloomnet_sb"
    assert {"speechbrain", "speech-enhancement"} <= set(header["tags"]) and "license" not in header
    text = files["README.md"].decode()
    assert text.endswith(CARD.replace("this folder", ID))


def test_a_cards_own_header_stays(logged_in, folder):
    own = "---\nlicense: mit\ntags: [mine]\nlanguage: de\n---\n"
    (folder / "README.md").write_text(own + CARD)
    push(folder, ID)
    push(folder, ID, license="cc0-1.0")
    first, second = logged_in.repositories[ID].commits.values()
    header = header_of(first["README.md"])
    assert header["tags"] == ["mine"] and header["license"] == "mit" and header["language"] == "de"
    assert header["pipeline_tag"] == "audio-to-audio"
    assert header_of(second["README.md"]) == header | {"license": "cc0-1.0"}


def test_a_second_push_is_another_commit(logged_in, folder):
    push(folder, ID)
    write_pretrained(conv_tasnet(num_blocks=2, seed=1), NETWORK, folder, CARD)
    push(folder, ID)
    assert len(logged_in.repositories[ID].commits) == 2
    found = BloomEnhancer.from_hparams(source=ID).mods.model.fingerprint()
    assert found == conv_tasnet(num_blocks=2, seed=1).fingerprint()


def test_who_may_not_write_is_told(hub, folder, monkeypatch):
    hub.repository("others/theirs")
    for repo_id in (ID, "others/theirs"):
        message = refusal(folder, repo_id)
        assert message.startswith(f"{repo_id}: the Hugging Face hub lets this user not write there")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "could not be put on the Hugging Face hub (OfflineModeIsEnabled" in refusal(folder, ID)
    assert not hub.repositories["others/theirs"].commits and ID not in hub.repositories


@pytest.mark.parametrize(
    ("repo_id", "options", "told"),
    [
        ("no one/new", {}, "no one/new: could not be put"),
        (ID, {"license": "mine"}, "README.md: a header that the hub does not take"),
    ],
)
def test_what_the_hub_does_not_take(repo_id, options, told, logged_in, folder):
    assert told in refusal(folder, repo_id, **options)
    assert not logged_in.repositories


@pytest.mark.parametrize("name", ["hyperparams.yaml", "model.safetensors", "README.md"])
def test_nothing_is_pushed_that_is_not_whole(name, logged_in, folder):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(b"---\n[\n---\n" if name == "README.md" else content[:50])
    assert name in refusal(folder, ID)
    (folder / name).unlink()
    assert f"a pretrained folder without {name}" in refusal(folder, ID)
    assert not logged_in.requests
