"""Environments by their word on success: those that contradict hem, and those that are honest."""

import gymnasium
import numpy as np
import toys
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TransformReward


class Near(toys.Reach):
    """A point that sets out near its goal, so that random actions reach it often."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goal = np.clip(self.at + self.np_random.uniform(-0.3, 0.3, 2), -1, 1)
        return self.observation(), {}


class Cells(gymnasium.Env):
    """A small grid, and four ways to go."""

    SIDE = 5

    def __init__(self):
        box = spaces.Box(0, self.SIDE - 1, (2,), np.float32)
        self.observation_space = toys.goal_space(box, box)
        self.action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.goal = self.np_random.integers(self.SIDE, size=(2, 2))
        self.t = 0
        return self.observation(), {}

    def observation(self):
        at, goal = np.float32(self.at), np.float32(self.goal)
        return {"observation": at, "achieved_goal": at, "desired_goal": goal}

    def step(self, action):
        self.t += 1
        move = [(1, 0), (-1, 0), (0, 1), (0, -1)][action]
        self.at = np.clip(self.at + move, 0, self.SIDE - 1)
        seen = self.observation()
        reward = self.compute_reward(seen["achieved_goal"], seen["desired_goal"], {})
        return seen, reward, False, False, {"is_success": reward == 0}

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired) > 0.5)


# Those that contradict hem.


class Scaled(gymnasium.ObservationWrapper):
    """Goals in centimetres, and rewards that are told in meters."""

    def __init__(self):
        super().__init__(Near())
        box = spaces.Box(-100, 100, (2,), np.float64)
        self.observation_space = toys.goal_space(box, box)

    def observation(self, observation):
        return {key: 100 * value for key, value in observation.items()}


class Above(Cells):
    """Achieved is what is more than desired."""

    def compute_reward(self, achieved, desired, info):
        return 0.0 if achieved[0] > desired[0] else -1.0


class OwnGoal(Cells):
    """Its reward looks at its own goal, and not at the one it is given."""

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - self.goal) > 0.5)


class OwnGoalSilent(OwnGoal):
    def step(self, action):
        return *super().step(action)[:4], {}


class Cost(Cells):
    """What it calls a reward is a cost."""

    def compute_reward(self, achieved, desired, info):
        return float(np.linalg.norm(achieved - desired) > 0.5)


class Stricter(Near):
    """Its info wants more than its reward does, which grades."""

    distance_threshold = 0.15

    def step(self, action):
        seen, _, *rest, _ = super().step(action)
        far = np.linalg.norm(self.at - self.goal)
        return seen, -far, *rest, {"is_success": far < 0.05}

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired))


class Inverted(Cells):
    """Its info says the contrary, and its reward nothing."""

    def step(self, action):
        seen, reward, *rest, _ = super().step(action)
        return seen, 0.0, *rest, {"success": np.bool_(reward != 0)}


class Manhattan(Near):
    """No distance explains its success, and its step means another."""

    def step(self, action):
        seen, _, *rest, _ = super().step(action)
        met = bool(np.abs(self.at - self.goal).max() < 0.05)
        return seen, float(met), *rest, {"is_success": met}

    def compute_reward(self, achieved, desired, info):
        return float(np.abs(achieved - desired).sum() < 0.5)


class Moving(Cells):
    """A new target every three steps."""

    def step(self, action):
        _, *rest = super().step(action)
        if self.t % 3 == 0:
            self.goal = (self.goal + 1) % self.SIDE
        return self.observation(), *rest


class MovingOnSuccess(Cells):
    """A new target when it is reached."""

    def step(self, action):
        *_, info = rest = super().step(action)
        if info["is_success"]:
            self.goal = (self.goal + 1) % self.SIDE
        return self.observation(), *rest[1:]


class Wide(Cells):
    """Whole numbers that leave the bounds of their space."""

    def __init__(self):
        super().__init__()
        self.observation_space["observation"] = spaces.Box(0, 1, (2,), np.int64)

    def observation(self):
        return super().observation() | {"observation": 299 + self.at}


def rows(name, mode="NextStep"):
    return SyncVectorEnv([globals()[name]] * 3, autoreset_mode=mode)


# Those that are honest.


class Noisy(Near):
    """Its reward is noisy, and it says nothing else."""

    def step(self, action):
        seen, reward, *rest, _ = super().step(action)
        return seen, reward + self.np_random.normal(0, 0.1), *rest, {}


class Fined(Cells):
    """Walls cost more, and it says nothing else."""

    def step(self, action):
        before = self.at
        seen, reward, *rest, _ = super().step(action)
        return seen, reward - float((before == self.at).all()), *rest, {}


class Shaped(Cells):
    """Paid for coming near, and seldom for arriving; it says nothing else."""

    def step(self, action):
        seen, reward, *rest, _ = super().step(action)
        near = np.linalg.norm(self.at - self.goal) < 2
        return seen, 0.0 if reward == 0 else -0.5 if near else -1.0, *rest, {}


def shifted():
    """Rewards 0 and 1, where compute_reward has -1 and 0."""

    class Wordless(Cells):
        def step(self, action):
            return *super().step(action)[:4], {}

    return TransformReward(Wordless(), lambda reward: reward + 1)


class Sticky(Near):
    """Once it was a success, it stays one."""

    def reset(self, **how):
        self.met = False
        return super().reset(**how)

    def step(self, action):
        *rest, info = super().step(action)
        self.met |= info["is_success"]
        return *rest, {"is_success": self.met}


class Once(Near):
    """Success is paid for once."""

    def reset(self, **how):
        self.met = False
        return super().reset(**how)

    def step(self, action):
        seen, reward, *rest, _ = super().step(action)
        again, self.met = self.met, self.met or reward == 0
        return seen, -1.0 if again else reward, *rest, {}


class AtTheEnd(Near):
    """Only the last step says something, and that is of the whole episode."""

    def reset(self, **how):
        self.met = False
        return super().reset(**how)

    def step(self, action):
        seen, reward, *_ = super().step(action)
        self.met |= reward == 0
        over = self.t == 8
        return seen, 0.0, False, over, {"is_success": self.met} if over else {}


class Ends(Near):
    """Success ends an episode, and its info never says so."""

    def step(self, action):
        seen, reward, *_ = super().step(action)
        return seen, 0.0, reward == 0, False, {"is_success": False}


class Odd(Near):
    """Its info says success in odd ways."""

    def step(self, action):
        *rest, info = super().step(action)
        met = info["is_success"]
        ways = (np.float32(met), np.array([met]), None, "yes", np.nan, [1, 2], int(met))
        return *rest, {"is_success": ways[self.t % len(ways)]}


class Lattice(Cells):
    """Cells that are as far apart as its threshold, in other precision than hem's."""

    distance_threshold = 0.1

    def observation(self):
        return {key: value / np.float32(10) for key, value in super().observation().items()}

    def compute_reward(self, achieved, desired, info):
        apart = np.linalg.norm(np.float64(achieved) - np.float64(desired))
        return -float(apart > self.distance_threshold)


class Sensor(Near):
    """Its achieved goal is measured with an error, its success is not."""

    def observation(self):
        seen = super().observation()
        error = self.np_random.normal(0, 0.003, 2)
        return seen | {"achieved_goal": seen["achieved_goal"] + error}


class Jitter(Near):
    """Its goal is computed anew at every step."""

    def observation(self):
        seen = super().observation()
        return seen | {"desired_goal": seen["desired_goal"] * (1 + self.np_random.normal(0, 1e-8))}
