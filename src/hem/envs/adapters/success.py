"""When a goal counts as achieved: found on the environment, and made a function for hem.

hem judges success by goals alone, of millions of pairs of them, in NumPy and inside compiled
programs. An environment has ``compute_reward``, which is slow, judges one pair at a time, and may
grade. In this order:

1. what the user gives: a threshold, or a function in a file;
2. a threshold of the Euclidean distance, where ``compute_reward`` agrees with it: one that the
   environment has as an attribute, or one that is found on lines between goals;
3. ``compute_reward`` itself, if its rewards are of two values: row by row on the host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from hem.envs.adapters import env_errors, user_module
from hem.envs.adapters.env_id import EnvId
from hem.envs.adapters.threshold_search import GoalSamples, Reward, ThresholdSearch
from hem.envs.spaces.codec import Form, decode
from hem.errors import UserError, WorldError

Success = Callable[[Any, Any], Any]  # (achieved[*, G], goal[*, G]) -> bool[*]
ATTRIBUTES = ("distance_threshold", "goal_threshold", "success_threshold")
REMEDY = "say when a goal is achieved, with --threshold DISTANCE or --success FILE.py:FUNCTION"


class SuccessFn(NamedTuple):
    """A success function, and how it was come by."""

    success: Success
    how: str
    threshold: float | None = None  # where it is one of the distance
    on_host: bool = False
    rewards: tuple[float, float] | None = None  # where achieved and where not, if there are two
    given: bool = False  # by the user, who may mean another success than the environment does


def within(threshold: float, dimensions: int = 1) -> Success:
    """Success of goals of that many dimensions that are at most ``threshold`` apart."""
    axes, square = tuple(range(-dimensions, 0)), threshold**2

    def success(achieved: Any, goal: Any) -> Any:
        # In floats: bytes would wrap.
        apart = achieved.astype(np.float32) - goal.astype(np.float32)
        return (apart**2).sum(axes) <= square

    return success


def from_file(spec: str, form: Form) -> SuccessFn:
    """A user's function ``file.py:function``, tried on goals of this form.

    Raises:
        UserError: there is none, or it does not work on NumPy and JAX arrays alike.
    """
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py"):
        raise UserError(f"success must be FILE.py:FUNCTION, not {spec!r}")
    import jax  # noqa: PLC0415  which finding a threshold can do without

    origin = EnvId("file", path, name)
    shape = jax.ShapeDtypeStruct((3, *form.shape), form.dtype)
    try:
        function = user_module.member(user_module.load_file(path), name)
        said = np.asarray(function(*[np.zeros(shape.shape, form.dtype)] * 2))
        traced = jax.eval_shape(function, shape, shape)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"the success function {origin.short} fails: {env_errors.describe(error, origin)}; it "
            "must work on NumPy and JAX arrays, as ((achieved - goal) ** 2).sum(-1) < 0.01 does"
        ) from error
    if said.shape != (3,) or said.dtype != bool or (traced.shape, traced.dtype) != ((3,), bool):
        raise UserError(
            f"the success function {origin.short} returns {said.dtype}{list(said.shape)} for 3 "
            "pairs of goals: it must return bool[3], over the leading dimensions"
        )
    return SuccessFn(function, f"the function {origin.short}", given=True)


def find(origin: EnvId, evidence: GoalSamples, owner: Any, reward: Reward | None) -> SuccessFn:
    """The success function of an environment whose user gives none.

    Args:
        origin: whose.
        evidence: goals to try it on.
        owner: the object that may have a threshold as an attribute.
        reward: its ``compute_reward``, guarded, if it has one.

    Raises:
        UserError: none is found.
        WorldError: ``compute_reward`` failed.
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
                f"compute_reward of {origin.short} gives {miss:g} where "
                f"{env_errors.shown(goal)} is both achieved and desired, and {hit:g} for other "
                f"goals, so it does not say when one is achieved: {REMEDY}"
            )
        return SuccessFn(
            on_host(trial.reward, hit, miss, rank),
            f"the environment's own compute_reward, which gives {hit:g} where a goal is "
            "achieved (slower, as it is called for one pair of goals at a time)",
            on_host=True,
            rewards=rewards,
        )
    shown = ", ".join(f"{value:.4g}" for value in values[:3]) + (", ..." if values[3:] else "")
    raise UserError(
        f"the rewards of {origin.short} do not say when a goal is achieved (compute_reward gives "
        f"{shown}): {REMEDY}"
    )


def on_host(reward: Reward, hit: float, miss: float, rank: int) -> Success:
    """``compute_reward`` as a success function: a pair of goals at a time, on the host.

    In a compiled program it is called back from there; where nobody looks at the result, as in
    hEM's M-step, the compiler leaves the call out.
    """
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    middle = (hit + miss) / 2
    lock = threading.Lock()  # a callback comes from a thread of its own

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
    """``compute_reward`` on hem's form of goals, with an info that a step returned."""

    def reward(achieved: np.ndarray, goal: np.ndarray) -> float:
        return of_pair(compute, decode(form, achieved), decode(form, goal), info)

    return reward


def of_pair(compute: Callable[..., Any], achieved: Any, goal: Any, info: dict[str, Any]) -> float:
    """The reward of a pair of goals, asked for as a batch of one where a single one fails."""
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
    """The same, whose errors are one line."""

    def measured(achieved: np.ndarray, goal: np.ndarray) -> float:
        try:
            return reward(achieved, goal)
        except NotImplementedError as error:
            raise UserError(
                f"{origin.short} does not implement compute_reward: {REMEDY}"
            ) from error
        except (Exception, SystemExit) as error:
            raise WorldError(
                f"{origin.short} failed in compute_reward: {env_errors.describe(error, origin)}; "
                f"fix it, or {REMEDY}"
            ) from error

    return measured


def _candidates(trial: ThresholdSearch, owner: Any) -> Iterator[tuple[float, str]]:
    """Thresholds that might be meant, and how they were come by."""
    for place in (owner, getattr(owner, "task", None)):
        for name in ATTRIBUTES:
            value = getattr(place, name, None)
            if isinstance(value, (int, float, np.number)) and 0 < float(value) < np.inf:
                yield float(value), f"distance to the goal at most {value:g}, its {name}"
    if len(trial.values()) <= 2:
        found = trial.on_lines() if trial.evidence.form.is_real else trial.between_values()
        if found is not None:
            yield found, f"distance to the goal at most {found:g}, found by trying"
