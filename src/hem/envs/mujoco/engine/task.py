"""Shared features of the MuJoCo tasks: state or image observations and goals, and videos.

A task defines what is specific to it (model, rules, sizes, cameras); ``build`` makes a
``BatchedEnv`` from it, with images rendered on all cores if requested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, Rules, State, batched_env
from hem.envs.mujoco.engine.camera import Mark, View, camera
from hem.envs.mujoco.engine.model import version_hash
from hem.envs.mujoco.engine.render_pool import render_pool
from hem.errors import require
from hem.system import validation
from hem.system.subprocesses import can_launch, usable_cores
from hem.types import BatchedEnv, Box, Task

SMALLEST, LARGEST = 16, 512  # pixels
GOAL_COLOR, ACHIEVED_COLOR = (0.9, 0.1, 0.1, 0.55), (0.1, 0.8, 0.2, 0.7)


@dataclass(frozen=True)
class MujocoOptions:
    """Settings shared by all MuJoCo tasks. A task's ``Config`` adds its own."""

    horizon: int = 50
    """Steps per episode."""
    terminates_on_success: bool = True
    """End the episode when the goal is reached, as in the paper."""
    obs: Literal["state", "image"] = "state"
    """Observations: state vectors or camera images."""
    goal: Literal["state", "image"] = "state"
    """Goals given to the policy: vectors, or images of the achieved goal."""
    image_size: int = 48
    """Height and width of the images, in pixels."""
    frames: int = 1
    """Number of most recent images that the policy sees; a single one does not show motion."""
    camera: str = ""
    """Name of a model camera for image observations; by default one chosen for the task."""

    def __post_init__(self) -> None:
        validation.sizes(self, "horizon", "frames")
        validation.one_of(("state", "image"), self, "obs", "goal")
        require(
            SMALLEST <= self.image_size <= LARGEST,
            f"image-size must be {SMALLEST} to {LARGEST} pixels, not {self.image_size}",
        )
        require(
            self.frames == 1 or self.obs == "image",
            "frames are stacked only with image observations: leave out --frames, or add --obs "
            "image",
        )
        if self.obs == "state":
            validation.unused("with --obs state", self, "image_size", "camera")
        require(
            self.goal == "state" or self.obs == "image",
            "--goal image requires image observations: add --obs image",
        )


class Cameras(NamedTuple):
    """Camera views, and how a goal is drawn."""

    obs_camera: View  # of image observations
    video_camera: View  # of videos
    hidden: tuple[str, ...]  # sites and geoms of the model that would reveal the goal
    point: Callable[[np.ndarray], np.ndarray]  # (goal[G]) -> f64[3], its position, m
    radius: float  # m, of the ball that marks the goal in videos: the success threshold


class TaskSpec(NamedTuple):
    """A task in numbers."""

    name: str
    obs_size: int  # O
    goal_size: int  # G
    action: Box
    success: Callable[[Any, Any], Any]  # (achieved[*, G], goal[*, G]) -> bool[*]
    achieved_at: tuple[int, ...]  # where an observation of the state holds the achieved goal


def within(threshold: float) -> Callable[[Any, Any], Any]:
    """Return success for goals that are points: at most ``threshold`` apart, in their unit."""
    return lambda achieved, goal: ((achieved - goal) ** 2).sum(-1) <= threshold**2


def build(
    task_spec: TaskSpec,
    options: MujocoOptions,
    model: Any,
    physics: Physics,
    rules: Rules,
    cameras: Cameras,
    film_size: int = 320,
) -> BatchedEnv:
    """Build the environment, with image observations and goals if ``options`` request them.

    Raises:
        UserError: the camera does not exist, or the task does not support image goals.
    """
    images = options.obs == "image"
    image_goals = options.goal == "image"
    require(
        not image_goals or rules.goal_state is not None,
        f"{task_spec.name} does not support image goals: leave out --goal image",
    )
    size = options.image_size
    task = Task(
        name=task_spec.name,
        obs_shape=(size, size, 3) if images else (task_spec.obs_size,),
        obs_dtype=np.dtype(np.uint8 if images else np.float32),
        goal_shape=(task_spec.goal_size,),
        goal_dtype=np.dtype(np.float32),
        action=task_spec.action,
        horizon=options.horizon,
        success=task_spec.success,
        terminates_on_success=options.terminates_on_success,
        version_hash=version_hash(model, physics.substeps),
        image_goals=image_goals,
        frames=options.frames,
        achieved_at=() if images else task_spec.achieved_at,
    )
    video_camera = camera(model, cameras.video_camera, film_size, film_size, cameras.hidden)

    def render(state: State, goal: np.ndarray) -> np.ndarray:
        _, achieved = rules.observe(State(*(x[None] for x in state)))
        wanted = Mark(cameras.point(goal), cameras.radius, GOAL_COLOR)
        reached = Mark(cameras.point(achieved[0]), 0.7 * cameras.radius, ACHIEVED_COLOR)
        return video_camera(state.physics, (wanted, reached))

    made = batched_env(task, physics, rules, render)
    if not images:
        return made
    processes = usable_cores() if can_launch() else 1
    render_batch = render_pool(
        model, options.camera or cameras.obs_camera, size, size, cameras.hidden, processes
    )

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        return render_batch(state.physics), rules.observe(state)[1]

    def show(goal: np.ndarray) -> np.ndarray:
        assert rules.goal_state is not None
        return render_batch(rules.goal_state(goal))

    return made._replace(observe=observe, render_goal=show if image_goals else None)
