"""Stand-in until the real one is merged."""

from copy import deepcopy


def fold_batch_norms(model):
    return deepcopy(model).eval()
