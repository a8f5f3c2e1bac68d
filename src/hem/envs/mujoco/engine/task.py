"""What all simulated tasks offer: state or images as observations and goals, and videos.

A task says what is particular to it (model, rules, sizes, where to look from); ``build`` makes a
``Simulator`` of that, with images taken by all cores where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from hem.envs.mujoco.engine.batched import Physics, Rules, State, simulator
from hem.envs.mujoco.engine.camera import Mark, View, camera
from hem.envs.mujoco.engine.model import version_hash
from hem.envs.mujoco.engine.render_pool import many
from hem.errors import require
from hem.system import validation
from hem.system.subprocesses import can_launch, usable_cores
from hem.types import Box, Simulator, Task

SMALLEST, LARGEST = 16, 512  # pixels
GOAL_COLOR, ACHIEVED_COLOR = (0.9, 0.1, 0.1, 0.55), (0.1, 0.8, 0.2, 0.7)


@dataclass(frozen=True)
class MujocoOptions:
    """Settings that every simulated task has. A task's ``Config`` adds its own."""

    horizon: int = 50
    """Steps in an episode."""
    terminates_on_success: bool = True
    """End the episode where the goal is reached, as in the paper."""
    obs: Literal["state", "image"] = "state"
    """What is observed: numbers, or a camera's image."""
    goal: Literal["state", "image"] = "state"
    """How the policy is told the goal: in numbers, or as an image of it fulfilled."""
    image_size: int = 48
    """Height and width of the images, in pixels."""
    frames: int = 1
    """Images that the policy sees at once, the latest ones: one does not show what moves."""
    camera: str = ""
    """A camera of the model that takes them; by default one that was chosen for the task."""

    def __post_init__(self) -> None:
        validation.sizes(self, "horizon", "frames")
        validation.one_of(("state", "image"), self, "obs", "goal")
        require(
            SMALLEST <= self.image_size <= LARGEST,
            f"image-size must be {SMALLEST} to {LARGEST} pixels, not {self.image_size}",
        )
        require(
            self.frames == 1 or self.obs == "image",
            "numbers tell how things move: leave out --frames, or give --obs image",
        )
        if self.obs == "state":
            validation.unused("with --obs state", self, "image_size", "camera")
        require(
            self.goal == "state" or self.obs == "image",
            "with --goal image the policy sees images: give --obs image too",
        )


class Cameras(NamedTuple):
    """Where to look from, and how a goal is drawn."""

    obs_camera: View  # of image observations
    video_camera: View  # of videos
    hidden: tuple[str, ...]  # sites and geoms of the model that would give the goal away
    point: Callable[[np.ndarray], np.ndarray]  # (goal[G]) -> f64[3], where it is, m
    radius: float  # m, of the ball that shows the goal in videos: how near counts as success


class TaskSpec(NamedTuple):
    """A task in numbers."""

    name: str
    obs_size: int  # O
    goal_size: int  # G
    action: Box
    success: Callable[[Any, Any], Any]  # (achieved[*, G], goal[*, G]) -> bool[*]


def within(threshold: float) -> Callable[[Any, Any], Any]:
    """Return the success of a goal that is a point: closer than ``threshold``, in its unit."""
    return lambda achieved, goal: ((achieved - goal) ** 2).sum(-1) <= threshold**2


def build(
    outline: TaskSpec,
    options: MujocoOptions,
    model: Any,
    physics: Physics,
    rules: Rules,
    scene: Cameras,
    film_size: int = 320,
) -> Simulator:
    """Join everything; with images for observations and goals where ``options`` want them.

    Raises:
        UserError: a camera that does not exist, or image goals in a task that cannot pose them.
    """
    pictures = options.obs == "image"
    image_goals = options.goal == "image"
    require(
        not image_goals or rules.fulfil is not None,
        f"{outline.name} cannot show what a goal looks like: leave out --goal image",
    )
    size = options.image_size
    task = Task(
        name=outline.name,
        obs_shape=(size, size, 3) if pictures else (outline.obs_size,),
        obs_dtype=np.dtype(np.uint8 if pictures else np.float32),
        goal_shape=(outline.goal_size,),
        goal_dtype=np.dtype(np.float32),
        action=outline.action,
        horizon=options.horizon,
        success=outline.success,
        terminates_on_success=options.terminates_on_success,
        version_hash=version_hash(model, physics.substeps),
        image_goals=image_goals,
        frames=options.frames,
    )
    video_camera = camera(model, scene.video_camera, film_size, film_size, scene.hidden)

    def draw(state: State, goal: np.ndarray) -> np.ndarray:
        _, achieved = rules.observe(State(*(x[None] for x in state)))
        wanted = Mark(scene.point(goal), scene.radius, GOAL_COLOR)
        reached = Mark(scene.point(achieved[0]), 0.7 * scene.radius, ACHIEVED_COLOR)
        return video_camera(state.physics, (wanted, reached))

    made = simulator(task, physics, rules, draw)
    if not pictures:
        return made
    processes = usable_cores() if can_launch() else 1
    shoot = many(model, options.camera or scene.obs_camera, size, size, scene.hidden, processes)

    def observe(state: State) -> tuple[np.ndarray, np.ndarray]:
        return shoot(state.physics), rules.observe(state)[1]

    def show(goal: np.ndarray) -> np.ndarray:
        assert rules.fulfil is not None
        return shoot(rules.fulfil(goal))

    return made._replace(observe=observe, render_goal=show if image_goals else None)
