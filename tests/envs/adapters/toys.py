"""Small goal environments for tests, and ways in which they go wrong. Run by workers, too."""

import os
import signal
import sys
import time

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

THRESHOLD = 0.15


def goal_space(observation, goal):
    return spaces.Dict(observation=observation, achieved_goal=goal, desired_goal=goal)


class Reach(gymnasium.Env):
    """A point in the square goes to another. ``ends``: by itself, at the goal or by chance."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, size=1.0, ends=False, render_mode=None):
        box = spaces.Box(-size, size, (2,), np.float64)
        self.observation_space = goal_space(box, box)
        self.action_space = spaces.Box(-0.2, 0.2, (2,), np.float32)
        self.size, self.ends, self.render_mode = size, ends, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.uniform(-self.size, self.size, (2, 2))
        self.t = 0
        return self.observation(), {}

    def observation(self):
        return {
            "observation": self.at.copy(),
            "achieved_goal": self.at.copy(),
            "desired_goal": self.goal.copy(),
        }

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        push = self.np_random.normal(0, 0.01, 2)  # so that an episode depends on its seed only
        self.at = np.clip(self.at + action + push, -self.size, self.size)
        reward = self.compute_reward(self.at, self.goal, {})
        success = bool(reward == self.compute_reward(self.goal, self.goal, {}))
        over = self.ends and (success or self.np_random.random() < 0.1)
        return self.observation(), reward, bool(over), False, {"is_success": success}

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired) > THRESHOLD)

    def render(self):
        image = np.zeros((32, 32, 3), np.uint8)
        for color, point in ((0, self.goal), (1, self.at)):
            x, y = ((point / self.size + 1) * 15.5).astype(int)
            image[y, x, color] = 255
        return image


class Attribute(Reach):
    """It has its threshold as an attribute, and grades."""

    distance_threshold = THRESHOLD

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired))


class Misleading(Reach):
    """It has an attribute that its reward does not keep to."""

    distance_threshold = 0.3


class Graded(Reach):
    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired))


class Manhattan(Reach):
    """Success that no Euclidean distance explains."""

    def compute_reward(self, achieved, desired, info):
        return float(np.abs(achieved - desired).sum() < 2 * THRESHOLD)


class Silent(Reach):
    compute_reward = None

    def step(self, action):
        self.at = np.clip(self.at + action, -self.size, self.size)
        return self.observation(), 0.0, False, False, {}


class Grid(gymnasium.Env):
    """Whole-numbered cells of a torus, and a choice among four ways that begins at 1."""

    SIDE = 4

    def __init__(self, one_hot=False):
        goal = spaces.MultiDiscrete([4, 4]) if one_hot else spaces.Box(0, 3, (2,), np.int64)
        self.observation_space = goal_space(spaces.Discrete(16), goal)
        self.action_space = spaces.Discrete(4, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.integers(4, size=(2, 2))
        return self.observation(), {}

    def observation(self):
        return {
            "observation": np.int64(4 * self.at[0] + self.at[1]),
            "achieved_goal": self.at.copy(),
            "desired_goal": self.goal.copy(),
        }

    def step(self, action):
        assert 1 <= action <= 4
        move = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[action - 1]
        self.at = (self.at + move) % 4
        reward = self.compute_reward(self.at, self.goal, {})
        return self.observation(), reward, False, False, {"success": reward == 1}

    def compute_reward(self, achieved, desired, info):
        return float(np.array_equal(achieved, desired))


class Lava(gymnasium.Env):
    """Cells in a square, cut by a river of lava with one bridge: who steps into it has failed."""

    SIDE = 5
    max_episode_steps = 20

    def __init__(self):
        box = spaces.Box(0, self.SIDE - 1, (2,), np.float32)
        self.observation_space = goal_space(box, box)
        self.action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        (x, y), (goal_x, goal_y) = self.np_random.integers([self.SIDE - 1, 2], size=(2, 2))
        self.at, self.goal = np.array([x, y]), np.array([goal_x, goal_y + 3])
        return self.observation(), {}

    def observation(self):
        at, goal = self.at.astype(np.float32), self.goal.astype(np.float32)
        return {"observation": at, "achieved_goal": at, "desired_goal": goal}

    def step(self, action):
        move = [(1, 0), (-1, 0), (0, 1), (0, -1)][action]
        self.at = np.clip(self.at + move, 0, self.SIDE - 1)
        burnt = bool(self.at[1] == 2 and self.at[0] < self.SIDE - 1)
        success = bool((self.at == self.goal).all())
        return self.observation(), success - 1.0, burnt or success, False, {"is_success": success}

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired) > 0.5)


class Nested(Grid):
    """An observation in parts."""

    def __init__(self):
        super().__init__()
        parts = spaces.Dict(cell=spaces.Discrete(16), bits=spaces.MultiBinary(3))
        self.observation_space = goal_space(parts, spaces.Box(0, 3, (2,), np.int64))

    def observation(self):
        seen = super().observation()
        bits = (self.at.sum() >> np.arange(3) & 1).astype(np.int8)
        return seen | {"observation": {"cell": seen["observation"], "bits": bits}}


class Image(Reach):
    """It is seen in an image, channels first or last."""

    def __init__(self, channels_first=False):
        super().__init__()
        self.channels_first = channels_first
        shape = (3, 12, 16) if channels_first else (12, 16, 3)
        box = spaces.Box(-1, 1, (2,), np.float64)
        self.observation_space = goal_space(spaces.Box(0, 255, shape, np.uint8), box)

    def observation(self):
        image = np.zeros((12, 16, 3), np.uint8)
        image[int(5 * self.at[0]) + 5, int(7 * self.at[1]) + 7] = (10, 20, 30)
        seen = image.transpose(2, 0, 1) if self.channels_first else image
        return super().observation() | {"observation": seen}


class Faulty(Reach):
    """It goes wrong in a way, ``when``: in its constructor, at reset, or in a step."""

    def __init__(self, fault, when=3, mark=""):
        super().__init__()
        self.fault, self.when, self.mark = fault, when, mark
        if when == "constructor":
            self.go_wrong()

    def reset(self, *, seed=None, options=None):
        seen, info = super().reset(seed=seed)
        return (self.go_wrong(seen) if self.when == "reset" else seen), info

    def step(self, action):
        seen, *rest = super().step(action)
        return (self.go_wrong(seen) if self.t == self.when else seen), *rest

    def go_wrong(self, seen=None):
        if self.mark:  # it goes wrong once: whoever makes the mark
            try:
                os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return seen
        match self.fault:
            case "raise":
                raise ValueError("the arm\nis off")
            case "exit":
                sys.exit(3)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(1000)
            case "nan":
                seen["observation"][1] = np.nan
            case "shape":
                seen["observation"] = np.zeros(3)
            case "lacks":
                del seen["achieved_goal"]
            case "outside":
                seen["observation"] = np.array([0.0, 7.0])
            case "goal":
                self.goal = self.goal + 0.5
                return self.observation()
        return seen


class Imports(Reach):
    """It observes whether JAX was imported where it runs, and how threads were limited."""

    def observation(self):
        seen = super().observation()
        return seen | {"observation": np.array([float("jax" in sys.modules), 0.0])}


def no_environment():
    return 3


def limited(steps=6):
    return gymnasium.wrappers.TimeLimit(Reach(ends=True), steps)


def vector(mode="NextStep", rows=4, kind="sync", render_mode=None, copy=True):
    make = SyncVectorEnv if kind == "sync" else AsyncVectorEnv
    one = lambda: Reach(ends=True, render_mode=render_mode)  # noqa: E731
    return make([one] * rows, autoreset_mode=mode, copy=copy)


def close(achieved, goal):
    return ((achieved - goal) ** 2).sum(-1) < 0.01


def only_numpy(achieved, goal):
    return np.array([np.linalg.norm(a - g) < 0.1 for a, g in zip(achieved, goal, strict=True)])


def of_one_pair(achieved, goal):
    return ((achieved - goal) ** 2).sum() < 0.01


if __name__ == "__main__":
    raise AssertionError("a file that is looked at is not run as a script")
