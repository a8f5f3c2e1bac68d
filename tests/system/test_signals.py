import signal

import pytest

from hem.system.signals import defer_signals


def test_ctrl_c_comes_once_the_block_is_done():
    done = []

    def interrupted() -> None:
        with defer_signals():
            signal.raise_signal(signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done


def test_ctrl_c_is_not_lost_where_the_block_fails():
    def failing() -> None:
        with defer_signals():
            signal.raise_signal(signal.SIGINT)
            raise OSError

    with pytest.raises(KeyboardInterrupt) as stopped:
        failing()
    assert isinstance(stopped.value.__context__, OSError)


def test_without_a_signal_nothing_happens():
    with pytest.raises(OSError, match="full"), defer_signals():
        raise OSError("full")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
