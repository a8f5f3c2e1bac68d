"""Success functions: when a goal counts as achieved, inferred from the environment.

hem judges success from goals alone, for millions of pairs, in NumPy and inside compiled programs.
An environment has ``compute_reward``, which is slow, takes one pair at a time, and may return
graded rewards. hem uses, in this order:

1. what the user gives: a threshold, or a function in a file;
2. a threshold on the Euclidean distance, if ``compute_reward`` agrees with it: an attribute of the
   environment, or a value found by search on lines between goals;
3. ``compute_reward`` itself, if its rewards take two values: row by row on the host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from hem.envs.adapters import env_errors, user_module
from hem.envs.adapters.env_id import EnvId
from hem.envs.adapters.threshold_search import GoalSamples, Reward, ThresholdSearch
from hem.envs.spaces.codec import decode
from hem.envs.spaces.forms import Form
from hem.errors import EnvError, UserError

Success = Callable[[Any, Any], Any]  # (achieved[*, G], goal[*, G]) -> bool[*]
ATTRIBUTES = ("distance_threshold", "goal_threshold", "success_threshold")
REMEDY = "define success with --threshold DISTANCE or --success FILE.py:FUNCTION"


class SuccessFn(NamedTuple):
    """A success function, and how it was obtained."""

    success: Success
    how: str
    threshold: float | None = None  # if it is a distance threshold
    on_host: bool = False
    rewards: tuple[float, float] | None = None  # of success and of failure, if there are two
    given: bool = False  # by the user, whose definition may differ from the environment's


def within(threshold: float, dimensions: int = 1) -> Success:
    """Success for goals with this many axes that are at most ``threshold`` apart."""
    axes, square = tuple(range(-dimensions, 0)), threshold**2

    def success(achieved: Any, goal: Any) -> Any:
        # As floats: bytes would wrap.
        apart = achieved.astype(np.float32) - goal.astype(np.float32)
        return (apart**2).sum(axes) <= square

    return success


def from_file(spec: str, form: Form) -> SuccessFn:
    """A user's function ``file.py:function``, tested on goals of this form.

    Raises:
        UserError: it does not exist, or does not work with both NumPy and JAX arrays.
    """
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py"):
        raise UserError(f"success must be FILE.py:FUNCTION, not {spec!r}")
    import jax  # noqa: PLC0415  not needed to find a threshold

    origin = EnvId("file", path, name)
    shape = jax.ShapeDtypeStruct((3, *form.shape), form.dtype)
    try:
        function = user_module.function(user_module.load_file(path), name)
        said = np.asarray(function(*[np.zeros(shape.shape, form.dtype)] * 2))
        traced = jax.eval_shape(function, shape, shape)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"the success function {origin.short} fails: {env_errors.describe(error, origin)}; it "
            "must work with NumPy and JAX arrays, like ((achieved - goal) ** 2).sum(-1) < 0.01"
        ) from error
    if said.shape != (3,) or said.dtype != bool or (traced.shape, traced.dtype) != ((3,), bool):
        raise UserError(
            f"the success function {origin.short} returns {said.dtype}{list(said.shape)} for 3 "
            "pairs of goals: it must return bool[3], one value per pair"
        )
    return SuccessFn(function, f"the function {origin.short}", given=True)


def find(origin: EnvId, evidence: GoalSamples, owner: Any, reward: Reward | None) -> SuccessFn:
    """Infer the success function of an environment if the user gives none.

    Args:
        origin: the environment.
        evidence: goals to test it on.
        owner: the object that may have a threshold attribute.
        reward: its ``compute_reward``, guarded, if it has one.

    Raises:
        UserError: none was found.
        EnvError: ``compute_reward`` failed.
    """
    if reward is None:
        raise UserError(f"{origin.short} has no compute_reward: {REMEDY}")
    trial = ThresholdSearch(evidence, reward)
    rank = len(evidence.form.shape)
    values = trial.values()
    rewards = (values[0], values[1]) if len(values) == 2 else None
    for threshold, how in _candidates(trial, owner):
        if (count := trial.agrees(threshold)) > 0:
            said = f"{how}; compute_reward agrees on {count} pairs of goals"
            return SuccessFn(within(threshold, rank), said, threshold, rewards=rewards)
    if rewards is not None:
        hit, miss = rewards
        if (goal := trial.unrewarded()) is not None:
            raise UserError(
                f"compute_reward of {origin.short} returns {miss:g} if "
                f"{env_errors.shown(goal)} is both achieved and desired, and {hit:g} for other "
                f"goals, so it does not define success: {REMEDY}"
            )
        return SuccessFn(
            on_host(trial.reward, hit, miss, rank),
            f"the environment's own compute_reward, which returns {hit:g} if a goal is achieved "
            "(slower, as it is called for one pair of goals at a time)",
            on_host=True,
            rewards=rewards,
        )
    shown = ", ".join(f"{value:.4g}" for value in values[:3]) + (", ..." if values[3:] else "")
    raise UserError(
        f"the rewards of {origin.short} do not define success (compute_reward returns {shown}): "
        f"{REMEDY}"
    )


def on_host(reward: Reward, hit: float, miss: float, rank: int) -> Success:
    """``compute_reward`` as a success function: one pair of goals at a time, on the host.

    A compiled program uses a host callback; if the result is unused, as in hEM's M-step, the
    compiler removes the call.
    """
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    middle = (hit + miss) / 2
    lock = threading.Lock()  # callbacks run in other threads

    def judge(achieved: Any, goal: Any) -> np.ndarray:
        a, g = np.broadcast_arrays(np.asarray(achieved), np.asarray(goal))
        lead, shape = a.shape[: a.ndim - rank], a.shape[a.ndim - rank :]
        pairs = zip(a.reshape(-1, *shape), g.reshape(-1, *shape), strict=True)
        with lock:
            return np.array([reward(*p) >= middle for p in pairs], bool).reshape(lead)

    def success(achieved: Any, goal: Any) -> Any:
        if not isinstance(achieved, jax.Array) and not isinstance(goal, jax.Array):
            return judge(achieved, goal)
        whole = jnp.broadcast_shapes(jnp.shape(achieved), jnp.shape(goal))
        result = jax.ShapeDtypeStruct(whole[: len(whole) - rank], bool)
        return jax.pure_callback(judge, result, achieved, goal, vmap_method="expand_dims")

    return success


def reward_of(form: Form, compute: Callable[..., Any], info: dict[str, Any]) -> Reward:
    """``compute_reward`` on goals in hem's form, with an info from a step."""

    def reward(achieved: np.ndarray, goal: np.ndarray) -> float:
        return of_pair(compute, decode(form, achieved), decode(form, goal), info)

    return reward


