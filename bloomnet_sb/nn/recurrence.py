"""A gated linear recurrence over time, with a backward of its own."""

import math

import torch
from torch import nn

from bloomnet_sb.nn.causal import Causal, State
from bloomnet_sb.utils.devices import placed


def gated_scan(gate: torch.Tensor, candidate: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The recurrence h_t = (1 - z_t) h_{t-1} + z_t c_t over dimension 1.

    On a CPU one frame after the other, as cheap as it can be; elsewhere in some sqrt(frames) runs
    of as many frames at once, and then from run to run (Blelloch, 1990, section 1.4): one frame
    after the other would be many calls of little work each.

    Arguments
    ---------
    gate, candidate : torch.Tensor
        z and c, [batch, frames, ..] each.
    before : torch.Tensor
        h before the first frame, [batch, ..].

    Returns
    -------
    torch.Tensor
        h, [batch, frames, ..].

    Example
    -------
    >>> half = torch.full((1, 3, 1), 0.5)
    >>> gated_scan(half, torch.ones(1, 3, 1), torch.zeros(1, 1)).flatten()
    tensor([0.5000, 0.7500, 0.8750])
    """
    # The operator, whose first call imports torch's compiler, only for gradients and compilers.
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return _scan_operator(gate, candidate, before)
    return _scan(gate, candidate, before)


def _scan(gate: torch.Tensor, candidate: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    if gate.device.type != "cpu":
        first = torch.addcmul(gate[:, :1] * candidate[:, :1], 1 - gate[:, :1], before[:, None])
        added = torch.cat([first, gate[:, 1:] * candidate[:, 1:]], dim=1)
        return _scan_in_runs(1 - gate, added)
    hidden = torch.empty_like(candidate)
    for frame in range(gate.shape[1]):
        out = hidden[:, frame]
        before = torch.lerp(before, candidate[:, frame], gate[:, frame], out=out)
    return hidden


_scan_operator = torch.library.custom_op("bloomnet_sb::gated_scan", _scan, mutates_args=())


@_scan_operator.register_fake
def _(gate, candidate, before):
    return torch.empty_like(candidate)


@torch.library.custom_op("bloomnet_sb::gated_scan_backward", mutates_args=())
def _gradient_scan(grad: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """The gradient of each h_t by all outputs from t on: g_t + (1 - z_{t+1}) G_{t+1}."""
    if gate.device.type != "cpu":
        kept = torch.cat([torch.zeros_like(gate[:, :1]), 1 - gate[:, 1:].flip(1)], dim=1)
        return _scan_in_runs(kept, grad.flip(1)).flip(1)
    total = torch.empty_like(grad)
    later = total[:, -1].copy_(grad[:, -1])
    for frame in range(grad.shape[1] - 2, -1, -1):
        out = torch.add(grad[:, frame], later, out=total[:, frame])
        later = out.addcmul_(gate[:, frame + 1], later, value=-1)
    return total


@_gradient_scan.register_fake
def _(grad, gate):
    return torch.empty_like(grad)


def _scan_in_runs(kept: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """h_t = kept_t h_{t-1} + added_t over dimension 1, from zero."""
    frames = kept.shape[1]
    length = math.isqrt(frames - 1) + 1
    runs = -(-frames // length)
    # [batch, runs, frames of a run, ..], copies: what was kept so far in a run, and its state
    so_far, state = (_in_runs(signal, runs, length) for signal in (kept, added))
    for frame in range(1, length):
        state[:, :, frame].addcmul_(so_far[:, :, frame], state[:, :, frame - 1])
        so_far[:, :, frame] *= so_far[:, :, frame - 1]
    for run in range(1, runs):
        state[:, run, -1].addcmul_(so_far[:, run, -1], state[:, run - 1, -1])
    state[:, 1:, :-1].addcmul_(so_far[:, 1:, :-1], state[:, :-1, -1:])
    return state.flatten(1, 2)[:, :frames].contiguous()


def _in_runs(signal: torch.Tensor, runs: int, length: int) -> torch.Tensor:
    padded = signal.new_zeros(signal.shape[0], runs * length, *signal.shape[2:])
    padded[:, : signal.shape[1]] = signal
    return padded.unflatten(1, (runs, length))


def _save_for_backward(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs, output)


def _backward(ctx, grad):
    gate, candidate, before, hidden = ctx.saved_tensors
    total = _gradient_scan(grad.contiguous(), gate)
    earlier = torch.cat([before[:, None], hidden[:, :-1]], dim=1)
    return total * (candidate - earlier), total * gate, total[:, 0] * (1 - gate[:, 0])


_scan_operator.register_autograd(_backward, setup_context=_save_for_backward)


class MinGRU(Causal):
    """minGRU: h_t = (1 - z_t) h_{t-1} + z_t c_t, z and c from the input alone.

    Feng et al., 2024, arXiv 2410.01201, section 3.1 (without an activation of c). Its gates do not
    wait for the frame before, so that all but the recurrence itself is one matrix product.

    Arguments
    ---------
    input_size, hidden_size : int
        Channels in and out.
    places : tuple of int
        What stands between the frames and the channels, such as the bands that share the weights.

    Example
    -------
    >>> MinGRU(8, 16, places=(33,))(torch.rand(2, 50, 33, 8)).shape
    torch.Size([2, 50, 33, 16])
    """

    one_by_one = True
    warm_up = None

    def __init__(self, input_size: int, hidden_size: int, places: tuple[int, ...] = ()):
        super().__init__()
        self.hidden_size, self.places = hidden_size, places
        self.linear = nn.Linear(input_size, 2 * hidden_size)
        with torch.no_grad():
            # Memories from two frames to some fifty at first.
            self.linear.bias[:hidden_size] = placed(
                torch.linspace(-4, 1, hidden_size, device="cpu")
            )

    def start(self, batch: int, like: torch.Tensor) -> State:
        """Nothing remembered."""
        return {"hidden": like.new_zeros(batch, *self.places, self.hidden_size)}

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Run on `x` [batch, frames, .., channels]."""
        # The state's precision under autocast, too: rounding errors would add up over the frames.
        before = state["hidden"]
        gate, candidate = self.linear(x).to(before.dtype).split(self.hidden_size, -1)
        if x.shape[1] == 1:  # as a compiled or exported program runs it: in plain operations
            hidden = torch.lerp(before[:, None], candidate, gate.sigmoid())
        else:
            hidden = gated_scan(gate.sigmoid(), candidate.contiguous(), before)
        return hidden, {"hidden": hidden[:, -1].clone()}
