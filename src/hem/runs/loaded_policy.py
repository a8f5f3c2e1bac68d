"""A policy out of its file, for use wherever its environment is."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import jax
import numpy as np

from hem.envs.spaces.batches import MismatchError, sizes
from hem.envs.spaces.codec import Forms, encode, encode_rows, to_environment
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.errors import UserError, require
from hem.models.distributions import ITSELF
from hem.models.policy import Policy, PolicyState
from hem.runs.policy_data import PolicyData
from hem.system.compile_cache import jit
from hem.types import Array, Task


class Seen(NamedTuple):
    """What ``predict`` was told, inside hem."""

    obs: np.ndarray  # [N, *O]
    goal: np.ndarray  # [N, *G]
    is_batch: bool


class LoadedPolicy:
    """A trained policy. Stateless: ``predict`` may be called from many threads."""

    def __init__(
        self, policy: Policy, state: PolicyState, forms: Forms, described: PolicyData
    ) -> None:
        self.policy = policy
        self.state = state
        self.forms = forms
        self.described = described
        self._greedy = jit(policy.greedy)
        self._sample = jit(lambda *args: policy.explore(*args, ITSELF))

    def predict(
        self,
        observation: dict[str, Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        seed: int | None = None,
    ) -> tuple[Any, Any]:
        """The action for what ``reset`` or ``step`` returned, or the actions for a batch.

        Args:
            observation: a dict with ``observation`` and ``desired_goal``, each in its space, or as
                a vector environment batches it: arrays [N, ...], in a dict's or tuple's parts.
                Other keys, such as ``achieved_goal``, are not looked at.
            state: returned as it is: policies here have no memory.
            episode_start: likewise not looked at. Both are for what calls Stable-Baselines3.
            deterministic: the likeliest action; else a sample of the policy.
            seed: of that sample; equal seeds give equal samples. None: new noise at each call.

        Returns:
            What ``step`` takes, an action in its space or a batch [N, ...] of them, and ``state``.

        Raises:
            UserError: a key is missing, or a value is in neither its space nor a batch of it.
        """
        seen = self._seen(observation)
        if deterministic:
            action = self.greedy(seen.obs, seen.goal)
        else:
            seed = secrets.randbits(32) if seed is None else seed
            require(
                isinstance(seed, (int, np.integer)) and 0 <= seed < 2**32,
                f"seed must be a whole number in [0, 2^32), or None, not {seed!r}",
            )
            keys = jax.random.split(jax.random.key(seed), len(seen.obs))
            action = np.asarray(self._sample(keys, self.state, seen.obs, seen.goal))
        return to_environment(self.forms.action, action if seen.is_batch else action[0]), state

    def greedy(self, obs: Array, goal: Array) -> np.ndarray:
        """The likeliest actions [N, *A] for [N, *O] and [N, *G], all as they are inside hem."""
        return np.asarray(self._greedy(self.state, obs, goal))

    def require_fit(self, task: Task) -> None:
        """Hold that this is a policy for ``task``, as one that was copied may not be.

        Raises:
            UserError: it is of another task, or of one that looks different.
        """
        own = _outline(self.described.task, self.forms, self.policy.spec.frames)
        asked = _outline(task.name, forms_of(spaces_of(task)), task.frames)
        require(
            own == asked,
            f"the run asks for {asked}, but its policy is of {own}: policy.safetensors is another "
            "run's, or the environment has changed; train again",
        )

    def _seen(self, observation: dict[str, Any]) -> Seen:
        for key in ("observation", "desired_goal"):
            require(
                isinstance(observation, dict) and key in observation,
                f"predict takes a dict with 'observation' and 'desired_goal'; {key!r} is missing",
            )
        values = [(form, observation[form.what]) for form in self.forms[:2]]
        try:
            held = set[int | None]().union(
                *(sizes(form.space, value, form.what) for form, value in values)
            )
            require(
                len(held) == 1 and held != {0},
                "predict takes one observation and one goal, or a batch one of each a row",
            )
            n = held.pop()
            if n is None:
                return Seen(*(encode(*each)[None] for each in values), is_batch=False)
            rows = np.arange(n)
            return Seen(*(encode_rows(*each, n, rows) for each in values), is_batch=True)
        except MismatchError as error:
            raise UserError(f"predict cannot use this: {error}") from error


def _outline(task: str, forms: Forms, frames: int) -> str:
    """What one policy must have in common with another to be put in its place."""
    obs, goal = (f"{form.dtype}{list(form.shape)}" for form in forms[:2])
    action = f"{forms.action.n} actions" if forms.action.n else f"actions in {forms.action.space}"
    seen = f"{obs} in {frames} frames" if frames > 1 else obs
    task = task.rpartition(":")[2]  # its file or module may have been moved
    return f"{task} (observations {seen}, goals {goal}, {' '.join(action.split())})"
