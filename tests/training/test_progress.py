"""Where a decay begins and ends, by what a checkpoint says of the run."""

import pytest

from bloomnet_sb.training.progress import Progress
from bloomnet_sb.training.schedule import OpenEndedRate
from bloomnet_sb.utils.errors import InputError

QUARTER = OpenEndedRate(lr=0.002, decay=0.25)


@pytest.mark.parametrize(
    ("known", "updates", "moved", "planned"),
    [
        ((None, None), 800, False, (800, 1000)),
        ((800, 1000), 900, False, (800, 1000)),
        ((800, 1000), 900, True, (800, 1000)),
        ((800, 1000), 1000, False, (800, 1000)),
        ((800, 1000), 1000, True, (1000, 1250)),
        ((800, 880), 880, True, (880, 1100)),
        ((800, None), 880, True, (880, 1100)),
    ],
    ids=[
        "the first", "stopped", "stopped and moved", "ended", "ended and moved",
        "ended sooner and moved", "of an earlier version",
    ],
)  # fmt: skip
def test_a_decay_goes_on_until_it_ends_and_another_begins_elsewhere(known, updates, moved, planned):
    progress = Progress(decay_from=known[0], decay_to=known[1])
    progress.plan_decay(QUARTER, updates, moved)
    assert (progress.decay_from, progress.decay_to) == planned


@pytest.mark.parametrize("updates", [0, 1])
def test_there_is_no_decay_of_nothing(updates):
    with pytest.raises(InputError, match=f"decay is 0.25, .* of which there are {updates}; it"):
        Progress().plan_decay(QUARTER, updates, moved=False)


def test_without_a_decay_the_rate_stays(tmp_path):
    Progress(decay_from=800, decay_to=1000).save(tmp_path / "progress.ckpt")
    progress = Progress()
    progress.load(tmp_path / "progress.ckpt", end_of_epoch=True)
    assert progress.decay_to == 1000
    progress.plan_decay(OpenEndedRate(lr=0.002), 1000, moved=True)
    assert (progress.decay_from, progress.decay_to) == (None, None)
