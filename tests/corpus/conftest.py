"""Five recordings, a network, and what it makes of each of them alone."""

import pytest

from bloomnet_sb.inference.enhancer import BloomEnhancer
from tests.helpers.command import write_network
from tests.helpers.corpora import five_recordings


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network") / "network")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """in/ with five recordings, one of them none; where the commands run."""
    five_recordings(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def alone(here, source):
    """What the network makes of each recording alone."""
    enhancer = BloomEnhancer.from_hparams(source=str(source))
    good = [path for path in sorted(here.glob("in/**/*.flac")) if path.stem != "broken"]
    return {path.stem: enhancer.enhance_file(path).numpy() for path in good}
