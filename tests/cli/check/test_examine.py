"""``hem check``: every fault of an environment is named, and good ones have none."""

from pathlib import Path
from textwrap import indent

import pytest
import toys
from running import called

from hem import registry
from hem.cli.check import examine
from hem.errors import UserError

TOYS = Path(toys.__file__)
TOY = f"import sys\nsys.path.append({str(TOYS.parent)!r})\nimport numpy as np\nimport toys\n"
TOY += "from gymnasium import spaces\n\n"


def examined(name: str, episodes: int = 8, **settings) -> dict[str, list[str]]:
    """What is found of an environment, by level."""
    module = registry.load("environment", name)
    config = module.Config(**settings)
    found: dict[str, list[str]] = {"error": [], "warning": [], "note": []}
    for finding in examine.examine(name, config, episodes):
        found[finding.level].append(finding.text)
        assert "\n" not in finding.text
    return found


@pytest.fixture
def written(tmp_path):
    """``write(body)``: a file with an environment ``Mine`` derived from a toy, examined."""

    def write(body: str, base: str = "Reach", **settings) -> dict[str, list[str]]:
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        file = tmp_path / "mine.py"
        file.write_text(f"{TOY}class Mine(toys.{base}):\n{lines}\n")
        return examined(f"{file}:Mine", **{"horizon": 10} | settings)

    return write


def says(found: list[str], *parts: str) -> bool:
    return any(all(part in text for part in parts) for text in found)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Reach", {"horizon": 10}),
        ("Grid", {"horizon": 10}),
        ("Nested", {"horizon": 10}),
        ("Image", {"horizon": 10}),
        ("limited", {}),
        ("vector", {"horizon": 10}),
    ],
)
def test_nothing_is_wrong_with_a_good_one(name, settings):
    found = examined(f"{TOYS}:{name}", **settings)
    assert found["error"] == []
    assert found["warning"] == []
    assert says(found["note"], "success for hem: distance to the goal at most", "compute_reward")
    assert says(found["note"], "at most", "steps")


@pytest.mark.parametrize("name", ["FlipBit", "PointMaze_UMaze-v3"])
def test_known_environments_are_well(name):
    found = examined(name, episodes=2)
    assert found["error"] == []


def test_gymnasium_robotics_is_known_to_hem():
    found = examined("gymnasium_robotics:FetchReach-v4", episodes=2)
    assert found["error"] == []
    assert says(found["note"], "0.05, its distance_threshold")


@pytest.mark.parametrize(
    ("fault", "parts"),
    [
        ("nan", ("observation contains NaN", "step 3", "reset(seed=0)")),
        ("shape", ("observation has shape (3,)", "its space has (2,)")),
        ("lacks", ("is missing achieved_goal",)),
        ("outside", ("observation is outside its space", "7", "-1 to 1")),
        ("raise", ("fails in step 3 after reset(seed=0)", "the arm is off", "toys.py")),
        ("goal", ("the goal changes mid-episode", "step 3")),
    ],
)
def test_what_goes_wrong_in_an_episode_is_named(fault, parts):
    found = examined(f"{TOYS}:Faulty", horizon=6, env_kwargs={"fault": fault})
    assert says(found["error"], *parts), found


def test_an_environment_that_cannot_be_made_is_an_error():
    kwargs = {"fault": "raise", "when": "constructor"}
    found = examined(f"{TOYS}:Faulty", env_kwargs=kwargs)
    assert says(found["error"], "in its constructor", "ValueError")
    with pytest.raises(UserError, match="unknown environment"):
        examine.examine("FlipBot", None)


def test_spaces_that_hem_cannot_use_are_errors(written):
    constructor = "def __init__(self):\n    super().__init__()\n    "
    for change, *parts in (
        ("self.action_space = spaces.Box(-np.inf, np.inf, (2,))", "finite bounds", "Box"),
        ("self.action_space = spaces.MultiDiscrete([2, 2])", "MultiDiscrete", "ActionWrapper"),
        ("self.observation_space = spaces.Box(0, 1, (2,))", "a goal environment needs a Dict"),
        ("del self.observation_space.spaces['desired_goal']", "lacks desired_goal"),
        ("self.observation_space.spaces['desired_goal'] = spaces.Discrete(3)", "the same shape"),
        (
            "self.observation_space.spaces['observation'] = spaces.Sequence(spaces.Discrete(2))",
            "no fixed size",
        ),
    ):
        assert says(written(constructor + change)["error"], *parts), change
    wide = "self.observation_space.spaces['desired_goal'] = spaces.Box(-9, 9, (2,), np.float64)"
    assert says(written(constructor + wide)["warning"], "should be equal")


def test_a_type_that_is_not_the_space_s_is_an_error(written):
    found = written(
        "def observation(self):\n"
        "    return super().observation() | {'observation': np.float32(self.at)}"
    )
    assert says(found["error"], "observation has type float32", "float64")


