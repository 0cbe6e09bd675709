"""How training scales over the processes of one machine: mixtures a second, gradients exchanged.

    python benchmarks/processes.py [--processes 2]

Each process has one thread and trains the paper's network on made-up mixtures of 1 s, wrapped as
the recipes wrap it (DistributedDataParallel on gloo): the first sequential stage, which exchanges
the fewest gradients in the shortest step, and the fine-tuning. The data loader is not in it, see
loader.py.
"""

from __future__ import annotations

import os
import time
import warnings
from typing import TYPE_CHECKING

from options import parser_of
from training import SETTINGS, paper_model

if TYPE_CHECKING:
    from bloomnet_sb.training.schedule import Stage

BATCH_SIZE, STEPS = 8, 6


def mixtures_per_second(stage: Stage) -> float:
    """Of this process, beside the others."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    from bloomnet_sb.nn.losses import training_loss

    torch.manual_seed(0)
    model = paper_model(6)
    model.requires_grad_(False)
    for name in stage.parts:
        model.part(name).requires_grad_(True)
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    mix, target = torch.randn(BATCH_SIZE, 16000), torch.randn(BATCH_SIZE, 16000, 1)
    for step in range(STEPS + 1):
        if step == 1:  # the first one sets up buffers
            distributed.barrier()
            start = time.perf_counter()
        loss = training_loss(wrapped(mix, depths=stage.depths), target, level_weight=0.01)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return STEPS * BATCH_SIZE / (time.perf_counter() - start)


def run(rank: int, processes: int, results) -> None:
    """One process: put what each stage gave into `results`."""
    import torch
    from torch import distributed

    from bloomnet_sb.training.schedule import BlockwiseSchedule

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29517")
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    stages = BlockwiseSchedule("blockwise", 6, SETTINGS, SETTINGS, SETTINGS).stages
    for stage in (stages[0], stages[-1]):
        results.put((stage.name, mixtures_per_second(stage)))
    distributed.destroy_process_group()


def measured(processes: int) -> dict[str, float]:
    """Mixtures a second of all processes together, by stage."""
    from torch import multiprocessing

    results, total = multiprocessing.get_context("spawn").SimpleQueue(), {}
    multiprocessing.spawn(run, (processes, results), nprocs=processes)
    while not results.empty():
        stage, speed = results.get()
        total[stage] = total.get(stage, 0) + speed
    return total


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--processes", type=int, default=2, help="how many beside one")
    processes = parser.parse_args().processes
    alone, together = measured(1), measured(processes)
    print(f"| stage | 1 process, mixtures/s | {processes} processes | of {processes} times one |")
    print("| --- | --- | --- | --- |")
    for stage, speed in alone.items():
        share = together[stage] / (processes * speed)
        print(f"| {stage} | {speed:.1f} | {together[stage]:.1f} | {share:.2f} |")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
