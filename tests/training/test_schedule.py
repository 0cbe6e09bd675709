import pytest

from bloomnet_sb.training.schedule import BlockwiseSchedule, StageSettings
from bloomnet_sb.utils.errors import InputError

SETTINGS = {"epochs": 3, "lr": 1e-3, "segment_seconds": 1.0}


def make_schedule(kind="blockwise", **settings):
    return BlockwiseSchedule(
        kind, 3, **{"block": SETTINGS, "finetune": SETTINGS, "end_to_end": SETTINGS, **settings}
    )


def test_blockwise_trains_each_block_on_its_own_estimate():
    stages = make_schedule().stages
    assert [stage.name for stage in stages] == ["block1", "block2", "block3", "finetune"]
    assert stages[0].parts == ("encoder", "entry", "block1", "head1", "decoder1")
    assert stages[2].parts == ("block3", "head3", "decoder3")
    assert [(stage.first, stage.blocks) for stage in stages] == [(1, 1), (2, 2), (3, 3), (1, 3)]


def test_end_to_end_trains_what_the_last_estimate_needs():
    (stage,) = make_schedule("e2e").stages
    assert (stage.first, stage.blocks) == (3, 3)
    assert stage.parts == ("encoder", "entry", "block1", "block2", "block3", "head3", "decoder3")


def test_joint_trains_everything_on_every_estimate():
    (stage,) = make_schedule("joint").stages
    assert (stage.first, stage.blocks) == (1, 3)
    assert set(stage.parts) == set(make_schedule().stages[-1].parts)


def test_the_first_block_or_all_estimates_decide_on_the_order_of_sources():
    stages = make_schedule().stages
    orders = [list(stage.order_depths) for stage in stages]
    assert orders == [[1], [1], [1], [1, 2, 3]]
    assert list(make_schedule("e2e").stages[0].order_depths) == [3]
    assert list(make_schedule("joint").stages[0].order_depths) == [1, 2, 3]


def test_epochs_count_on_and_empty_stages_are_left_out():
    schedule = make_schedule(finetune={**SETTINGS, "epochs": 0})
    assert [schedule.last_epoch(stage) for stage in schedule.stages] == [3, 6, 9]


def test_resuming_starts_at_the_stage_of_the_checkpoint():
    schedule = make_schedule()
    assert schedule.stages_from(None) == schedule.stages
    assert [stage.name for stage in schedule.stages_from("block3")] == ["block3", "finetune"]
    with pytest.raises(InputError, match="'e2e'.*block1"):
        schedule.stages_from("e2e")


def test_one_cycle_rises_and_falls():
    settings = StageSettings(**SETTINGS, lr_schedule="one_cycle")
    factors = [settings.lr_factor(update / 100) for update in range(101)]
    assert max(factors) == factors[10] == 1.0
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "sequential"}, "'sequential'.*blockwise, e2e, joint"),
        ({"block": {"epochs": 1, "rate": 1}}, "block has epochs, rate, but takes"),
        ({"block": None}, "block is None, but must have epochs and lr"),
        ({"block": {**SETTINGS, "epochs": -1}}, "block: epochs is -1"),
        ({"finetune": {**SETTINGS, "lr": 0}}, "finetune: lr is 0"),
        ({"finetune": {**SETTINGS, "lr_schedule": "step"}}, "'step'.*constant, one_cycle"),
        ({"finetune": {**SETTINGS, "gradient_scale": 2}}, "gradient_scale is 2, .* 0 to 1"),
        ({"kind": "e2e", "end_to_end": {**SETTINGS, "epochs": 0}}, "no stage"),
    ],
)
def test_faults_are_named(change, message):
    with pytest.raises(InputError, match=message):
        make_schedule(**change)
