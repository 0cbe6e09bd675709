import copy
import sys

import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from torch import nn
from torch.utils.data import SequentialSampler

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.losses import training_loss
from bloomnet_sb.separators import SepFormerSeparator
from bloomnet_sb.separators.base import Separator
from bloomnet_sb.training.brain import BlockwiseBrain
from bloomnet_sb.utils.errors import InputError
from tests.helpers.brains import Mixtures, run, snapshot
from tests.helpers.networks import band_rnn, conv_tasnet


@pytest.mark.parametrize("kind", ["gLN", "BN", "BandRNN"])
def test_a_stage_changes_its_own_parts_only(make_brain, monkeypatch, kind):
    model = band_rnn() if kind == "BandRNN" else conv_tasnet(norm=kind)
    names = list(model._parts())
    seen = []
    original_fit, original_step = BlockwiseBrain.fit, BlockwiseBrain.on_fit_batch_end

    def watched_step(brain, *args):
        original_step(brain, *args)
        optimised = {id(p) for group in brain.optimizer.param_groups for p in group["params"]}
        with_state = {id(p) for p in brain.optimizer.state}
        trained = {id(p) for name in brain.stage.parts for p in model.part(name).parameters()}
        assert optimised == with_state == trained
        assert all(p.grad is None for p in model.parameters() if id(p) not in trained)

    def watched_fit(brain, *args, **kwargs):
        before = {name: snapshot(model.part(name)) for name in names}
        original_fit(brain, *args, **kwargs)
        changed = {
            name
            for name in names
            if any(
                not torch.equal(before[name][key], value)
                for key, value in model.part(name).state_dict().items()
            )
        }
        # An STFT and its synthesis have nothing to train.
        learnt = [name for name in brain.stage.parts if [*model.part(name).parameters()]]
        assert changed == set(learnt)
        seen.append(brain.stage.name)

    monkeypatch.setattr(BlockwiseBrain, "fit", watched_fit)
    monkeypatch.setattr(BlockwiseBrain, "on_fit_batch_end", watched_step)
    run(make_brain(model))
    assert seen == ["block1", "block2", "block3", "finetune"]


def test_the_frozen_trunk_runs_outside_autograd(make_brain):
    model = conv_tasnet()
    brain = make_brain(model)
    brain._enter_stage(brain.schedule.stages[1])
    recorded = {}
    for name in ("encoder", "block1", "block2", "block3", "head1", "head2"):
        model.part(name).register_forward_hook(
            lambda module, inputs, output, name=name: recorded.update({name: output.requires_grad})
        )
    batch = PaddedBatch([Mixtures()[0]])
    brain.compute_forward(batch, sb.Stage.TRAIN)
    assert recorded == {"encoder": False, "block1": False, "block2": True, "head2": True}


@pytest.mark.parametrize("kind", ["blockwise", "e2e", "joint"])
def test_training_lowers_the_loss(make_brain, kind):
    model = conv_tasnet()
    before = copy.deepcopy(model)
    brain = make_brain(model, kind, epochs=8)
    run(brain)
    mix = torch.stack([Mixtures()[i]["mix"] for i in range(4)])
    target = torch.stack([Mixtures()[i]["target"] for i in range(4)])
    depths = [3] if kind == "e2e" else [1, 2, 3]

    def loss(network):
        with torch.no_grad():
            return training_loss(network.eval()(mix, depths=depths), target, 0.01)

    assert loss(model) < loss(before) - 3


@pytest.mark.parametrize("kind", ["blockwise", "joint"])
def test_the_sign_of_an_estimate_is_that_of_its_target(make_brain, tmp_path, kind):
    model = conv_tasnet()
    turned = copy.deepcopy(model)
    with torch.no_grad():
        for decoder in turned.decoders:
            decoder.weight.neg_()
    for number, network in enumerate((model, turned)):
        # Epochs after the first go on with the optimizer's moments.
        run(make_brain(network, kind, folder=tmp_path / str(number), epochs=3))
    mix = torch.stack([Mixtures()[i]["mix"] for i in range(4)])
    target = torch.stack([Mixtures()[i]["target"] for i in range(4)])
    with torch.no_grad():
        products = (model.eval()(mix) * target).sum((1, 2, 3))
    assert (products > 0).all()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(turned.state_dict()[name], value, atol=0, rtol=0)


