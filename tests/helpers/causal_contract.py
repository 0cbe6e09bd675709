"""What `bloomnet_sb.nn.causal.Causal` promises, as checks of one layer on one input."""

import torch

from bloomnet_sb.nn.causal import Causal, Feature, State

# Of the largest absolute value of an output
MOST_ERROR = 1e-5


class Check:
    """A causal layer, a signal for it, and where the frames stand in what it takes and gives.

    Arguments
    ---------
    layer : Causal
        The layer, in evaluation mode.
    x : torch.Tensor or tuple of torch.Tensor
        Two signals side by side.
    frames_in, frames_out : int
        The dimension of the frames.
    """

    def __init__(self, layer: Causal, x: Feature, frames_in: int = 1, frames_out: int = 1):
        self.layer, self.x = layer, x
        self.frames_in, self.frames_out = frames_in, frames_out
        first = x if isinstance(x, torch.Tensor) else x[0]
        self.frames = first.shape[frames_in]
        self.whole, self.last = layer.step(x, self.start())

    def start(self, batch: int = 2) -> State:
        """What the layer carries at first."""
        return self.layer.start(batch, torch.zeros(1))

    def piece(self, first: int, end: int) -> Feature:
        """The frames from `first` to before `end` of the input."""
        return each(self.x, lambda t: t.narrow(self.frames_in, first, end - first))

    def in_pieces(self, *sizes: int) -> tuple[Feature, list[State]]:
        """The output for pieces of these sizes and the rest, and all states."""
        ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
        states, outputs, first = [self.start()], [], 0
        for end in [*ends, self.frames]:
            y, state = self.layer.step(self.piece(first, end), states[-1])
            outputs.append(y)
            states.append(state)
            first = end
        return joined(outputs, self.frames_out), states

    def everything(self) -> None:
        """All checks."""
        self.any_cut_gives_the_whole()
        self.forward_is_a_step_from_the_start()
        self.a_batch_is_single_runs()
        self.states_are_as_promised()
        self.nothing_is_hidden()
        self.a_restart_is_exact_after_the_warm_up()

    def any_cut_gives_the_whole(self) -> None:
        n = self.frames
        for sizes in ([1] * (n - 1), [1, n - 2], [n // 2], [7, 1, 12], [n - 1]):
            close(self.in_pieces(*sizes)[0], self.whole)

    def forward_is_a_step_from_the_start(self) -> None:
        close(self.layer(self.x), self.whole)

    def a_batch_is_single_runs(self) -> None:
        singles = [
            self.layer.step(each(self.x, lambda t, n=n: t[n : n + 1]), self.start(1))[0]
            for n in range(2)
        ]
        close(joined(singles, 0), self.whole)

    def states_are_as_promised(self) -> None:
        start = self.start()
        assert start.keys() == self.last.keys()
        for name, value in self.last.items():
            assert value.shape == start[name].shape and len(value) == 2, name
            assert value.dtype == start[name].dtype, name
            assert value.dtype in (torch.float32, torch.int64), name
        for value in self.whole if isinstance(self.whole, tuple) else [self.whole]:
            assert value.dtype == torch.float32

    def nothing_is_hidden(self) -> None:
        """A step gives the same whatever was done since, and changes no state that anyone has."""
        n = self.frames // 2
        _, states = self.in_pieces(*[1] * n)
        before = [{name: v.clone() for name, v in state.items()} for state in states]
        for at in (0, n // 2, n):
            piece = self.piece(at, at + 2)
            expected = self.layer.step(piece, before[at])[0]
            self.in_pieces(3)
            for _ in range(2):
                y, after = self.layer.step(piece, states[at])
                close(y, expected)
                self.layer.step(self.piece(at + 2, at + 4), after)
        for state, copy in zip(states, before, strict=True):
            assert all(torch.equal(state[name], copy[name]) for name in copy)

    def a_restart_is_exact_after_the_warm_up(self) -> None:
        warm_up, at = self.layer.warm_up, 3
        if warm_up is None or at + warm_up >= self.frames:
            return
        y, _ = self.layer.step(self.piece(at, self.frames), self.start())
        count = self.frames - at - warm_up
        late = each(y, lambda t: t.narrow(self.frames_out, warm_up, count))
        close(late, each(self.whole, lambda t: t.narrow(self.frames_out, at + warm_up, count)))


def each(x: Feature, function) -> Feature:
    """A function of a tensor, or of each in a tuple."""
    return function(x) if isinstance(x, torch.Tensor) else tuple(map(function, x))


def joined(outputs: list[Feature], dim: int) -> Feature:
    """Outputs one after the other."""
    if isinstance(outputs[0], torch.Tensor):
        return torch.cat(outputs, dim)
    return tuple(torch.cat(parts, dim) for parts in zip(*outputs, strict=True))


def close(found: Feature, expected: Feature) -> None:
    """Check that two outputs are equal but for rounding."""
    if isinstance(expected, tuple):
        for one, other in zip(found, expected, strict=True):
            close(one, other)
        return
    assert found.shape == expected.shape
    error = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    assert error <= MOST_ERROR, float(error)
