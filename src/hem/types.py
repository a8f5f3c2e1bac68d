"""The records that flow through the library: every field with its shape.

Dimension letters: C replay capacity in episodes, N episodes collected together,
B batch, T horizon, O observation, G goal, A action. Time: t is the step of an action, k the
later time at which a goal was achieved, so achieved[t + 1] is what action[t] led to.

Data are NamedTuples of arrays, behavior is a NamedTuple of pure functions. Where randomness is
needed, a JAX key is the first argument and is consumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

if TYPE_CHECKING:
    from gymnasium import Space

Array = jax.Array | np.ndarray
Metrics = dict[str, jax.Array]


class Ratio(NamedTuple):
    """A metric of an update that is a ratio of means: of means over updates and workers.

    Where the denominator may be 0 in a single batch, the mean of its ratios would not exist.
    """

    numerator: jax.Array  # f32[]
    denominator: jax.Array  # f32[]


UpdateMetrics = Mapping[str, jax.Array | Ratio]


class Discrete(NamedTuple):
    """A choice among ``n`` actions; an action is an i32 scalar."""

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int32)


class Box(NamedTuple):
    """A continuous action, f32[A], with bounds per dimension, in the action's own units."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.low),)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)


class Spaces(NamedTuple):
    """The Gymnasium spaces of an environment."""

    observation: Space
    goal: Space
    action: Space


class Task(NamedTuple):
    """What learning needs to know about an environment.

    ``success(achieved[*, G], goal[*, G]) -> bool[*]`` is pure, works on NumPy and JAX arrays
    alike and broadcasts over leading dimensions. The reward of a step is the success of the state
    it leads to: r(s, a, g) = 1[success(achieved of next state, g)].
    """

    name: str
    obs_shape: tuple[int, ...]
    obs_dtype: np.dtype
    goal_shape: tuple[int, ...]
    goal_dtype: np.dtype
    action: Discrete | Box
    horizon: int
    success: Callable[[Any, Any], Any]
    terminates_on_success: bool
    version_hash: str  # changes when the environment's dynamics change: a model hash, or a version
    image_goals: bool = False  # the policy receives goals as images, like observations
    frames: int = 1  # number of stacked image observations that the policy sees
    spaces: Spaces | None = None  # of an environment whose values have another form inside hem
    achieved_at: tuple[int, ...] = ()  # where an observation holds the achieved goal; (): nowhere

    @property
    def policy_obs_shape(self) -> tuple[int, ...]:
        """The shape of the policy's observations: frames are stacked along the channel axis."""
        return (*self.obs_shape[:-1], self.frames * self.obs_shape[-1])

    @property
    def goal_input_shape(self) -> tuple[int, ...]:
        """The shape of a goal as the policy receives it."""
        return self.obs_shape if self.image_goals else self.goal_shape


class JaxEnv(NamedTuple):
    """An environment written in JAX: pure functions of one episode, mapped over many."""

    task: Task
    reset: Callable[[jax.Array], tuple[Any, jax.Array]]  # (key) -> state, goal[G]
    step: Callable[[jax.Array, Any, jax.Array], Any]  # (key, state, action[A]) -> state
    observe: Callable[[Any], tuple[jax.Array, jax.Array]]  # (state) -> obs[O], achieved[G]
    render: Callable[[Any, np.ndarray], np.ndarray]  # (state, goal[G]) -> u8[H, W, 3]


class Ending(NamedTuple):
    """Which of N episodes the environment itself has ended, and how."""

    terminated: np.ndarray  # bool[N]  in a final state: nothing follows the latest frame
    truncated: np.ndarray  # bool[N]   cut off: it could have continued
    lost: np.ndarray  # bool[N]        lost with the process that ran it

    @property
    def any(self) -> np.ndarray:
        """bool[N]: ended in any way."""
        return self.terminated | self.truncated | self.lost


