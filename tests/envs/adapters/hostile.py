"""Environments that fail, lie, hang, or end the process they are in."""

import os
import sys
import time

import gymnasium
import numpy as np
import toys


class Hostile(toys.Reach):
    """It does something to whoever made it, in one of its methods."""

    def __init__(self, what, where):
        super().__init__()
        self.what, self.where, self.steps = what, where, False
        self.happen("constructor")

    def happen(self, where):
        if where == self.where:
            getattr(self, self.what)()

    def leave(self):
        os._exit(0)

    def hang(self):
        time.sleep(1000)

    def exit(self):
        sys.exit("enough")

    def interrupt(self):
        raise KeyboardInterrupt

    def reset(self, *, seed=None, options=None):
        self.happen("reset")
        return super().reset(seed=seed)

    def step(self, action):
        self.happen("step")
        self.steps = True
        result = super().step(action)
        self.steps = False
        return result

    def compute_reward(self, achieved, desired, info):
        if not self.steps:
            self.happen("compute_reward")
        return super().compute_reward(achieved, desired, info)

    def close(self):
        self.happen("close")

    def render(self):
        self.happen("render")
        return super().render()


class NoSpace(gymnasium.Env):
    action_space = toys.Reach().action_space


class NoActions(gymnasium.Env):
    observation_space = toys.Reach().observation_space


class Unwrapped(toys.Reach):
    @property
    def unwrapped(self):
        raise RuntimeError("nothing to see")


class ArrayTerminated(toys.Reach):
    def step(self, action):
        seen, reward, *_ = super().step(action)
        return seen, reward, np.zeros(2, bool), False, {}


class WordTerminated(toys.Reach):
    def step(self, action):
        seen, reward, *_ = super().step(action)
        return seen, reward, False, "no", {}


class OldStep(toys.Reach):
    def step(self, action):
        seen, reward, *_ = super().step(action)
        return seen, reward, False, {}


class NoStep(toys.Reach):
    def step(self, action):
        return None


class ListInfo(toys.Reach):
    def step(self, action):
        return *super().step(action)[:4], []


class OldReset(toys.Reach):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class NoSeed(toys.Reach):
    def reset(self):
        return super().reset()


class NoInfo(toys.Reach):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], None


class NoObservation(toys.Reach):
    def observation(self):
        return None


class Unspeakable(toys.Reach):
    def step(self, action):
        class Odd(Exception):
            def __str__(self):
                raise ValueError

        raise Odd


class NaNGoal(toys.Reach):
    def observation(self):
        return super().observation() | {"desired_goal": np.full(2, np.nan)}


class NaNReward(toys.Silent):
    """What hem does not look at does not matter in training."""

    compute_reward = toys.Reach.compute_reward

    def step(self, action):
        seen, _, *rest = super().step(action)
        return seen, np.nan, *rest


class Plain(toys.Reach):
    """Nothing is wrong with it."""


def exits(achieved, goal):
    sys.exit(3)


def leaves(achieved, goal):
    os._exit(0)


def hangs(achieved, goal):
    time.sleep(1000)
