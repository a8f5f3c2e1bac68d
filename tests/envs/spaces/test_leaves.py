"""Parts of spaces have names, by which they are put together again."""

import numpy as np
import pytest
from generated import seen
from gymnasium import spaces
from gymnasium.spaces import utils
from hypothesis import given

from hem.envs.spaces.leaves import leaves_of, nested
from hem.errors import UserError


def test_a_leaf_is_named_by_its_path():
    bit = spaces.Discrete(2)
    space = spaces.Dict([("b", spaces.Tuple([bit, spaces.Dict(c=bit)])), ("a", bit)])
    names = [leaf.name for leaf in leaves_of(space, "observation")]
    assert names == ["observation/b/0", "observation/b/1/c", "observation/a"]


def test_names_that_look_like_paths_are_told_from_paths():
    bit = spaces.Discrete(2)
    space = spaces.Dict({"a/b": bit, "a": spaces.Dict({"b": bit}), "a~1b": bit, "": bit})
    names = [leaf.name for leaf in leaves_of(space, "goal")]
    assert sorted(names) == ["goal/", "goal/a/b", "goal/a~01b", "goal/a~1b"]
    value = nested(space, "goal", {name: np.array(i) for i, name in enumerate(names)})
    assert value.keys() == space.spaces.keys()


@given(space=seen)
def test_a_value_is_put_together_of_its_leaves_in_the_order_of_its_encoding(space):
    space.seed(0)
    value = space.sample()
    found = leaves_of(space, "x")
    leaf_values = dict(zip([leaf.name for leaf in found], _flat(value), strict=True))
    parts = [utils.flatten(leaf.space, leaf_values[leaf.name]) for leaf in found]
    whole = utils.flatten(space, nested(space, "x", leaf_values))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(whole, utils.flatten(space, value))


def _flat(value) -> list:
    if isinstance(value, dict):
        return [x for part in value.values() for x in _flat(part)]
    return [x for part in value for x in _flat(part)] if isinstance(value, tuple) else [value]


def test_what_has_no_leaves_is_named():
    space = spaces.Tuple([spaces.OneOf([spaces.Discrete(2), spaces.Box(0, 1)])])
    with pytest.raises(UserError, match=r"^goal/0 is a OneOf, whose values differ in kind"):
        leaves_of(space, "goal")
