"""Exports to ONNX that take half the time: to be imported where tests export.

Torch's exporter asks for all operations that it can translate before each graph, which takes half a
second; they are the same for all.
"""

import contextlib
from functools import cache

with contextlib.suppress(ImportError, AttributeError):
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))
