"""What a training step costs: blockwise stages beside end-to-end training, and two layers.

    python benchmarks/training.py

A step of stage l runs blocks 1 to l forward and block l, its head and its decoder backward; the
end-to-end step of the same depth runs all of them backward too. The forward column is the
estimate's alone, outside autograd. The paper's sizes (16 kHz, 512
filters of 16 samples, bottleneck 128, hidden 512, 6 blocks of one layer, gLN), 4 mixtures of 1 s,
on two threads; then the layers of bloomnet_sb.nn.layers that replace torch's on a CPU. Last, how
much audio an hour of one core trains on in recipes/BandRNN/train_listeners.py: an update of six
blocks and one other depth on draws of 2 s, mixing and losses counted, reading the pool and
validation not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from options import parser_of
from timing import best_seconds, core_seconds_of

if TYPE_CHECKING:
    import torch

    from bloomnet_sb import BloomNet
    from bloomnet_sb.training.schedule import Stage

SETTINGS = {"epochs": 1, "lr": 1e-4, "segment_seconds": 1.0}
NUM_BLOCKS = 6
DRAW_SECONDS = 2.0


def paper_model(num_blocks: int) -> BloomNet:
    """Conv-TasNet at the paper's sizes."""
    from bloomnet_sb import BloomNet
    from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    from bloomnet_sb.separators import ConvTasNetSeparator

    separator = ConvTasNetSeparator(num_blocks=num_blocks, dilation_cycle=NUM_BLOCKS)
    return BloomNet(LearnedFilterbank(512, 16), separator)


def step_of(model: BloomNet, stage: Stage, batch_size: int = 4) -> Callable[[], None]:
    """A function that makes one update of a stage."""
    import torch

    from bloomnet_sb.nn.losses import training_loss

    mix, target = torch.randn(batch_size, 16000), torch.randn(batch_size, 16000, 1)
    parts = [model.part(name) for name in stage.parts]
    model.requires_grad_(False)
    trained = [p.requires_grad_() for part in parts for p in part.parameters()]
    optimizer = torch.optim.Adam(trained, lr=stage.settings.lr)

    return stepping(optimizer, lambda: training_loss(model(mix, depths=stage.depths), target, 0.01))


def stepping(
    optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor]
) -> Callable[[], None]:
    """A function that makes one update by the gradients of a loss."""

    def step():
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def stages() -> None:
    """Print the table of stages."""
    import torch

    from bloomnet_sb import BlockwiseSchedule

    print("| depth | forward, s | blockwise step, s | end-to-end step, s | ratio |")
    print("| --- | --- | --- | --- | --- |")
    total = {"forward": 0.0, "blockwise": 0.0, "e2e": 0.0}
    mix = torch.randn(4, 16000)
    settings = {"block": SETTINGS, "finetune": SETTINGS, "end_to_end": SETTINGS}
    blockwise = BlockwiseSchedule("blockwise", NUM_BLOCKS, **settings)
    for depth, stage in enumerate(blockwise.stages[:NUM_BLOCKS], 1):
        (whole,) = BlockwiseSchedule("e2e", depth, **settings).stages
        model = paper_model(NUM_BLOCKS).eval()
        forward = torch.no_grad()(lambda model=model, depth=depth: model.estimate(mix, depth))
        seconds = best_seconds(
            {
                "forward": forward,
                "blockwise": step_of(paper_model(NUM_BLOCKS), stage),
                "e2e": step_of(paper_model(depth), whole),
            },
            rounds=5,
        )
        for name, value in seconds.items():
            total[name] += value
        print_row(depth, seconds)
    print_row("sum", total)


def print_row(depth: int | str, seconds: dict[str, float]) -> None:
    """Print one row of the table of stages."""
    cells = [f"{seconds[name]:.3f}" for name in ("forward", "blockwise", "e2e")]
    print(f"| {depth} | {' | '.join(cells)} | {seconds['blockwise'] / seconds['e2e']:.2f} |")


def layers() -> None:
    """Print the times of the layers, forward and backward, at 8 x 128 channels x 1000 frames."""
    import torch
    from torch import nn

    from bloomnet_sb.nn.depthwise import DepthwiseConv
    from bloomnet_sb.nn.layers import PReLU

    last = torch.randn(8, 1000, 128, requires_grad=True)  # channels last, as ours take them
    x = torch.randn(8, 128, 1000, requires_grad=True)
    pairs = {"PReLU": (PReLU(), nn.PReLU())}
    for dilation in (1, 8):
        theirs = nn.Conv1d(128, 128, 3, padding=dilation, dilation=dilation, groups=128)
        ours = DepthwiseConv(128, 3, dilation)
        pairs[f"depthwise convolution, dilation {dilation}"] = (ours, theirs)
    print("\n| layer | ours, ms | torch's, ms | ratio |")
    print("| --- | --- | --- | --- |")
    for name, (ours, theirs) in pairs.items():
        runs = {"ours": (ours, last), "theirs": (theirs, x)}
        seconds = best_seconds(
            {key: lambda f=f, x=x: f(x).sum().backward() for key, (f, x) in runs.items()}, rounds=30
        )
        mine, other = 1e3 * seconds["ours"], 1e3 * seconds["theirs"]
        print(f"| {name} | {mine:.2f} | {other:.2f} | {mine / other:.2f} |")


def update_of(batch_size: int, compiled: bool) -> Callable[[], None]:
    """A function that makes one update of the recipe for listeners."""
    import torch

    from bloomnet_sb import BloomNet
    from bloomnet_sb.data.mixer import Mixer
    from bloomnet_sb.nn.enhancement_loss import EnhancementLoss
    from bloomnet_sb.nn.filterbanks import STFTFilterbank
    from bloomnet_sb.separators import BandRNNSeparator
    from bloomnet_sb.training.open_ended import compile_parts

    model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=NUM_BLOCKS))
    enhancement_loss = EnhancementLoss(16000, oversuppression=3.0)
    if compiled:
        compile_parts(model, enhancement_loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003, fused=True)
    mixer, generator = Mixer(16000), torch.Generator().manual_seed(0)
    heard, noise = torch.randn(2, batch_size, int(DRAW_SECONDS * 16000))

    def loss():
        mix, target = mixer(heard, heard, noise, generator)
        depth = int(torch.randint(1, NUM_BLOCKS, (), generator=generator))
        estimates = model(mix, depths=[depth, NUM_BLOCKS])
        return enhancement_loss(estimates, target[..., None], mix)

    return stepping(optimizer, loss)


def listeners() -> None:
    """Print the hours of audio that an hour of a core trains on, for batches and compilation."""
    print("\n| compiled | batch | hours of audio in an hour of a core |")
    print("| --- | --- | --- |")
    for compiled in (False, True):
        for batch_size in (4, 8, 16):
            update = update_of(batch_size, compiled)
            for _ in range(NUM_BLOCKS * 2):  # each depth is compiled when it is first drawn
                update()
            updates = 15
            seconds = core_seconds_of(lambda update=update, n=updates: [update() for _ in range(n)])
            speed = updates * batch_size * DRAW_SECONDS / seconds[1]
            print(f"| {'yes' if compiled else 'no'} | {batch_size} | {speed:.1f} |")


def main() -> None:
    """Print the tables."""
    parser_of(__doc__).parse_args()

    import torch

    torch.set_num_threads(2)
    stages()
    layers()
    torch.set_num_threads(1)
    listeners()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
