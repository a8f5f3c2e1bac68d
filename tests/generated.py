"""Spaces as hypothesis draws them, of every kind that can be trained in; an environment of them."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st

HORIZON = 5

sides = st.integers(1, 3)
shapes = st.lists(sides, max_size=3).map(tuple)
wholes = st.sampled_from([np.int8, np.uint8, np.int32, np.int64])


@st.composite
def real_boxes(draw, bounded: bool = False, **shape) -> spaces.Box:
    dims = draw(shapes) if not shape else shape["shape"]
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    low = draw(st.integers(-8, 8)) / 4 + np.arange(np.prod(dims)).reshape(dims) * draw(sides) / 4
    high = low + draw(st.integers(1, 8)) / 4
    if not bounded:
        low = np.where(draw(st.booleans()), low, -np.inf)
        high = np.where(draw(st.booleans()), high, np.inf)
    return spaces.Box(dtype(low), dtype(high), dims, dtype)


@st.composite
def whole_boxes(draw) -> spaces.Box:
    dtype = draw(wholes)
    low = draw(st.integers(0, 2))
    return spaces.Box(low, low + draw(st.integers(1, 90)), draw(shapes), dtype)


@st.composite
def images(draw) -> spaces.Box:
    return spaces.Box(0, 255, draw(st.sampled_from([(9, 8, 3), (3, 9, 8), (8, 9, 1)])), np.uint8)


@st.composite
def choices(draw) -> spaces.Discrete:
    dtype = draw(st.sampled_from([np.int16, np.int64]))
    return spaces.Discrete(draw(st.integers(2, 5)), start=draw(st.integers(-7, 7)), dtype=dtype)


@st.composite
def several_choices(draw) -> spaces.MultiDiscrete:
    shape = draw(st.sampled_from([(1,), (3,), (2, 2)]))
    n = np.array(draw(st.lists(st.integers(1, 4), min_size=4, max_size=4)))
    start = draw(st.integers(-3, 3))
    return spaces.MultiDiscrete(
        np.resize(n, shape),
        draw(st.sampled_from([np.int32, np.int64])),
        start=np.full(shape, start),
    )


bits = st.one_of(sides, st.lists(sides, min_size=1, max_size=2)).map(spaces.MultiBinary)
leaves = st.one_of(real_boxes(), whole_boxes(), choices(), several_choices(), bits)


def grouped(parts: st.SearchStrategy[gymnasium.Space]) -> st.SearchStrategy[gymnasium.Space]:
    names = st.sampled_from(["z", "a", "é x"])
    return st.one_of(
        st.dictionaries(names, parts, min_size=1).map(lambda d: spaces.Dict(list(d.items()))),
        st.lists(parts, min_size=1, max_size=3).map(spaces.Tuple),
    )


seen = st.one_of(st.recursive(leaves, grouped, max_leaves=5), images())
acted = st.one_of(choices(), real_boxes(bounded=True).filter(lambda box: box.shape != (0,)))


class Anything(gymnasium.Env):
    """An environment of these spaces, in which nothing that is done matters; it notes it."""

    def __init__(self, observation, goal, action) -> None:
        self.observation_space = spaces.Dict(
            observation=observation, achieved_goal=goal, desired_goal=goal
        )
        self.action_space = action
        self.taken = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.seen = self.observation_space.sample()
        return self.seen, {}

    def step(self, action):
        assert self.action_space.contains(np.asarray(action)), action
        self.taken.append(action)
        return self.seen, 0.0, False, False, {}
