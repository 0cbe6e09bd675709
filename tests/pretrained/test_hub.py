"""Networks from a Hugging Face hub, which a test serves, through SpeechBrain's own `fetch`."""

import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from speechbrain.utils.fetching import FetchConfig, FetchFrom, FetchSource, LocalStrategy

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained import hub as hub_client
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.hostile import NETWORK
from tests.helpers.hub import TOKEN
from tests.helpers.networks import conv_tasnet
from tests.helpers.recipes import run_python

ID = "someone/small"


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    """Two networks of one kind."""
    for seed, name in enumerate(("old", "new")):
        model = conv_tasnet(num_blocks=2, seed=seed)
        write_pretrained(model, NETWORK, tmp_path / name, f"The {name} card.")
    return [tmp_path / "old", tmp_path / "new"]


@pytest.fixture
def repository(hub, folders):
    """A repository with the first of them."""
    repository = hub.repository(ID)
    repository.add_folder(folders[0])
    return repository


@pytest.fixture
def one_try(monkeypatch):
    """The hub's client waits between its tries; here it fails instead."""

    def refuse(seconds: float) -> None:
        raise AssertionError(f"tried again after {seconds} s")

    monkeypatch.setattr(time, "sleep", refuse)


def log_in() -> None:
    Path(constants.HF_TOKEN_PATH).write_text(TOKEN)


def fingerprint(source, **options) -> str:
    return BloomEnhancer.from_hparams(source=source, **options).mods.model.fingerprint()


