from types import SimpleNamespace

import pytest

from hem.errors import UserError
from hem.system import validation

NAN, INFINITE = float("nan"), float("inf")


def given(value, fine=1) -> SimpleNamespace:
    return SimpleNamespace(fine=fine, one_thing=value)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (validation.positive, [1e-9, 5], [0, -1, NAN, INFINITE]),
        (lambda *given: validation.at_least(1, *given), [1, 2.5], [0, NAN, INFINITE]),
        (validation.sizes, [1, 2**31 - 1], [0, 2**31, NAN, INFINITE]),
        (validation.fractions, [0, 0.5, 1], [-0.1, 1.1, NAN]),
        (lambda *given: validation.one_of(("a", "b"), *given), ["b"], ["", "B", None]),
    ],
    ids=["positive", "at_least", "sizes", "fractions", "one_of"],
)
def test_a_setting_that_cannot_be_is_named_as_its_flag(check, right, wrong):
    for value in right:
        check(given(value), "one_thing")
    for value in wrong:
        with pytest.raises(UserError, match=rf"^one-thing must be .* not {value!r}$"):
            check(given(value, fine=right[0]), "fine", "one_thing")


def test_layers_have_units():
    validation.layers(given((3, 1)), "one_thing")
    validation.layers(given(()), "one_thing")
    with pytest.raises(UserError, match=r"one-thing must be at least 1 unit per layer.*, not 3 0"):
        validation.layers(given((3, 0)), "one_thing")
