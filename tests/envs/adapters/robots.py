"""A package with an environment, written into a folder, and named in every way."""

from pathlib import Path

LINE = '''
import gymnasium
import numpy as np
{imports}


class Line(gymnasium.Env):
    """A walk on the cells -5 to 5."""

    metadata = {{"render_modes": []}}
    max_episode_steps = 6
    action_space = gymnasium.spaces.Discrete(2)
    cells = gymnasium.spaces.Box(-5, 5, (1,), np.float32)
    observation_space = gymnasium.spaces.Dict(
        observation=cells, achieved_goal=cells, desired_goal=cells
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = np.zeros(1, np.float32)
        self.goal = self.np_random.integers(-3, 4, 1).astype(np.float32)
        return self.seen(), {{}}

    def step(self, action):
        self.x = np.clip(self.x + {step} * (2 * int(action) - 1), -5, 5)
        won = self.compute_reward(self.x, self.goal, {{}}) == 0
        return self.seen(), float(won) - 1, False, False, {{"is_success": bool(won)}}

    def seen(self):
        return {{"observation": self.x, "achieved_goal": self.x, "desired_goal": self.goal}}

    def compute_reward(self, achieved, desired, info):
        return -(np.abs(achieved - desired).max(-1) > 0.5).astype(np.float32)
'''
ALONE = LINE.format(imports="", step="1")
REGISTER = "import gymnasium\ngymnasium.register('{name}', entry_point='{entry}', {more})\n"


def package(folder: Path, name: str) -> Path:
    """A package of that name, whose environment is in a package within and imports from above."""
    inner = folder / name / "envs"
    inner.mkdir(parents=True)
    register = REGISTER.format(
        name="Robo/Line-v0", entry=f"{name}.envs.line:Line", more="max_episode_steps=6"
    )
    (folder / name / "__init__.py").write_text(register)
    (folder / name / "utils.py").write_text("STEP = 1\n")
    (inner / "line.py").write_text(LINE.format(imports="from ..utils import STEP", step="STEP"))
    return folder


def names(name: str) -> list[str]:
    """What stands for the environment of such a package."""
    return [f"{name}:Robo/Line-v0", f"{name}.envs.line:Line", f"{name}/envs/line.py:Line"]
