"""Policy files: what a run learnt, to be used without its environment, optimiser or replay.

``policy.safetensors`` holds the arrays and, in its header, the description that rebuilds the
policy; ``policy.json`` is a copy of that description for people.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from textwrap import shorten
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from hem import policy as policies
from hem.conversion import checked
from hem.errors import UserError, require
from hem.files import write_arrays, write_atomically, write_json
from hem.heads import Exploration
from hem.policy import Policy, PolicySpec, PolicyState
from hem.types import Box, Discrete, Task

SCHEMA = 1
OPTIONAL = ("frames", "head", "bins", "activation")  # files from before these have their defaults


def save_policy(folder: Path, policy: Policy, state: PolicyState, task: Task) -> None:
    """Write ``policy.safetensors`` and ``policy.json`` into ``folder``, atomically."""
    described = {
        "schema": SCHEMA,
        "task": task.name,
        "fingerprint": task.fingerprint,
        "obs_dtype": task.obs_dtype.name,
        "goal_dtype": task.goal_dtype.name,
        "policy": dataclasses.asdict(policy.spec) | {"action": _action_json(policy.spec.action)},
    }
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    header = {"hem": json.dumps(described)}
    write_atomically(folder / "policy.safetensors", lambda side: write_arrays(side, arrays, header))
    write_json(folder / "policy.json", described)


class LoadedPolicy:
    """A trained policy. Stateless: ``predict`` may be called from many threads."""

    def __init__(self, policy: Policy, state: PolicyState, described: dict[str, Any]) -> None:
        self.policy = policy
        self.state = state
        self.described = described
        self._greedy = jax.jit(policy.greedy)
        self._sample = jax.jit(
            lambda *args: policy.explore(*args, Exploration(noise=0.0, temperature=1.0))
        )

    def predict(
        self, obs: dict[str, Any], deterministic: bool = True, seed: int = 0
    ) -> tuple[np.ndarray, None]:
        """The action for a goal observation, or the actions for a batch of them.

        Args:
            obs: a dict with ``observation`` [*O] or [N, *O] and ``desired_goal`` [*G] or [N, *G];
                other keys, such as ``achieved_goal``, are not looked at.
            deterministic: the likeliest action; else a sample of the policy.
            seed: of that sample; equal seeds give equal samples.

        Returns:
            The action [*A] or [N, *A], in the environment's units, and ``None`` (the state of a
            recurrent policy in Stable-Baselines3's interface).

        Raises:
            UserError: a key is missing, a shape is wrong, or a number is not finite.
        """
        spec = self.policy.spec
        observation = _checked(obs, "observation", spec.obs_shape)
        goal = _checked(obs, "desired_goal", spec.goal_shape)
        single = observation.ndim == len(spec.obs_shape)
        require(
            single == (goal.ndim == len(spec.goal_shape))
            and (single or len(observation) == len(goal)),
            "predict takes one observation and one goal, or a batch one of each a row",
        )
        if single:
            observation, goal = observation[None], goal[None]
        if deterministic:
            action = self._greedy(self.state, observation, goal)
        else:
            keys = jax.random.split(jax.random.key(seed), len(observation))
            action = self._sample(keys, self.state, observation, goal)
        action = np.asarray(action)
        return (action[0] if single else action), None


@checked
def load_policy(path: str | Path) -> LoadedPolicy:
    """Load a policy from a run folder or a ``policy.safetensors``; no environment is needed.

    Raises:
        UserError: there is none, or the file is damaged, foreign, or of a newer hem.
    """
    path = Path(path)
    file = path / "policy.safetensors" if path.is_dir() else path
    require(file.exists(), f"there is no policy at {file}: it appears at the first evaluation")
    try:
        with safe_open(file, framework="numpy") as stored:
            described = dict(json.loads((stored.metadata() or {})["hem"]))
            names = stored.keys()  # it is no dict, and cannot be iterated over
            arrays = {name: stored.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no policy of hem, or is damaged ({error!r})") from error
    require(
        described.get("schema") == SCHEMA,
        f"{file} has policy schema {described.get('schema')}, this hem reads {SCHEMA}: upgrade hem",
    )
    try:
        policy = policies.make(_spec(described["policy"]))
        template = jax.eval_shape(policy.init, jax.random.key(0))
    except Exception as error:  # whatever a stranger's words lead to
        said = shorten(repr(error), 200)
        raise UserError(f"{file} does not describe a policy ({said})") from error
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {jax.tree_util.keystr(name): (leaf.shape, leaf.dtype) for name, leaf in leaves}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    require(wanted == found, f"{file} does not hold the arrays that it describes")
    finite = all(np.isfinite(array).all() for array in arrays.values())
    require(finite, f"{file} holds a NaN or an infinity")
    state = jax.tree.unflatten(structure, [arrays[name] for name in wanted])
    return LoadedPolicy(policy, state, described)


def _checked(obs: dict[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    require(
        isinstance(obs, dict) and key in obs,
        f"predict takes a dict with 'observation' and 'desired_goal'; {key!r} is missing",
    )
    value = np.asarray(obs[key])
    require(
        value.shape == shape or value.shape[1:] == shape,
        f"{key} has shape {value.shape}, but the policy wants {shape} or (N, *{shape})",
    )
    require(bool(np.isfinite(value).all()), f"{key} holds a NaN or an infinity")
    return value


def _action_json(action: Discrete | Box) -> dict[str, Any]:
    kind = "discrete" if isinstance(action, Discrete) else "box"
    return {"kind": kind, **action._asdict()}


def _spec(described: dict[str, Any]) -> PolicySpec:
    optional = {name: described[name] for name in OPTIONAL if name in described}
    return PolicySpec(
        obs_shape=tuple(described["obs_shape"]),
        goal_shape=tuple(described["goal_shape"]),
        action=_action(described["action"]),
        hidden=tuple(described["hidden"]),
        **optional,
    )


def _action(described: dict[str, Any]) -> Discrete | Box:
    if described["kind"] == "discrete":
        return Discrete(int(described["n"]))
    if described["kind"] != "box":
        raise ValueError(f"an action of kind {described['kind']!r}")
    low, high = (np.array(described[end], np.float64) for end in ("low", "high"))
    if not (np.isfinite([low, high]).all() and (low < high).all()):
        raise ValueError("the bounds of the action are none")
    return Box(tuple(low.tolist()), tuple(high.tolist()))
