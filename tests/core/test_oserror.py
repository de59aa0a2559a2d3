"""Words for the numbers that a board gives as errors."""

import errno
import os

import pytest

from mqttlite.core import oserror


@pytest.mark.parametrize("number", [28, 2, 5, 19, 12, 104, 113, -202])
def test_a_number_without_words_gets_some(number: int) -> None:
    error = OSError(number)  # without text, as on a board
    error.errno = number
    said = oserror.words(error)
    assert said.startswith(f"{number}: ")
    assert len(said) > 20


def test_an_error_that_has_words_keeps_them() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert oserror.words(error) == str(error)


def test_an_error_without_a_known_number_is_as_it_was() -> None:
    assert oserror.words(OSError("full")) == "full"
