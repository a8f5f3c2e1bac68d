"""Random inputs are in their spaces, and where a policy tells one from another."""

from types import SimpleNamespace

import numpy as np
from generated import acted, seen
from gymnasium import spaces
from hypothesis import given

from hem.envs.spaces.batches import row_of, with_arrays
from hem.envs.spaces.leaves import nested
from hem.envs.spaces.task_spaces import forms_of
from hem.export.random_inputs import random_inputs
from hem.models.normalizer import Statistics
from hem.types import Spaces


def loaded(observation, goal, action, statistics=None) -> SimpleNamespace:
    forms = forms_of(Spaces(observation, goal, action))
    both = [statistics or empty(form) for form in forms[:2]]
    return SimpleNamespace(forms=forms, state=SimpleNamespace(obs=both[0], goal=both[1]))


def empty(form) -> Statistics:
    size = 0 if form.dtype == np.uint8 else form.shape[0]
    return Statistics(np.float32(0), *np.zeros((2, size), np.float32))


@given(observation=seen, goal=seen, action=acted)
def test_they_are_in_their_spaces(observation, goal, action):
    policy = loaded(observation, goal, action)
    inputs = random_inputs(policy, np.random.default_rng(0), 4)
    for form in policy.forms[:2]:
        batch = nested(form.space, form.what, inputs)
        for row in range(4):
            assert form.space.contains(with_arrays(form.space, row_of(form.space, batch, row)))


def test_real_numbers_are_around_those_that_were_seen():
    space = spaces.Box(np.float64([-np.inf, 0]), np.inf, dtype=np.float64)
    statistics = Statistics(np.float32(4), np.float32([1e6, 1]), np.float32([4e-2, 16]))
    policy = loaded(space, space, spaces.Discrete(2), statistics)
    first, second = random_inputs(policy, np.random.default_rng(0), 10_000)["observation"].T
    np.testing.assert_allclose([first.min(), first.max()], [1e6 - 1, 1e6 + 1], atol=1e-2)
    np.testing.assert_allclose([second.min(), second.max()], [0, 21], atol=1e-2)
    assert 0.4 < np.mean(np.abs(first - 1e6) < 0.5) < 0.6
