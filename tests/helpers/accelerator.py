"""A device on the CPU: apart from the CPU's tensors, and, as MPS, without double precision.

It is called "lazy", for which torch has in every build what its C++ asks of a device.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_flatten, tree_map

from bloomnet_sb.utils import devices

NAME = "lazy"


class _OnDevice(torch.Tensor):
    """A tensor that says it is on the device; its values are in a tensor of the CPU."""

    values: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device="cpu",  # what is asked for its device goes through __torch_dispatch__
            dispatch_device=True,
            requires_grad=values.requires_grad,
        )

    def __init__(self, values: torch.Tensor):
        self.values = values

    def tolist(self) -> list:
        return self.values.tolist()

    def __repr__(self, **_) -> str:
        return f"on the device: {self.values}"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.prim.device.default:
            return torch.device(NAME, 0)
        return _run(function, args, kwargs or {})


class Accelerator(TorchDispatchMode):
    """Runs what is on the device; `used` says whether anything was."""

    used = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.prim.device.default:
            return torch.device(NAME, 0)
        found = _run(function, args, kwargs or {})
        self.used = self.used or tree_any(_is_there, found)
        return found


def _is_there(value: Any) -> bool:
    return isinstance(value, _OnDevice)


def _run(function: Callable, args: tuple, kwargs: dict) -> Any:
    asked = kwargs.get("device")
    given = [args, {name: value for name, value in kwargs.items() if name != "device"}]
    here = tree_any(_is_there, given)
    there = here if asked is None else torch.device(asked).type == NAME
    if here and not _may_mix(function, given):
        raise RuntimeError(f"{function}: tensors of the CPU and of {NAME}")
    plain = tree_map(lambda value: value.values if _is_there(value) else value, [args, kwargs])
    if asked is not None and torch.device(asked).type == NAME:
        plain[1]["device"] = torch.device("cpu")
    found = function(*plain[0], **plain[1])
    if function is torch.ops.aten._local_scalar_dense.default or not there:
        return found
    return tree_map(_put if not _in_place(function) else lambda value: args[0], found)


def _in_place(function: Any) -> bool:
    return function._schema.is_mutable and function._schema.name.endswith("_")


def _may_mix(function: Any, given: list) -> bool:
    """Copies, indices and numbers may be of the CPU."""
    if function._schema.name in (
        "aten::copy_",
        "aten::index",
        "aten::index_put_",
        "aten::_to_copy",
    ):
        return True
    leaves, _ = tree_flatten(given)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return all(_is_there(tensor) or tensor.dim() == 0 for tensor in tensors)


def _put(value: Any) -> Any:
    if not isinstance(value, torch.Tensor) or _is_there(value):
        return value
    if value.dtype in (torch.float64, torch.complex128):
        raise TypeError(
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
            "float64. Please use float32 instead."
        )
    with torch.inference_mode(False):  # in which torch lets nothing be wrapped
        return _OnDevice(value)


def _under(mode: Accelerator, run: Callable) -> Callable:
    """What threads run, which have modes of their own."""

    def run_under(thread: threading.Thread) -> None:
        with mode:
            run(thread)

    return run_under


@contextmanager
def accelerator() -> Iterator[Accelerator]:
    """While this lasts, there is the device, which is known to have no double precision.

    TypeError is raised where a tensor of float64 comes to be on it, as on MPS, and RuntimeError
    where tensors of the CPU and of the device meet.

    Example
    -------
    >>> with accelerator():
    ...     torch.ones(2, device="lazy").double()
    Traceback (most recent call last):
    ...
    TypeError: Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support ...
    """
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # `to` makes tensors of ours
    tensor = torch.tensor  # it makes one without asking a mode
    try:
        with (
            patch.object(torch, "tensor", lambda d, device=None, **o: tensor(d, **o).to(device)),
            patch.object(torch, "autocast", lambda *_, **__: nullcontext()),  # it has none
            patch.object(devices, "has_double", lambda device: device.type != NAME),
            Accelerator() as mode,
            patch.object(threading.Thread, "run", _under(mode, threading.Thread.run)),
        ):
            yield mode
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