def test_each_stage_starts_from_the_best_of_the_one_before(make_brain, monkeypatch):
    model = conv_tasnet(num_blocks=1)
    brain = make_brain(model, epochs=3)
    losses = iter([3.0, 1.0, 2.0, 9.0, 8.0, 7.0])
    weights = []
    original = BlockwiseBrain.on_stage_end

    def fake_loss(brain, stage, stage_loss, epoch=None):
        if stage == sb.Stage.VALID:
            stage_loss = next(losses)
            weights.append(snapshot(model))
        original(brain, stage, stage_loss, epoch)

    starts = []
    monkeypatch.setattr(BlockwiseBrain, "on_stage_end", fake_loss)
    monkeypatch.setattr(
        BlockwiseBrain,
        "init_optimizers",
        lambda brain, original=BlockwiseBrain.init_optimizers: (
            starts.append(snapshot(model)),
            original(brain),
        ),
    )
    run(brain)
    assert all(torch.equal(starts[1][name], weights[1][name]) for name in starts[1])
    assert all(torch.equal(value, weights[5][name]) for name, value in snapshot(model).items())


def test_a_gradient_scale_of_0_leaves_a_block_its_own_estimate_only(make_brain):
    brain = make_brain(conv_tasnet(), kind="joint", gradient_scale=0.0)
    brain.stage = brain.schedule.stages[0]
    estimates = brain.compute_forward(PaddedBatch([Mixtures()[0]]), sb.Stage.TRAIN)
    first_block = list(brain.model.part("block1").parameters())
    for depth, estimate in enumerate(estimates, 1):
        gradients = torch.autograd.grad(estimate.square().sum(), first_block, retain_graph=True)
        assert any(gradient.any() for gradient in gradients) == (depth == 1)


def test_without_fine_tuning_every_depth_is_scored(make_brain):
    model = conv_tasnet()
    brain = make_brain(model)
    brain.schedule.stages.pop()
    run(brain)
    brain.evaluate(Mixtures(), test_loader_kwargs={"batch_size": 1, "collate_fn": PaddedBatch})
    assert [row["blocks"] for row in brain.scores.summary()] == [0, 1, 2, 3]


class Mapping(nn.Linear):
    """A head that maps features, with no synthesis that could turn them."""

    def forward(self, feature, features):
        return super().forward(features.transpose(1, 2)).transpose(1, 2).unsqueeze(1)

    def signed_weights(self):
        return [self.weight]


def test_a_head_is_turned_where_the_synthesis_has_no_weights(make_brain):
    separator = Separator(66)
    separator.set_parts(nn.Identity(), [nn.Identity()], [Mapping(66, 66, bias=False)])
    model = BloomNet(STFTFilterbank(64), separator)
    with torch.no_grad():
        separator.heads[0].weight.copy_(-torch.eye(66))
    run(make_brain(model, kind="joint", epochs=1))
    mix, target = (
        torch.stack([Mixtures()[i][name] for i in range(4)]) for name in ("mix", "target")
    )
    assert ((model.eval()(mix) * target).sum((1, 2, 3)) > 0).all()


def test_dropout_works_in_the_parts_that_are_trained(make_brain):
    separator = SepFormerSeparator(num_filters=16, num_blocks=2, dropout=0.5)
    model = BloomNet(LearnedFilterbank(16), separator)
    brain = make_brain(model)
    first, *_, last = brain.schedule.stages
    for stage, on in ((first, {"block1"}), (last, {"block1", "block2"})):
        brain._enter_stage(stage)
        model.train()
        brain.on_fit_batch_start(None, True)
        for name in ("block1", "block2"):
            dropouts = [part for part in model.part(name).modules() if type(part) is nn.Dropout]
            assert dropouts
            assert {part.training for part in dropouts} == {name in on}


def test_several_test_mixtures_at_a_time_are_refused(make_brain):
    brain = make_brain(conv_tasnet(), kind="joint", epochs=1)
    run(brain)
    with pytest.raises(InputError, match="a batch of 2 test mixtures"):
        brain.evaluate(Mixtures(), test_loader_kwargs={"batch_size": 2, "collate_fn": PaddedBatch})


def test_pesq_is_trained_on_at_16_khz(make_brain):
    with pytest.raises(InputError, match="pesq_weight is 1.0 with a sample_rate of 8000, but"):
        make_brain(conv_tasnet(), other={"sample_rate": 8000, "pesq_weight": 1.0})


def test_tensorboard_that_is_not_installed_is_named(make_brain, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match="use_tensorboard.*pip install 'bloomnet_sb.tensorboard.'"):
        make_brain(conv_tasnet(), other={"use_tensorboard": True, "output_folder": "out"})


def test_vectors_without_weight_decay(make_brain):
    brain = make_brain(conv_tasnet(num_blocks=1))
    brain.remove_vector_weight_decay = True
    brain.updates_in_stage = 1
    brain._enter_stage(brain.schedule.stages[0])
    brain.init_optimizers()
    vectors, others = (group["params"] for group in brain.optimizer.param_groups)
    assert brain.optimizer.param_groups[0]["weight_decay"] == 0
    assert {parameter.dim() for parameter in vectors} == {1}
    assert 1 not in {parameter.dim() for parameter in others}
    trained = [p for p in brain.model.parameters() if p.requires_grad]
    assert len(vectors) + len(others) == len(trained)


