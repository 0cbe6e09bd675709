import torch

from bloomnet_sb.training.checkpointer import AtomicCheckpointer
from bloomnet_sb.training.restoring import go_on_from


def test_an_optimizer_has_the_options_that_are_given_now(tmp_path):
    """Its moments are those of the checkpoint."""
    model = torch.nn.Linear(2, 1)

    def make(**options):
        optimizer = torch.optim.AdamW(model.parameters(), **options)
        recoverables = {"model": model, "optimizer": optimizer}
        return AtomicCheckpointer(tmp_path, recoverables), optimizer

    checkpointer, before = make(lr=0.1, weight_decay=0.5)
    model(torch.ones(1, 2)).sum().backward()
    before.step()
    saved = checkpointer.save_checkpoint()
    checkpointer, after = make(lr=0.01, weight_decay=0.0)
    go_on_from(saved, checkpointer, after)
    [group] = after.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.0)
    for parameter in model.parameters():
        assert torch.equal(after.state[parameter]["exp_avg"], before.state[parameter]["exp_avg"])
