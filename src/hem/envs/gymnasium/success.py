"""When a goal counts as achieved: found on the environment, and made a function for hem.

hem judges success by goals alone, of millions of pairs of them, in NumPy and inside compiled
programs. An environment has ``compute_reward``, which is slow, judges one pair at a time, and may
grade. In this order:

1. what the user gives: a threshold, or a function in a file;
2. a threshold of the Euclidean distance, where ``compute_reward`` agrees with it: one that the
   environment has as an attribute, or one that is found on lines between goals;
3. ``compute_reward`` itself, if its rewards are of two values: row by row on the host.

A threshold is tried on several hundred pairs: met in random episodes, equal ones, and ones about as
far apart as the threshold. Pairs whose distance single precision cannot tell from it do not count.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs.gymnasium import failure, source
from hem.envs.gymnasium.source import Origin
from hem.envs.gymnasium.spaces import Form, decode
from hem.errors import UserError

Success = Callable[[Any, Any], Any]  # (achieved[*, G], goal[*, G]) -> bool[*]
Reward = Callable[[np.ndarray, np.ndarray], float]  # (achieved[G], goal[G]) -> reward
ATTRIBUTES = ("distance_threshold", "goal_threshold", "success_threshold")
REMEDY = "say when a goal is achieved, with --threshold DISTANCE or --success FILE.py:FUNCTION"


class Evidence(NamedTuple):
    """Goals that were met in random episodes: M of them, inside hem."""

    form: Form
    achieved: np.ndarray  # [M, *G]
    desired: np.ndarray  # [M, *G]


class Verdict(NamedTuple):
    """A success function, and how it was come by."""

    success: Success
    how: str
    threshold: float | None = None  # where it is one of the distance
    on_host: bool = False


def within(threshold: float, dimensions: int = 1) -> Success:
    """Success of goals of that many dimensions that are at most ``threshold`` apart."""
    axes, square = tuple(range(-dimensions, 0)), threshold**2

    def success(achieved: Any, goal: Any) -> Any:
        # In floats: bytes would wrap.
        apart = achieved.astype(np.float32) - goal.astype(np.float32)
        return (apart**2).sum(axes) <= square

    return success


def from_file(spec: str, form: Form) -> Verdict:
    """A user's function ``file.py:function``, tried on goals of this form.

    Raises:
        UserError: there is none, or it does not work on NumPy and JAX arrays alike.
    """
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py"):
        raise UserError(f"success must be FILE.py:FUNCTION, not {spec!r}")
    origin = Origin("file", path, name)
    shape = jax.ShapeDtypeStruct((3, *form.shape), form.dtype)
    try:
        function = source.member(path, name)
        said = np.asarray(function(*[np.zeros(shape.shape, form.dtype)] * 2))
        traced = jax.eval_shape(function, shape, shape)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the success function {origin.short} fails: {failure.describe(error, origin)}; it "
            "must work on NumPy and JAX arrays, as ((achieved - goal) ** 2).sum(-1) < 0.01 does"
        ) from error
    if said.shape != (3,) or said.dtype != bool or (traced.shape, traced.dtype) != ((3,), bool):
        raise UserError(
            f"the success function {origin.short} returns {said.dtype}{list(said.shape)} for 3 "
            "pairs of goals: it must return bool[3], over the leading dimensions"
        )
    return Verdict(function, f"the function {origin.short}")


def find(origin: Origin, evidence: Evidence, owner: Any, reward: Reward | None) -> Verdict:
    """The success function of an environment whose user gives none.

    Args:
        origin: whose.
        evidence: goals to try it on.
        owner: the object that may have a threshold as an attribute.
        reward: its ``compute_reward``, if it has one.

    Raises:
        UserError: none is found.
        WorldError: ``compute_reward`` failed.
    """
    if reward is None:
        raise UserError(f"{origin.short} has no compute_reward: {REMEDY}")
    trial = _Trial(evidence, _guarded(origin, reward))
    rank = len(evidence.form.shape)
    for threshold, how in _candidates(trial, owner):
        if (count := trial.agrees(threshold)) > 0:
            said = f"{how}; compute_reward agrees on {count} pairs of goals"
            return Verdict(within(threshold, rank), said, threshold)
    values = trial.values()
    if len(values) == 2:
        hit = trial.hit()
        if hit in values:
            other = next(value for value in values if value != hit)
            return Verdict(
                on_host(trial.reward, hit, other, rank),
                f"the environment's own compute_reward, which gives {hit:g} where a goal is "
                "achieved (slower, as it is called for one pair of goals at a time)",
                on_host=True,
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
    middle = (hit + miss) / 2
    achieves = operator.ge if hit > miss else operator.le
    lock = threading.Lock()  # a callback comes from a thread of its own

    def judge(achieved: Any, goal: Any) -> np.ndarray:
        a, g = np.broadcast_arrays(np.asarray(achieved), np.asarray(goal))
        lead, shape = a.shape[: a.ndim - rank], a.shape[a.ndim - rank :]
        pairs = zip(a.reshape(-1, *shape), g.reshape(-1, *shape), strict=True)
        with lock:
            return np.array([achieves(reward(*p), middle) for p in pairs], bool).reshape(lead)

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
        return float(np.asarray(compute(decode(form, achieved), decode(form, goal), info)).item())

    return reward


def _guarded(origin: Origin, reward: Reward) -> Reward:
    """The same, whose errors are one line."""

    def guarded(achieved: np.ndarray, goal: np.ndarray) -> float:
        try:
            return reward(achieved, goal)
        except NotImplementedError as error:
            raise UserError(
                f"{origin.short} does not implement compute_reward: {REMEDY}"
            ) from error
        except Exception as error:
            raise failure.failed(origin, "in compute_reward", error) from error

    return guarded


def _candidates(trial: _Trial, owner: Any) -> Iterator[tuple[float, str]]:
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


class _Trial:
    """Rewards of pairs of goals, asked for as they are needed."""

    LINES, HALVINGS, DOUBLINGS = 12, 40, 60

    def __init__(self, evidence: Evidence, reward: Reward) -> None:
        self.evidence, self.reward = evidence, reward
        self._rng = np.random.default_rng(0)
        self._met = self._meetings()
        self._rewards = self._of(*self._met)

    def values(self) -> list[float]:
        """The different rewards, the highest first."""
        return sorted({*map(float, self._rewards)}, reverse=True)

    def hit(self) -> float:
        """The reward where both goals are the same."""
        goal = self.evidence.desired[0]
        return self.reward(goal, goal)

    def agrees(self, threshold: float) -> int:
        """Number of pairs by which rewards and the threshold agree; 0 if some do not.

        They agree if no pair that is farther apart is rewarded as much as one that is closer.
        """
        a, g = self._met
        rewards = self._rewards
        if self.evidence.form.is_real:
            more = self._jitters(threshold)
            a, g = np.concatenate([a, more[0]]), np.concatenate([g, more[1]])
            rewards = np.concatenate([rewards, self._of(*more)])
        distance = _distance(a, g)
        # What single precision and two ways to add leave of a distance.
        blur = 1e-4 * threshold + 8 * np.finfo(np.float32).eps * np.abs(g).max()
        clear = np.abs(distance - threshold) > blur
        near, rewards = distance[clear] <= threshold, rewards[clear]
        if not near.any() or near.all():
            return 0
        return int(clear.sum()) if rewards[near].min() > rewards[~near].max() else 0

    def on_lines(self) -> float | None:
        """The distance at which the reward changes on every line, if there is one."""
        goals = np.concatenate([self.evidence.desired, self.evidence.achieved])
        scale = float(np.median(_distance(goals, np.roll(goals, 1, axis=0)))) or 1.0
        found = []
        for line in range(self.LINES):
            start = goals[self._rng.integers(len(goals))].astype(np.float64)
            other = goals[self._rng.integers(len(goals))]
            way = other - start if line % 2 else self._rng.normal(size=start.shape)
            length = np.linalg.norm(way)
            if length > 0:
                edge = self._edge(start, way / length, scale)
                if edge is None:
                    return None
                found.append(edge)
        if not found:
            return None
        middle = float(np.median(found))
        blur = 1e-4 * middle + 1e-6 * float(np.abs(goals).max())
        return _shortest(middle, blur) if np.abs(np.array(found) - middle).max() <= blur else None

    def between_values(self) -> float | None:
        """A distance between those of pairs that are rewarded and those that are not."""
        rewarded = self._rewards >= self.hit()
        distance = _distance(*self._met)
        if rewarded.all() or not rewarded.any():
            return None
        last, first = float(distance[rewarded].max()), float(distance[~rewarded].min())
        return _shortest((last + first) / 2, (first - last) / 4) if last < first else None

    def _edge(self, start: np.ndarray, way: np.ndarray, scale: float) -> float | None:
        goal = start.astype(np.float32)
        hit = self.reward(goal, goal)

        def reached(far: float) -> bool:
            return self.reward((start + far * way).astype(np.float32), goal) == hit

        low, high = 0.0, scale
        for _ in range(self.DOUBLINGS):
            if not reached(high):
                break
            low, high = high, 2 * high
        else:
            return None
        for _ in range(self.HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if reached(middle) else (low, middle)
        return (low + high) / 2

    def _meetings(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs that were met, or are of goals that were; equal pairs among them."""
        _, achieved, desired = self.evidence
        n = 150
        some, others, wanted = (self._rng.integers(len(x), size=n)
                                for x in (achieved, achieved, desired))  # fmt: skip
        pairs = [
            (achieved[:n], desired[:n]),
            (achieved[some], achieved[others]),
            (achieved[some], desired[wanted]),
            (desired[wanted], desired[wanted]),
            (achieved[some], achieved[some]),
        ]
        if not self.evidence.form.is_real:
            pairs.append(self._drawn(2 * n))
        a, g = zip(*pairs, strict=True)
        return np.concatenate(a), np.concatenate(g)

    def _drawn(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of whole-numbered goals: neighbours of those met."""
        form, desired = self.evidence.form, self.evidence.desired
        goal = desired[self._rng.integers(len(desired), size=n)]
        if form.dtype == np.int8 or form.dtype == np.uint8:
            return desired[self._rng.integers(len(desired), size=n)], goal
        step = self._rng.integers(-2, 3, size=goal.shape)
        return goal + step.astype(goal.dtype), goal

    def _jitters(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of goals about as far apart as the threshold, in any direction."""
        desired = self.evidence.desired
        goal = desired[self._rng.integers(len(desired), size=300)].astype(np.float64)
        way = self._rng.normal(size=goal.shape)
        way[::3] = np.eye(goal.shape[1])[self._rng.integers(goal.shape[1], size=len(way[::3]))]
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        far = threshold * self._rng.choice([0.3, 0.9, 0.99, 1.01, 1.1, 3.0], size=(len(goal), 1))
        return (goal + far * way).astype(np.float32), goal.astype(np.float32)

    def _of(self, achieved: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return np.array([self.reward(*pair) for pair in zip(achieved, goal, strict=True)])


def _distance(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Euclidean, of each pair, f64[N]."""
    apart = a.astype(np.float64) - g.astype(np.float64)
    return np.sqrt((apart.reshape(len(a), -1) ** 2).sum(1))


def _shortest(value: float, blur: float) -> float:
    """The number with the fewest digits within ``blur`` of ``value``."""
    for digits in range(1, 17):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= blur:
            return rounded
    return value
