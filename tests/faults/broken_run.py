"""Runs a recipe and kills its own process at a given moment. For test_resume.py.

    python killed_run.py MOMENT NUMBER ARGUMENTS-OF-THE-RECIPE

MOMENT is "update" (after the NUMBER-th update), "saving" (while the NUMBER-th weights are being
written) or "between" (after the NUMBER-th stage, before the next).
"""

import os
import signal
import sys

from bloomnet_sb.brain import BlockwiseBrain  # isort: skip (makes SpeechBrain importable)
from speechbrain.utils import checkpoints

from bloomnet_sb.experiment import main
from bloomnet_sb.model import BloomNet


def die_at(number: int, call):
    """Wrap a function so that its `number`-th call, once begun, is the process's last."""
    calls = 0

    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        result = call(*args, **kwargs)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def write_half(model, path) -> None:
    """Leave half of the weights' file, as a kill in the middle of writing does."""
    checkpoints.torch_save(model, path)
    size = path.stat().st_size
    os.truncate(path, size // 2)


if __name__ == "__main__":
    moment, number, *arguments = sys.argv[1:]
    if moment == "update":
        BlockwiseBrain.on_fit_batch_end = die_at(int(number), BlockwiseBrain.on_fit_batch_end)
    elif moment == "between":
        BlockwiseBrain._load_best = die_at(int(number), BlockwiseBrain._load_best)
    else:
        hooks = checkpoints.DEFAULT_SAVE_HOOKS
        whole, deadly = checkpoints.torch_save, die_at(1, write_half)
        saves = iter(range(1, 1000))
        hooks[BloomNet] = lambda model, path: (deadly if next(saves) == int(number) else whole)(
            model, path
        )
    main(arguments)
