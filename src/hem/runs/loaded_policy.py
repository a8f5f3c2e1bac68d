"""A policy loaded from its file, for use wherever its environment is."""

from __future__ import annotations

import math
import secrets
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import msgspec
import numpy as np

from hem.envs.spaces.batches import MismatchError, sizes
from hem.envs.spaces.codec import encode, encode_rows, to_environment, value_of
from hem.envs.spaces.forms import Forms
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.errors import UserError, require
from hem.models import policy as policies
from hem.models.distributions import ITSELF
from hem.models.policy import Policy, PolicyState
from hem.runs.policy_data import PolicyData
from hem.system.compile_cache import jit
from hem.system.conversion import checked
from hem.types import Array, Task


class Seen(NamedTuple):
    """The input of ``predict``, in hem's own form."""

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
        self._act = jit(policy.act)
        self._greedy = jit(policy.greedy)
        self._sample = jit(lambda *args: policy.explore(*args, ITSELF))

    @checked
    def at_temperature(self, acting_temperature: float) -> LoadedPolicy:
        """The same policy, acting at another temperature.

        Args:
            acting_temperature: ``predict`` samples from pi^(1/acting_temperature) unless told
                otherwise; 0 for the most likely action.

        Raises:
            UserError: it is negative or not finite.
        """
        require(
            0 <= acting_temperature < math.inf,
            f"acting-temperature must be at least 0 and finite, not {acting_temperature}",
        )
        policy = policies.make(replace(self.policy.spec, temperature=float(acting_temperature)))
        network = msgspec.structs.replace(self.described.network, temperature=acting_temperature)
        described = msgspec.structs.replace(self.described, network=network)
        return LoadedPolicy(policy, self.state, self.forms, described)

    def predict(
        self,
        observation: dict[str, Any],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool | None = None,
        seed: int | None = None,
    ) -> tuple[Any, Any]:
        """The action for an observation from ``reset`` or ``step``, or the actions for a batch.

        Args:
            observation: a dict with ``observation``, ``achieved_goal`` and ``desired_goal``, each
                in its space, or batched as by a vector environment: arrays [N, ...], also inside
                dicts and tuples. Policies for hem's own environments, and for images, do not need
                ``achieved_goal``. Other keys are ignored.
            state: returned unchanged: policies here have no memory.
            episode_start: ignored. Both are for compatibility with Stable-Baselines3.
            deterministic: return the most likely action, or else sample from the policy. None: act
                as in its evaluation, by the most likely action unless it has a temperature.
            seed: seed of samples; equal seeds give equal samples. None: new noise at each call.

        Returns:
            An action for ``step``, in its space, or a batch [N, ...] of actions; and ``state``.

        Raises:
            UserError: a key is missing, or a value is neither in its space nor a batch from it.
        """
        seen = self._seen(observation)
        if deterministic or (deterministic is None and not self.policy.spec.temperature):
            action = self.greedy(seen.obs, seen.goal)
        else:
            seed = secrets.randbits(32) if seed is None else seed
            require(
                isinstance(seed, (int, np.integer)) and 0 <= seed < 2**32,
                f"seed must be an integer in [0, 2^32) or None, not {seed!r}",
            )
            keys = jax.random.split(jax.random.key(seed), len(seen.obs))
            sampled = self._act if deterministic is None else self._sample
            action = np.asarray(sampled(keys, self.state, seen.obs, seen.goal))
        return to_environment(self.forms.action, action if seen.is_batch else action[0]), state

    def greedy(self, obs: Array, goal: Array) -> np.ndarray:
        """The most likely actions [N, *A] for [N, *O] and [N, *G], all in hem's own form."""
        return np.asarray(self._greedy(self.state, obs, goal))

    def act(self, keys: Array, obs: Array, goal: Array) -> np.ndarray:
        """The actions [N, *A] as in its evaluation, likewise; samples, if any, are by ``keys``."""
        return np.asarray(self._act(keys, self.state, obs, goal))

    def require_fit(self, task: Task) -> None:
        """Require that this policy is for ``task``; a copied one may not be.

        Raises:
            UserError: it is for another task, or for one with other shapes or actions.
        """
        own = _outline(self.described.task, self.forms, self.policy.spec.frames)
        asked = _outline(task.name, forms_of(spaces_of(task)), task.frames)
        require(
            own == asked,
            f"the run needs a policy for {asked}, but has one for {own}: policy.safetensors is "
            "from another run, or the environment has changed; train again",
        )

    def _seen(self, observation: dict[str, Any]) -> Seen:
        parts = (*self.forms.obs.each, self.forms.goal)
        for part in parts:
            require(
                isinstance(observation, dict) and part.what in observation,
                f"predict takes a dict with {', '.join(repr(part.what) for part in parts)}; "
                f"{part.what!r} is missing",
            )
        values = [(form, value_of(form, observation)) for form in self.forms[:2]]
        try:
            held = set[int | None]().union(
                *(sizes(part.space, observation[part.what], part.what) for part in parts)
            )
            require(
                len(held) == 1 and held != {0},
                "predict takes one observation and one goal, or a batch with one of each per row",
            )
            n = held.pop()
            if n is None:
                return Seen(*(encode(*each)[None] for each in values), is_batch=False)
            rows = np.arange(n)
            return Seen(*(encode_rows(*each, n, rows) for each in values), is_batch=True)
        except MismatchError as error:
            raise UserError(f"predict cannot use this input: {error}") from error


def _outline(task: str, forms: Forms, frames: int) -> str:
    """What a policy must have in common with another to replace it."""
    obs, goal = (f"{form.dtype}{list(form.shape)}" for form in forms[:2])
    action = f"{forms.action.n} actions" if forms.action.n else f"actions in {forms.action.space}"
    seen = f"{obs} in {frames} frames" if frames > 1 else obs
    task = task.rpartition(":")[2]  # its file or module may have been moved
    return f"{task} (observations {seen}, goals {goal}, {' '.join(action.split())})"