class BatchedEnv(NamedTuple):
    """An environment behind batched host code: NumPy in and out, N episodes at once.

    ``state`` is a pytree of arrays with leading dimension N, so a subset of episodes is a subset
    of rows. ``render`` takes one episode's row of it. The last three fields are optional.
    """

    task: Task
    reset: Callable[[np.ndarray], tuple[Any, np.ndarray]]  # (key data u32[N, 2]) -> state, goal
    step: Callable[[Any, np.ndarray], Any]  # (state, action[N, A]) -> state
    observe: Callable[[Any], tuple[np.ndarray, np.ndarray]]  # (state) -> obs[N, O], achieved[N, G]
    render: Callable[[Any, np.ndarray], np.ndarray]  # (one state, goal[G]) -> u8[H, W, 3]
    render_goal: Callable[[np.ndarray], np.ndarray] | None = (
        None  # (goal[N, G]) -> its image, as obs
    )
    ending: Callable[[Any], Ending] | None = (
        None  # (state) -> what the environment itself has ended
    )
    max_num_envs: int | None = None  # the most episodes that can run at once; None: no limit


class Episodes(NamedTuple):
    """N whole episodes, padded to the horizon. Data past ``length`` are never read."""

    obs: Array  # [N, T+1, *O]
    achieved: Array  # [N, T+1, *G]
    goal: Array  # [N, *G]         the desired goal
    action: Array  # [N, T, *A]    as executed: after noise and clipping
    length: Array  # i32[N]        steps taken; 0 marks an episode to be dropped
    failed: Array  # bool[N]       the environment terminated it before its desired goal was reached
    goal_obs: Array | None = None  # [N, *O]  image of the desired goal, if goals are images


class Replay(NamedTuple):
    """The C latest episodes in a ring; ``head`` is the next slot, ``size`` the number filled.

    Demonstrations are in the first ``kept`` slots, which are never overwritten: the ring is what
    follows them.
    """

    data: Episodes  # [C, ...]
    head: Array  # i32
    size: Array  # i32
    kept: Array | None = None  # i32; None without demonstrations


class Index(NamedTuple):
    """B steps in the replay buffer: a slot, and the time t within its episode."""

    episode: Array  # i32[B]
    step: Array  # i32[B]


class Batch(NamedTuple):
    """B transitions with a goal each, as the M-step sees them.

    A transition is a step; with n-step returns, up to n of them.
    """

    obs: Array  # [B, *O]              as the policy sees it, with any stacked frames
    action: Array  # [B, *A]
    next_obs: Array  # [B, *O]         likewise
    goal: Array  # [B, *G]            desired or relabeled, as the policy receives it
    reward: Array  # f32[B]           1 for a step to where ``goal`` is achieved; discounted sum
    discount: Array  # f32[B]         0 where the relabeled episode ends, else gamma per step
    failed: Array  # bool[B]          the environment terminated its last step in failure
    weight: Array  # f32[B]           E-step weight; 1 for the paper's q
    steps_to_goal: Array  # i32[B]    k - t for relabeled goals, 0 for desired ones
    duration: Array  # f32[B]         steps from obs to next_obs, discounted; 1 for one step


class Algorithm(NamedTuple):
    """Pure functions over the algorithm's state S, whose field ``policy`` is the policy's state."""

    policy: Any  # hem.models.policy.Policy, the pure functions that act
    init: Callable[[jax.Array], Any]  # (key) -> S
    act: Callable[..., jax.Array]  # (keys[N], S, obs[N, *O], goal[N, *G], explore) -> action
    observe: Callable[[Any, Episodes], Any]  # (S, new episodes) -> S     running statistics
    e_step: Callable[[jax.Array, Any, Replay], Batch]  # where relabeling happens
    m_step: Callable[[jax.Array, Any, Batch], tuple[Any, UpdateMetrics]]


Strategy = Callable[[jax.Array, Replay, Index], Array]
"""(key, replay, index) -> goal_step i32[B]: for each step t, a time k of its episode whose achieved
goal becomes the relabeled goal; 0 < k <= length."""