def test_a_learning_rate_that_is_given_anew_holds_from_there_on(make_brain, monkeypatch):
    original, rates = BlockwiseBrain.on_fit_batch_end, []

    def watched(brain, *args):
        rates.append(brain.optimizer.param_groups[0]["lr"])
        original(brain, *args)

    monkeypatch.setattr(BlockwiseBrain, "on_fit_batch_end", watched)
    schedule = {"lr_schedule": "one_cycle"}
    run(make_brain(conv_tasnet(num_blocks=1), "e2e", other=schedule, epochs=1, lr=1e-2))
    rates.clear()
    brain = make_brain(conv_tasnet(num_blocks=1), "e2e", other=schedule, epochs=2, lr=1e-3)
    run(brain)
    settings = brain.stage.settings
    assert rates == [1e-3 * settings.lr_factor(progress) for progress in (0.5, 0.75)]


def test_a_stage_has_its_own_epochs_when_those_before_are_given_anew(make_brain):
    """Those that are done are done, and the fine-tuning is as long as it says."""
    run(make_brain(conv_tasnet(num_blocks=2), other={"block_epochs": 1, "finetune_epochs": 1}))
    for block_epochs, finetune_epochs, epochs in ((4, 1, 3), (4, 2, 4), (1, 3, 5)):
        settings = {"block_epochs": block_epochs, "finetune_epochs": finetune_epochs}
        brain = make_brain(conv_tasnet(num_blocks=2), other=settings)
        run(brain)
        assert brain.epoch_counter.current == epochs


class ManyMixtures(Mixtures):
    def __len__(self):
        return 32


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_resumed_run_with_another_batch_size_counts_mixtures(make_brain, monkeypatch, batch_size):
    """Stopped in the second of two epochs after 10 of 32 mixtures, in batches of 2."""
    original, seen, rates = BlockwiseBrain.on_fit_batch_end, [], []

    def watched(brain, batch, *args):
        seen.append(batch.id)
        rates.append(brain.optimizer.param_groups[0]["lr"])
        if brain.stops and len(seen) == 16 + 6:
            raise PowerCut
        original(brain, batch, *args)

    def train(size, stops):
        schedule = {"lr_schedule": "one_cycle"}
        brain = make_brain(conv_tasnet(), "e2e", other=schedule, often=5, epochs=2)
        brain.stops = stops
        many, loader = ManyMixtures(), {"batch_size": size, "collate_fn": PaddedBatch}
        (stage,) = brain.stages_left()
        order = SequentialSampler(many)
        brain.fit_stage(stage, many, order, Mixtures(), loader, {**loader, "batch_size": 1})
        return stage.settings

    monkeypatch.setattr(BlockwiseBrain, "on_fit_batch_end", watched)
    with pytest.raises(PowerCut):
        train(2, stops=True)
    seen.clear()
    rates.clear()
    settings = train(batch_size, stops=False)
    names = [name for batch in seen for name in batch]
    assert names == [str(number) for number in range(10 // batch_size * batch_size, 32)]
    expected = settings.lr * settings.lr_factor((32 + 10) / 64)
    assert rates[0] == pytest.approx(expected, rel=0.2)  # to the nearest update


def test_a_run_cut_between_accumulated_batches_goes_on_as_if_it_had_not_been(
    make_brain, tmp_path, monkeypatch
):
    """With dropout, whose masks are those that would have come."""
    original, cut_at = BlockwiseBrain.on_fit_batch_end, {}

    def watched(brain, *args):
        original(brain, *args)
        if brain.step == cut_at.get("step"):
            raise PowerCut

    def train(folder):
        torch.manual_seed(0)
        separator = SepFormerSeparator(16, 8, 16, 2, 1, 50, num_blocks=1, dropout=0.5)
        model = BloomNet(LearnedFilterbank(16, 32), separator)
        brain = make_brain(model, "e2e", tmp_path / folder, often=3, epochs=1)
        brain.grad_accumulation_factor = 2
        many, loader = ManyMixtures(), {"batch_size": 2, "collate_fn": PaddedBatch}
        (stage,) = brain.stages_left()
        order = SequentialSampler(many)
        brain.fit_stage(stage, many, order, Mixtures(), loader, {**loader, "batch_size": 1})
        return model.state_dict()

    monkeypatch.setattr(BlockwiseBrain, "on_fit_batch_end", watched)
    whole = train("whole")
    cut_at["step"] = 6
    with pytest.raises(PowerCut):
        train("cut")
    cut_at.clear()
    gone_on = train("cut")
    assert [name for name in whole if not torch.equal(whole[name], gone_on[name])] == []
