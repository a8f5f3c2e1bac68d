import signal

import pytest

from hem.system.signals import StopRequest, defer_signals, same_sigterm, terminable


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


def test_a_request_to_end_cleans_up_as_ctrl_c_does():
    cleaned = []

    def ended() -> None:
        with terminable():
            try:
                signal.raise_signal(signal.SIGTERM)
            except (Exception, SystemExit):  # what an environment's code may raise
                cleaned.append("error")
            finally:
                cleaned.append("all")

    with pytest.raises(SystemExit) as leaving:
        ended()
    assert leaving.value.code == 128 + signal.SIGTERM
    assert cleaned == ["all"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_training_takes_the_first_request_and_leaves_the_second():
    with terminable(), StopRequest() as should_stop:
        signal.raise_signal(signal.SIGTERM)
        assert should_stop.signal == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_a_program_that_handles_it_goes_on_doing_so(own):
    before = signal.signal(signal.SIGTERM, own)
    try:
        with terminable():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_stays_what_it_is():
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(signal.SIGINT)


def test_a_library_that_takes_the_signal_gives_it_back():
    before = signal.getsignal(signal.SIGTERM)
    with same_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before