def of_pair(compute: Callable[..., Any], achieved: Any, goal: Any, info: dict[str, Any]) -> float:
    """The reward of a pair of goals, computed as a batch of one if a single pair fails."""
    try:
        return float(np.asarray(compute(achieved, goal, info)).item())
    except NotImplementedError:
        raise
    except Exception as error:
        if isinstance(achieved, (dict, tuple)):
            raise
        try:
            batch = compute(np.asarray(achieved)[None], np.asarray(goal)[None], [info])
            return float(np.asarray(batch).item())
        except Exception:
            raise error from None


def guarded(origin: EnvId, reward: Reward) -> Reward:
    """The reward function with one-line errors."""

    def measured(achieved: np.ndarray, goal: np.ndarray) -> float:
        try:
            return reward(achieved, goal)
        except NotImplementedError as error:
            raise UserError(
                f"{origin.short} does not implement compute_reward: {REMEDY}"
            ) from error
        except (Exception, SystemExit) as error:
            raise EnvError(
                f"{origin.short} failed in compute_reward: {env_errors.describe(error, origin)}; "
                f"fix it, or {REMEDY}"
            ) from error

    return measured


def _candidates(trial: ThresholdSearch, owner: Any) -> Iterator[tuple[float, str]]:
    """Candidate thresholds, and how they were obtained."""
    for place in (owner, getattr(owner, "task", None)):
        for name in ATTRIBUTES:
            value = getattr(place, name, None)
            if isinstance(value, (int, float, np.number)) and 0 < float(value) < np.inf:
                yield float(value), f"distance to the goal at most {value:g}, its {name}"
    if len(trial.values()) <= 2:
        found = trial.on_lines() if trial.evidence.form.is_real else trial.between_values()
        if found is not None:
            yield found, f"distance to the goal at most {found:g}, found by search"
