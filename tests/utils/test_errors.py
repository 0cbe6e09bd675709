import pytest

from bloomnet_sb.utils.errors import InputError, check_positive, check_seconds, exit_with_one_line


def test_input_errors_end_the_program_with_one_line(capsys):
    with pytest.raises(SystemExit) as ended, exit_with_one_line():
        raise InputError("data_folder nowhere: no such folder")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: data_folder nowhere: no such folder\n"


def test_a_worker_s_traceback_is_not_shown(capsys):
    wrapped = "\n".join(
        [
            "Caught InputError in worker 0.",
            "Traceback ...",
            "bloomnet_sb.utils.errors.InputError: a: no",
            "",
        ]
    )
    with pytest.raises(SystemExit), exit_with_one_line():
        raise InputError(wrapped)
    assert capsys.readouterr().err == "error: a: no\n"


def test_defects_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), exit_with_one_line():
        print(1 / 0)


@pytest.mark.parametrize("size", [0, -1, 1.5, "two", True, None])
def test_sizes_that_cannot_be(size):
    with pytest.raises(InputError, match="num_blocks is"):
        check_positive(num_blocks=size)


@pytest.mark.parametrize("length", [0, -1.0, float("nan"), float("inf"), "2", True, None])
def test_lengths_of_time_that_cannot_be(length):
    with pytest.raises(InputError, match="max_seconds is"):
        check_seconds(max_seconds=length)