def test_a_reward_that_compute_reward_contradicts_is_an_error(written):
    found = written(
        "def step(self, action):\n"
        "    seen, reward, *rest = super().step(action)\n"
        "    return seen, reward + 0.5, *rest"
    )
    assert says(found["error"], "compute_reward returns", "step 1 after reset(seed=0)", "more like")


def test_info_that_contradicts_the_reward_is_an_error(written):
    found = written(
        "def step(self, action):\n"
        "    *rest, info = super().step(action)\n"
        "    return *rest, {'is_success': True}"
    )
    assert says(found["error"], "info says success is True where the reward is -1")


def test_a_seed_that_does_not_repeat_is_an_error(written):
    found = written(
        "def reset(self, **how):\n    return super().reset(seed=np.random.randint(1000))"
    )
    assert says(found["error"], "does not begin the same episode twice")


def test_an_action_space_that_a_reset_replaces_is_no_fault(written):
    found = written(
        "def reset(self, **how):\n"
        "    self.action_space = spaces.Box(-1, 1, (2,), np.float32)\n"
        "    return super().reset(**how)"
    )
    assert found["error"] == []


IN_PLACE = """
def observation(self):
    now = super().observation()
    self.seen = getattr(self, "seen", now)
    for key, value in now.items():
        self.seen[key][...] = value
    return self.seen

def step(self, action):
    result = super().step(action)
    action *= 0.5
    return result
"""
FAULTS = {
    "none": "pass",
    "seed": "resets = 0\ndef reset(self, **_):\n"
    "    self.resets += 1\n"
    "    return super().reset(seed=self.resets)",
    "goal": "def observation(self):\n"
    "    self.goal[0] += 0.01 * self.t\n"
    "    return super().observation()",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_environment_that_changes_its_arrays_in_place_is_judged_like_another(tmp_path, fault):
    found, file = [], tmp_path / "mine.py"
    for body in ("pass", IN_PLACE):
        classes = {"Faulty(toys.Reach)": FAULTS[fault], "Mine(Faulty)": body}
        written = [f"class {name}:\n{indent(text, '    ')}\n" for name, text in classes.items()]
        file.write_text(TOY + "\n".join(written))
        found.append(examined(f"{file}:Mine", horizon=10))
    copying, in_place = found
    assert in_place == copying
    assert bool(copying["error"]) == (fault != "none")


def test_so_is_a_vector_environment_that_returns_its_buffers():
    name, settings = f"{TOYS}:vector", {"horizon": 10}
    copying = examined(name, **settings)
    assert examined(name, **settings, env_kwargs={"copy": False}) == copying


def test_an_observation_that_gives_the_goal_away_is_warned_of(written):
    found = written(
        "def __init__(self):\n"
        "    super().__init__()\n"
        "    self.observation_space.spaces['observation'] = spaces.Box(-1, 1, (5,), np.float64)\n"
        "def observation(self):\n"
        "    return super().observation() | {\n"
        "        'observation': np.concatenate([self.at, self.goal, [0.0]])}"
    )
    assert says(found["warning"], "contains the desired goal")
    assert not says(written("pass")["warning"], "contains the desired goal")


def test_goals_that_are_achieved_at_once_or_cannot_move_are_warned_of(written):
    found = written(
        "def reset(self, **how):\n"
        "    seen, info = super().reset(**how)\n"
        "    self.goal = self.at.copy()\n"
        "    return self.observation(), {'is_success': True}"
    )
    assert says(found["warning"], "already achieved at reset in 8 of 8")
    found = written(
        "def step(self, action):\n"
        "    return self.observation(), -1.0, False, False, {'is_success': False}"
    )
    assert says(found["warning"], "the achieved goal never changes")
    assert says(found["warning"], "never reached the goal in 8 episodes", "in 0 of them")


def test_a_goal_that_random_actions_never_reach_is_explained(written):
    found = written(
        "def reset(self, **how):\n"
        "    super().reset(**how)\n"
        "    self.at, self.goal = np.full((2, 2), [[-0.9], [0.9]])\n"
        "    return self.observation(), {}"
    )
    assert says(found["note"], "never reached the goal", "hindsight is for", "in 8 of them")
    assert says(found["note"], "every episode has the same desired goal")
    assert found["error"] == []


def test_an_algorithm_is_recommended_by_how_often_the_goal_moves(written):
    assert says(written("pass")["note"], "moved in 100% of random steps: --algo hem suits")
    pushed = written(
        "def step(self, action):\n"
        "    before, self.count = self.at.copy(), getattr(self, 'count', 0) + 1\n"
        "    result = super().step(action)\n"
        "    if self.count % 20:\n"
        "        self.at = before + 1e-6\n"
        "    return self.observation(), *result[1:]"
    )
    assert says(
        pushed["note"], "of random steps, as objects do: use --algo hem-her --skip-achieved"
    )


def test_episodes_of_one_step_are_warned_of(written):
    found = written(
        "def step(self, action):\n"
        "    seen, reward, _, _, info = super().step(action)\n"
        "    return seen, reward, False, True, info"
    )
    assert says(found["warning"], "over after one step")


def test_what_is_missing_but_not_needed_is_noted(written):
    found = examined(f"{TOYS}:Silent", horizon=5, threshold=0.1)
    assert found["error"] == []
    assert says(found["note"], "no compute_reward")
    assert says(found["note"], "neither is_success nor success")
    assert says(found["note"], "at most 0.1, as given")
    found = examined(f"{TOYS}:Reach")
    assert says(found["warning"], "--horizon STEPS")
    assert says(found["note"], "does not accept batches")
    extra = "def __init__(self):\n    super().__init__()\n    "
    extra += "self.observation_space.spaces['more'] = spaces.Discrete(3)"
    assert says(written(extra)["note"], "ignores more")


def test_success_that_hem_cannot_find_is_an_error():
    assert says(examined(f"{TOYS}:Graded", horizon=5)["error"], "--threshold DISTANCE or --success")
    found = examined(f"{TOYS}:Manhattan", horizon=5)
    assert says(found["note"], "success for hem: the environment's own compute_reward")
    found = examined(f"{TOYS}:Graded", horizon=5, success=f"{TOYS}:close")
    assert says(found["note"], "the function toys.py:close")


def test_the_command_prints_findings_and_its_status_tells(tmp_path):
    good = called("check", f"{TOYS}:Reach", "--horizon", "5", "--episodes", "3")
    assert good.returncode == 0
    assert good.stdout.splitlines()[-1] == "No errors found."
    assert good.stderr == ""
    kwargs = ("--env-kwargs", "fault=nan", "--horizon", "5")
    bad = called("check", f"{TOYS}:Faulty", *kwargs)
    assert bad.returncode == 1
    assert bad.stdout.splitlines()[0].startswith("error    observation contains NaN")
    assert bad.stdout.splitlines()[-1] == "1 error found."
    for arguments, part in (
        (["check"], "no environment given"),
        (["check", "FlipBit", "--episodes", "0"], "at least 1"),
        (["check", "FlipBit", "--horizn", "3"], "did you mean --horizon?"),
    ):
        result = called(*arguments)
        assert result.returncode == 2
        assert part in result.stderr
    assert "--episodes" in called("check", "FlipBit", "--help").stdout


@pytest.mark.parametrize("length", [2, 6])
def test_a_time_limit_that_is_told_as_failure_is_warned_of(written, length):
    body = (
        "def step(self, action):\n"
        "    seen, reward, *_, info = super().step(action)\n"
        "    success = info['is_success']\n"
        "    return seen, reward, {}, {}, info"
    )
    late = f"self.t == {length}"
    told = "that is a time limit"
    assert says(written(body.format(f"success or {late}", False))["warning"], told)
    assert not says(written(body.format("success", late))["warning"], told)
    assert not says(
        written(body.format(f"self.t == {length} + self.at[0] // 1", late))["warning"], told
    )


def test_no_time_limit_is_seen_where_failures_come_at_any_step():
    assert not says(examined(f"{TOYS}:Lava")["warning"], "that is a time limit")


BATCHES = {
    "single": "np.linalg.norm(a - d)",
    "last axis": "np.linalg.norm(a - d, axis=-1)",
    "batches only": "np.linalg.norm(a - d, axis=1)",
    "batches and their infos": "np.linalg.norm(a - d, axis=1) + 0 * len(info[0])",
}


@pytest.mark.parametrize("distance", BATCHES.values(), ids=list(BATCHES))
def test_a_compute_reward_may_take_pairs_or_batches(written, distance):
    found = written(
        "def step(self, action):\n"
        "    self.at = np.clip(self.at + action, -1, 1)\n"
        "    reward = -float(np.linalg.norm(self.at - self.goal) > 0.15)\n"
        "    return self.observation(), reward, False, False, {'is_success': reward == 0}\n"
        "def compute_reward(self, a, d, info):\n"
        f"    return -({distance} > 0.15).astype(np.float64)"
    )
    assert found["error"] == []
    assert says(found["note"], "at most 0.15, found by search")


def test_a_compute_reward_that_fails_matters_where_hem_asks_it(written):
    body = (
        "def step(self, action):\n"
        "    self.at = np.clip(self.at + action, -1, 1)\n"
        "    return self.observation(), 0.0, False, False, {}\n"
        "def compute_reward(self, a, d, info):\n"
        "    raise RuntimeError('no')"
    )
    found = written(body)
    assert says(found["error"], "in compute_reward: RuntimeError: no", "--threshold DISTANCE")
    assert len(found["error"]) == 1
    found = written(body, threshold=0.1)
    assert found["error"] == []
    assert says(found["note"], "does not use its compute_reward")