def refusal(**options) -> str:
    with pytest.raises(InputError) as caught:
        BloomEnhancer.from_hparams(**{"source": ID} | options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("large", [(), ("model.safetensors",)])
def test_an_id_loads(large, hub, repository, folders):
    hub.large = large
    expected = fingerprint(folders[0])
    assert fingerprint(ID) == expected
    assert fingerprint(FetchSource(FetchFrom.HUGGING_FACE, ID)) == expected
    assert any("resolve" in request for request in hub.requests)


def test_the_newest_of_a_branch_and_what_a_revision_names(repository, folders):
    old = fingerprint(ID)
    first = repository.at("main")
    repository.add_folder(folders[1])
    new = fingerprint(ID)
    assert old != new
    repository.branches["v1"] = first
    for revision in (first, "v1"):
        assert fingerprint(ID, revision=revision) == old
        assert fingerprint(f"{ID}@{revision}") == old
        assert fingerprint(ID, fetch_config=FetchConfig(revision=revision)) == old
    assert fingerprint(ID, revision="main") == new
    assert refusal(revision="v2") == f"{ID}: no revision 'v2' on the Hugging Face hub"
    assert "has a revision, but revision is" in refusal(source=f"{ID}@v1", revision="v2")
    assert "in fetch_config" in refusal(revision="v1", fetch_config=FetchConfig(revision="v2"))


def test_both_files_are_of_one_commit(repository, folders, monkeypatch):
    old = fingerprint(folders[0])
    fetch = hub_client.fetch

    def slowly(name, *arguments, **options):
        path = fetch(name, *arguments, **options)
        repository.add_folder(folders[1])
        return path

    monkeypatch.setattr(hub_client, "fetch", slowly)
    assert fingerprint(ID) == old


def test_private_and_gated_repositories_are_for_who_is_logged_in(hub, folders):
    for kind, told in (("private", "a private one (log in"), ("gated", "ask for access on its")):
        hub.repository(f"someone/{kind}", **{kind: True}).add_folder(folders[0])
        message = refusal(source=f"someone/{kind}")
        assert told in message and "hf auth login" in message
    assert "no such repository" in refusal(source="someone/nothing")
    log_in()
    for kind in ("private", "gated"):
        assert fingerprint(f"someone/{kind}") == fingerprint(folders[0])
        refusal(source=f"someone/{kind}", fetch_config=FetchConfig(revision="other"))


def test_a_token_that_is_asked_for_and_not_there(repository):
    assert "there is none; log in" in refusal(fetch_config=FetchConfig(token=True))


def test_what_the_repository_lacks_is_named(repository):
    sha = repository.at("main")
    del repository.commits[sha]["model.safetensors"]
    assert refusal() == f"{ID}: on the Hugging Face hub, but without model.safetensors"
    assert "without other.yaml" in refusal(hparams_file="other.yaml")


@pytest.mark.parametrize("away", ["offline mode", "no network", "down", "not allowed"])
def test_without_the_hub_the_cache_answers_at_once(
    away, hub, repository, folders, one_try, monkeypatch
):
    expected, options = fingerprint(ID), {}
    before = len(hub.requests)
    if away == "offline mode":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif away == "no network":
        hub.server_close()
        nowhere = "http://127.0.0.1:9"
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(hub.url, nowhere)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    elif away == "down":
        hub.status = 503
    else:
        options = {"fetch_config": FetchConfig(allow_network=False)}
    assert fingerprint(ID, **options) == expected
    message = refusal(source="someone/other", **options)
    assert message.startswith("someone/other: no such folder, not in the cache, and the Hugging")
    asked = {"down": 2, "no network": 0, "offline mode": 0, "not allowed": 0}[away]
    assert len(hub.requests) - before == asked


@pytest.mark.parametrize(
    ("strategy", "linked"),
    [(None, True), (LocalStrategy.SYMLINK, True), (LocalStrategy.COPY, False)],
)
def test_savedir_has_what_was_asked_for_last(strategy, linked, hub, repository, folders, tmp_path):
    hub.repository("someone/other").add_folder(folders[1])
    place, options = tmp_path / "saved" / "here", {"local_strategy": strategy}
    for source, folder in ((ID, folders[0]), ("someone/other", folders[1]), (ID, folders[0])):
        assert fingerprint(source, savedir=place, **options) == fingerprint(folder)
        names = sorted(path.name for path in place.iterdir())
        assert names == ["hyperparams.yaml", "model.safetensors"]
        assert (place / names[1]).is_symlink() == (strategy is not LocalStrategy.COPY)


def test_other_strategies(repository, tmp_path):
    options = {"savedir": tmp_path / "saved", "local_strategy": LocalStrategy.NO_LINK}
    fingerprint(ID, **options)
    assert not (tmp_path / "saved").exists()
    options["local_strategy"] = LocalStrategy.COPY_SKIP_CACHE
    assert "may be SYMLINK, COPY or NO_LINK" in refusal(**options)


def test_a_savedir_that_cannot_be(repository, tmp_path):
    (tmp_path / "file").touch()
    assert "savedir" in refusal(savedir=tmp_path / "file" / "saved")


def test_only_fetched(repository, tmp_path):
    options = {"savedir": tmp_path / "saved", "download_only": True}
    assert BloomEnhancer.from_hparams(source=ID, **options) is None
    assert (tmp_path / "saved" / "model.safetensors").is_file()


@pytest.mark.parametrize("status", [400, 403, 429])
def test_other_answers_are_one_line(status, hub, repository, one_try):
    hub.status = status
    assert f"{ID}: could not be fetched from the Hugging Face hub (" in refusal()


@pytest.mark.parametrize("fault", [TypeError, AttributeError, KeyError])
def test_a_fault_of_the_program_is_not_the_hubs(fault, repository, monkeypatch):
    def changed(*_, **__):
        raise fault("an argument too many")

    monkeypatch.setattr(hub_client, "fetch", changed)
    with pytest.raises(fault):
        BloomEnhancer.from_hparams(source=ID)


def test_the_command_asks_the_hub_of_the_environment(hub, repository, tmp_path):
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    result = run_python("-m", "bloomnet_sb", "info", "--source", ID, **environment)
    assert result.returncode == 0, result.stderr
    assert "| blocks |" in result.stdout and not result.stderr
