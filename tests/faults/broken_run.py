"""Runs a recipe and breaks its own process at a given moment.

`what` is a signal that it sends itself (SIGKILL), "group SIGINT" for one to the whole process
group, or "worker" (kills a worker of the data loader). `moment` is "update" (after the `number`-th
update), "saving" (while the `number`-th weights are being written), "between" (after the
`number`-th stage, before the next), "validation" or "test" (with the `number`-th mixture of it).
"""

import multiprocessing
import os
import signal
import time

from bloomnet_sb.training.brain import BlockwiseBrain  # isort: skip (makes SpeechBrain importable)
from speechbrain import Stage
from speechbrain.utils import checkpoints

from bloomnet_sb.model import BloomNet
from tests.helpers.recipes import recipe_main


def after_call(number: int, function, then):
    """Wrap a function so that `then` follows its `number`-th call."""
    calls = 0

    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        result = function(*args, **kwargs)
        if calls == number:
            then()
        return result

    return wrapped


def breaking(what: str):
    """The function that breaks this process."""
    if what == "worker":
        return kill_a_worker
    *group, name = what.split()
    send = os.killpg if group else os.kill
    return lambda: send(os.getpgrp() if group else os.getpid(), signal.Signals[name])


def kill_a_worker() -> None:
    """Kill a worker of the data loader, and wait until torch notices."""
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    time.sleep(5)


def write_half(model, path) -> None:
    """Leave half of the weights' file, as a kill in the middle of writing does."""
    checkpoints.torch_save(model, path)
    os.truncate(path, path.stat().st_size // 2)


def break_at(moment: str, number: int, then) -> None:
    """Have `then` called at that moment."""
    if moment == "update":
        BlockwiseBrain.on_fit_batch_end = after_call(number, BlockwiseBrain.on_fit_batch_end, then)
    elif moment == "between":
        BlockwiseBrain._load_best = after_call(number, BlockwiseBrain._load_best, then)
    elif moment == "saving":
        whole, half = checkpoints.torch_save, after_call(1, write_half, then)
        saves = iter(range(1, 1000))
        checkpoints.DEFAULT_SAVE_HOOKS[BloomNet] = lambda model, path: (
            half if next(saves) == number else whole
        )(model, path)
    else:
        broken_stage = {"validation": Stage.VALID, "test": Stage.TEST}[moment]
        whole = BlockwiseBrain.evaluate_batch
        broken = after_call(number, whole, then)

        def evaluate_batch(brain, batch, stage):
            return (broken if stage == broken_stage else whole)(brain, batch, stage)

        BlockwiseBrain.evaluate_batch = evaluate_batch


def broken_run(what: str, moment: str, number: int, arguments: list[str]) -> None:
    """Run the recipe with these arguments, and break this process at that moment."""
    break_at(moment, number, breaking(what))
    recipe_main(arguments)
