from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from running import LEARNER, untrained

from hem import api, registry
from hem.cli.main import main
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.runs.playback import END, PAUSE, frames, side_by_side
from hem.runs.run import Run
from hem.viz.grid import COLORS, EDGE, GAP, layout

BITS = 6
POINT = {"horizon": 12}
PICTURES = {"obs": "image", "image_size": 16}
FOREIGN = '''
import gymnasium
import numpy as np

ROOM = gymnasium.spaces.Box(-10, 10, (1,), np.float32)


class Walk(gymnasium.Env):
    """Walks on a line, to the right, and does not take a step too many."""

    observation_space = gymnasium.spaces.Dict(
        observation=ROOM, achieved_goal=ROOM, desired_goal=ROOM
    )
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.goal = 0.0, float(self.np_random.integers(1, 7))
        self.over = False
        return self.seen(), {}

    def step(self, action):
        assert not self.over
        self.x += 1
        hit = self.x == self.goal
        self.over = self.x == 5
        return self.seen(), float(hit), hit, self.over, {"is_success": hit}

    def compute_reward(self, achieved, desired, info):
        return np.float64(np.abs(np.subtract(achieved, desired)).max(-1) < 0.5)

    def render(self):
        return np.full((30, 40, 3), 20 * self.x, np.uint8)

    def seen(self):
        x, goal = (np.array([value], np.float32) for value in (self.x, self.goal))
        return {"observation": x, "achieved_goal": x, "desired_goal": goal}
'''


@pytest.fixture(scope="module")
def flip(tmp_path_factory) -> Path:
    return untrained(tmp_path_factory.mktemp("flip") / "run", "FlipBit", bits=BITS)


