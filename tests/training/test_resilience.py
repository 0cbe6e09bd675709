import signal
from contextlib import suppress

import pytest

from bloomnet_sb.training.resilience import StopSignals
from bloomnet_sb.utils.errors import InputError, Stopped


def swallow(number):
    """As ruamel.yaml does with whatever is raised while it looks for a constructor."""
    with suppress(BaseException):
        signal.raise_signal(number)
    raise InputError("could not determine a constructor")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_library_swallows_still_stops_the_program(number, code):
    with pytest.raises(Stopped, match=number.name) as stopped, StopSignals().caught():
        swallow(number)
    assert stopped.value.exit_code == code


def test_an_error_without_a_signal_is_its_own():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(InputError, match="no such key"), StopSignals().caught():
        raise InputError("no such key")
    assert signal.getsignal(signal.SIGINT) is before
