"""Foreign text stays text."""

import pytest

from hem.sharing.markdown import block, code, table

NASTY = [
    "`", "``", "` `", "a`b``c", "<script>alert(1)</script>", "[x](javascript:1)", "![](http://a/b)",
    "# title", "| a | b |", "a\nb\n# c", "\x1b[31mred", "$x$", "&lt;", "www.example.org", "", " ",
    "---\nlicense: mit\n---", "\u202eabc", "\\`", "`\\",
]  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_inline_code_is_one_line_and_ends_where_it_began(text):
    shown = code(text)
    assert len(shown.splitlines()) == 1
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    inner = shown[len(fence) : -len(fence)]
    assert shown.endswith(fence)
    assert fence not in inner  # the code ends with the last backticks, and not before
    assert not inner.startswith("`")
    assert not inner.endswith("`")


@pytest.mark.parametrize("text", NASTY)
def test_a_block_ends_with_its_last_line(text):
    first, *inner, last = block([text, "```"], "bash").splitlines()
    assert first == f"{last}bash"
    assert set(last) == {"`"}
    assert not any(last in line for line in inner)


@pytest.mark.parametrize("text", NASTY)
def test_a_table_has_the_cells_that_it_was_given(text):
    lines = table(["a", "b"], [[code(text), "1"]]).splitlines()
    assert len(lines) == 3
    assert [line.replace("\\|", "").count("|") for line in lines] == [3, 3, 3]
