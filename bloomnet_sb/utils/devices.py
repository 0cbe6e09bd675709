"""Devices that networks run on: whether one is there, and whether it has double precision."""

import torch

from bloomnet_sb.utils.errors import InputError


def check_device(device: str | torch.device) -> str:
    """The name of a device, if torch can use it here.

    Arguments
    ---------
    device : str or torch.device
        Such as "cpu", "cuda", "cuda:1" or "mps".

    Returns
    -------
    str
        Its name, of a GPU with its number, as SpeechBrain takes it.

    Raises
    ------
    InputError
        If there is no such device.

    Example
    -------
    >>> check_device("cpu")
    'cpu'
    >>> check_device("abacus")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: device is 'abacus', which torch cannot use here (...)
    """
    if not isinstance(device, str | torch.device):
        raise InputError(f"device is {device!r}, but must be a name such as cpu, cuda:0 or mps")
    try:
        found = torch.empty(1, device=device)
        found.cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split(". ")[0].split())
        raise InputError(
            f"device is {str(device)!r}, which torch cannot use here ({reason})"
        ) from None
    return str(found.device)


def has_double(device: torch.device) -> bool:
    """Whether a device has double precision: MPS has not, nor have all of Intel's GPUs.

    Example
    -------
    >>> has_double(torch.device("cpu")), has_double(torch.device("mps"))
    (True, False)
    """
    if device.type == "xpu":
        return bool(torch.xpu.get_device_properties(device).has_fp64)
    return device.type != "mps"


def placed(values: torch.Tensor) -> torch.Tensor:
    """Values that were made on the CPU, on the device that new tensors go to.

    Made there, they would have torch import its compiler where that is the meta device, on which
    networks are planned before they are built.

    Example
    -------
    >>> with torch.device("meta"):
    ...     placed(torch.ones(2, device="cpu"))
    tensor(..., device='meta', size=(2,))
    """
    return torch.empty(values.shape, dtype=values.dtype).copy_(values)
