"""Spaces go into files and come back, and what is too large is never built."""

import functools
import json

import msgspec
import numpy as np
import pytest
from generated import acted, images, seen
from gymnasium import spaces
from hypothesis import example, given
from hypothesis import strategies as st

from hem.envs.spaces.plain_data import SpaceData, SpaceError, build, describe


def through_a_file(space: spaces.Space) -> spaces.Space:
    return build(msgspec.json.decode(msgspec.json.encode(describe(space)), type=SpaceData))


@given(st.one_of(seen, acted, images()))
@example(spaces.Box(-np.inf, np.array([1, np.inf], np.float32)))
@example(spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64))
@example(spaces.Box(0, 1, (2, 2), np.bool_))
@example(spaces.Box(0, 1, (0,), np.float32))
@example(spaces.Dict({"parts": spaces.OneOf([spaces.Discrete(2), spaces.MultiBinary([2, 3])])}))
def test_a_space_comes_back_as_it_was(space):
    back = through_a_file(space)
    assert back == space
    assert back.dtype == space.dtype
    assert list(back) == list(space) if isinstance(space, spaces.Dict) else True


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(3),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Discrete(2), None),
        spaces.Dict({}),
        spaces.Tuple([]),
        spaces.Dict({1: spaces.Discrete(2)}),
        spaces.Tuple([spaces.Text(3)]),
        spaces.Box(0, 1, (2,), np.longdouble),
        spaces.Discrete(10**12),
        spaces.Tuple([spaces.Discrete(2)] * 1001),
        functools.reduce(lambda space, _: spaces.Tuple([space]), range(20), spaces.Discrete(2)),
        "no space",
    ],
    ids=lambda space: type(space).__name__,
)
def test_what_no_policy_can_see_is_refused_in_words(space):
    with pytest.raises(SpaceError, match=r"^(has|is) [^\n]*$"):
        describe(space)


def box(shape, **more) -> dict:
    return {"space": "box", "shape": shape, "dtype": "float32", "low": None, "high": None} | more


@pytest.mark.parametrize(
    "bound",
    [{"dtype": "int8"}, {"dtype": "uint8", "low": 300}, {"dtype": "float16", "low": 1e30}],
    ids=str,
)
def test_a_bound_that_its_type_cannot_hold_is_an_error_and_no_warning(bound):
    with pytest.raises((ArithmeticError, ValueError)):
        build(msgspec.json.decode(json.dumps(box([2], **bound)), type=SpaceData))


@pytest.mark.parametrize(
    "words",
    [
        box([10**12]),
        box([10**6] * 60),
        {"space": "discrete", "n": 10**15, "start": 0, "dtype": "int64"},
        {"space": "multi_discrete", "n": [10**15], "shape": [1], "start": [0], "dtype": "int64"},
        {"space": "multi_binary", "n": [10**9, 10**9]},
        {"space": "tuple", "parts": [box([1])] * 10**5},
        {"space": "one_of", "parts": [box([10**9])]},
    ],
    ids=lambda words: words["space"],
)
def test_what_is_too_large_is_not_built(words):
    with pytest.raises(SpaceError, match="hem supports"):
        build(msgspec.json.decode(json.dumps(words), type=SpaceData))
