import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.cli.check.examine import text
from hem.cli.check.rules import Finding
from hem.errors import LONGEST, EnvError, UserError, one_line, require, within_memory

HOSTILE = "\x1b[2J\x1b]0;title\x07 a\nb\r\nc\u2028d \u202eback\ud800\0"


@given(st.text() | st.text(alphabet=HOSTILE))
def test_any_text_is_a_printable_line(given):
    shown = one_line(given)
    assert shown.isprintable()
    shown.encode()


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_what_is_printable_stays_as_it_is(given):
    assert one_line(f"x{given}x") == f"x{given}x"


def test_what_is_too_long_keeps_how_it_begins_and_ends():
    shown = one_line("the file " + "\x1b" * 20_000 + ": make it anew")
    assert shown.startswith("the file ")
    assert shown.endswith(": make it anew")
    assert len(shown) < 5 * LONGEST


@pytest.mark.parametrize("kind", [UserError, EnvError])
def test_whatever_an_error_quotes_it_is_a_line(kind):
    said = str(kind(f"no setting {HOSTILE}"))
    assert said.isprintable()
    assert said.startswith(r"no setting \x1b[2J\x1b]0;title\x07 a b c d \u202eback\ud800\x00")
    with pytest.raises(UserError, match=r"^\\x1b$"):
        require(False, "\x1b")


def test_whatever_an_examination_finds_it_is_a_line():
    assert text([Finding("error", HOSTILE)]).splitlines()[0].isprintable()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("INTERNAL: Out of memory ...")])
def test_a_lack_of_memory_is_a_line(error):
    with pytest.raises(UserError, match=r"not enough memory: .*--hidden-dims"), within_memory():
        raise error


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(RuntimeError, match="another"), within_memory():
        raise RuntimeError("another")
