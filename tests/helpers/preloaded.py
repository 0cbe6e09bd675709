"""What the processes of tests/helpers/forked.py have imported when they begin.

Beside the recipe that most of them run also what a run imports late.
"""

import bloomnet_sb.training.brain  # noqa: F401  # isort: skip (makes SpeechBrain importable)
import matplotlib.figure  # noqa: F401
import torch._dynamo  # noqa: F401
from speechbrain.utils import logger

import tests.faults.broken_run  # noqa: F401
import tests.helpers.ranks  # noqa: F401
from tests.helpers.recipes import recipe_module

recipe_module()
logger.get_environment_description()  # `tests.helpers.recipes` has it kept