@pytest.fixture
def acts(monkeypatch) -> Callable:
    """Have this policy act instead of the one of the run; get what it is asked."""

    def put(policy: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> list[dict]:
        asked = []

        def act(keys: np.ndarray, obs: np.ndarray, goal: np.ndarray) -> np.ndarray:
            asked.append({"observation": np.array(obs), "desired_goal": np.array(goal)})
            return policy(obs, goal)

        actor = SimpleNamespace(act=act, require_fit=lambda task: None)
        monkeypatch.setattr(Run, "policy", actor)
        return asked

    return put


def flip_first_wrong(obs: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Right as long as the last bit is, which it never flips."""
    return np.argmax((obs != goal)[..., :-1], axis=-1).astype(np.int32)


def push_towards(obs: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Right unless there is a wall in between."""
    return np.clip(10 * (goal - obs[..., :2]) - obs[..., 2:], -1, 1).astype(np.float32)


def cells(film: list[np.ndarray], where: str) -> np.ndarray:
    """u8[tile, T, H, W, 3], tiles with their frames."""
    rows, columns, tiles = layout(where)
    whole = np.stack(film)[:, GAP:, GAP:]
    height, width = whole.shape[1] // rows, whole.shape[2] // columns
    parts = whole.reshape(len(film), rows, height, columns, width, 3).swapaxes(2, 3)
    return np.moveaxis(parts.reshape(len(film), rows * columns, height, width, 3), 0, 1)[
        :tiles, :, : height - GAP, : width - GAP
    ]


def standings(tile: np.ndarray) -> list[str]:
    """What the frame says, from image to image."""
    names = {color: name for name, color in COLORS.items()}
    return [names[tuple(image[0, 0].tolist())] for image in tile]


def test_tiles_run_together_freeze_when_they_end_and_say_how(flip, acts):
    asked = acts(flip_first_wrong)
    film = list(side_by_side(flip, layout("3x4"), seed=3))
    start, goal = asked[0]["observation"], asked[0]["desired_goal"]
    wrong = start != goal
    fails = wrong[:, -1]
    assert 0 < fails.sum() < 12
    # One frame before the first step, then one for each. An episode that is right at its start
    # is noticed when a step has made it wrong: it takes that back with the next.
    known = wrong.sum(axis=1)
    steps = np.where(fails, BITS, np.where(known == 0, 2, known))
    assert len(asked) == steps.max()
    assert all(len(seen["observation"]) == 12 for seen in asked)
    assert len(film) == 1 + steps.max() + END
    tiles = cells(film, "3x4")
    assert len(tiles) == 12
    for tile, last, failed in zip(tiles, steps, fails, strict=True):
        end = "failed" if failed else "reached"
        assert standings(tile) == ["running"] * last + [end] * (len(film) - last)
        assert (tile[last:] == tile[last]).all()
        for before, after in itertools.pairwise(tile[: last + 1]):
            assert (before != after).any()
    assert all(frame.shape == film[0].shape and frame.dtype == np.uint8 for frame in film)
    assert film[0].shape[1] <= 1280


def test_a_tile_shows_the_episode_that_a_film_of_its_own_shows(flip, acts):
    acts(flip_first_wrong)
    tiles = cells(list(side_by_side(flip, layout("1x3"), seed=5)), "1x3")
    assert tiles.shape[2] == 320 + 2 * EDGE  # not reduced
    for i, tile in enumerate(tiles):
        alone = list(frames(flip, episodes=1, seed=5 + i))
        steps = len(alone) - PAUSE - 1
        inside = tile[:, EDGE:-EDGE, EDGE:-EDGE]
        for t in range(steps):
            np.testing.assert_array_equal(inside[t], alone[t])
        assert standings(tile)[steps - 1 : steps + 1] in (
            ["running", "failed"],
            ["running", "reached"],
        )


def test_so_it_does_if_the_policy_samples_its_actions(tmp_path):
    run = untrained(tmp_path / "run", "FlipBit", bits=BITS, acting_temperature=1.0)
    tiles = cells(list(side_by_side(run, layout("1x3"), seed=5)), "1x3")
    for i, tile in enumerate(tiles):
        alone = list(frames(run, episodes=1, seed=5 + i))
        for t in range(len(alone) - PAUSE - 1):
            np.testing.assert_array_equal(tile[t, EDGE:-EDGE, EDGE:-EDGE], alone[t])
    again = cells(list(side_by_side(run, layout("1x3"), seed=5)), "1x3")
    np.testing.assert_array_equal(again, tiles)


def test_what_comes_after_success_is_left_out_on_request(tmp_path, acts):
    run = untrained(tmp_path / "run", "FlipBit", bits=BITS, terminates_on_success=False)
    acts(flip_first_wrong)
    for seed in range(3):
        whole = list(frames(run, episodes=1, seed=seed))[:-PAUSE]
        until = list(frames(run, episodes=1, seed=seed, stay=False))[:-PAUSE]
        assert len(whole) == BITS + 1
        assert len(until) < len(whole)
        np.testing.assert_array_equal(until, whole[: len(until)])


def test_equal_seeds_give_equal_frames_and_others_differ(flip):
    one, same, other = (list(side_by_side(flip, layout("2"), seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.stack(one), np.stack(same))
    assert (one[0] != other[0]).any()


def test_what_has_ended_is_not_simulated(tmp_path, acts, monkeypatch):
    with api.new_run(make_experiment("PointMass", **POINT, **LEARNER), tmp_path / "run") as run:
        pass
    acts(push_towards)
    module, stepped = registry.load("environment", "PointMass"), []
    made = module.make

    def counting(config):
        built = made(config)

        def step(state, action):
            stepped.append(len(action))
            return built.step(state, action)

        return built._replace(step=step)

    monkeypatch.setattr(module, "make", counting)
    film = list(side_by_side(run.folder, layout("8"), seed=0))
    tiles = [standings(tile) for tile in cells(film, "8")]
    assert {tile[-1] for tile in tiles} == {"reached", "failed"}
    wanted = [sum(tile[t] == "running" for tile in tiles) for t in range(len(stepped))]
    assert stepped == wanted
    assert stepped[0] == 8 > stepped[-1]
    assert len(film) == 1 + len(stepped) + END


@pytest.mark.parametrize("goal", ["state", "image"])
def test_a_policy_that_sees_pictures_is_told_goals_as_it_learnt_them(tmp_path, acts, goal):
    experiment = make_experiment("PointMass", goal=goal, **PICTURES, **POINT, **LEARNER)
    with api.new_run(experiment, tmp_path / "run") as run:
        pass
    asked = acts(lambda obs, goal_input: np.zeros((*obs.shape[:-3], 2), np.float32))
    next(film := side_by_side(run.folder, layout("3"), seed=4))
    next(film)
    built, _ = experiment.build()
    keys = [np.random.default_rng(4 + i).integers(2**32, size=2, dtype=np.uint32) for i in range(3)]
    state, goals = built.reset(np.stack(keys))
    np.testing.assert_array_equal(asked[0]["observation"], built.observe(state)[0])
    goal_input = built.render_goal(goals) if goal == "image" else goals
    np.testing.assert_array_equal(asked[0]["desired_goal"], goal_input)


def test_a_policy_with_pictures_for_goals_can_be_watched(tmp_path):
    run = untrained(tmp_path / "run", "PointMass", goal="image", **PICTURES, **POINT)
    alone = list(frames(run, episodes=1, seed=4))
    assert 2 + PAUSE <= len(alone) <= 13 + PAUSE
    tiles = cells(list(side_by_side(run, layout("1"), seed=4)), "1")
    np.testing.assert_array_equal(tiles[0, 0, EDGE:-EDGE, EDGE:-EDGE], alone[0])


def test_an_environment_of_few_slots_is_opened_as_often_as_it_takes(tmp_path, acts):
    (tmp_path / "walk.py").write_text(FOREIGN)
    env = f"{tmp_path / 'walk.py'}:Walk"
    run = untrained(tmp_path / "run", env, slots=2, env_workers=0, horizon=9)
    asked = acts(lambda obs, goal: np.zeros(obs.shape[:-1], np.int32))
    film = list(side_by_side(run, layout("5"), seed=0, trust=True))
    goals = np.concatenate([seen["desired_goal"] for seen in asked[:3]])[:, 0]
    assert len(goals) == 5
    assert 6 in goals  # which the environment ends too early
    tiles = cells(film, "5")
    for tile, goal in zip(tiles, goals.astype(int), strict=True):
        steps = min(goal, 5)
        end = "reached" if goal <= 5 else "failed"
        assert standings(tile) == ["running"] * steps + [end] * (len(film) - steps)
        middle = tile[:steps, EDGE + 15, EDGE + 20, 0]
        assert middle.tolist() == [20 * t for t in range(steps)]
    assert len(film) == 1 + min(goals.max(), 5) + END
    with pytest.raises(UserError, match="--trust"):
        next(side_by_side(run, layout("5")))


def test_what_is_done_grows_to_all(flip, acts):
    acts(lambda obs, goal: np.zeros(obs.shape[:-1], np.int32))
    for film in (
        lambda done: frames(flip, 3, done=done),
        lambda done: side_by_side(flip, layout("2x2"), done=done),
    ):
        shares: list[float] = []
        list(film(shares.append))
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert shares[0] > 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--grid", "0"], "grid must be"),
        (["--grid", "3by4"], "grid must be"),
        (["--grid", "2x2", "--episodes", "3"], "--episodes or --grid"),
        (["--grid", "2x2", "--seed=-1"], "seed must be at least 0"),
        (["--seed=-1"], "seed must be at least 0"),
        (["--episodes", "0"], "episodes must be at least 1"),
    ],
)
def test_bad_input_gets_one_line_and_no_video(flip, tmp_path, capsys, arguments, part):
    with pytest.raises(SystemExit) as ended:
        main(["play", str(flip), "--out", str(tmp_path / "a.gif"), *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert part in said
    assert len(said.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_the_command_writes_a_grid_and_says_nothing_more(flip, tmp_path, capsys):
    out = tmp_path / "grid.gif"
    main(["play", str(flip), "--grid", "2x3", "--out", str(out)])
    said = capsys.readouterr()
    assert said.out == f"Wrote {out}\n"
    assert said.err == ""
    with Image.open(out) as image:
        assert image.size == (3 * (320 + 2 * EDGE + GAP) + GAP, 2 * (320 + 2 * EDGE + GAP) + GAP)
        assert image.n_frames > 2


@pytest.mark.parametrize(
    ("env", "settings"),
    [("FlipBit", {"bits": BITS + 1}), ("Navigation", {}), ("FourRooms", {"encoding": "one-hot"})],
)
def test_the_policy_of_another_task_is_refused_in_a_line(flip, tmp_path, env, settings):
    run = untrained(tmp_path / "run", env, **settings)
    for file in ("policy.safetensors", "policy.json"):
        shutil.copy(flip / file, run / file)
    for use in (
        lambda: api.evaluate(run, episodes=2),
        lambda: list(frames(run, 1)),
        lambda: list(side_by_side(run, layout("2x2"))),
    ):
        with pytest.raises(UserError, match=rf"a policy for {env} [^\n]* has one for FlipBit .*$"):
            use()
