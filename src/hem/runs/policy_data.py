"""How a policy file describes its policy: plain data, type-checked and bounded before use."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from hem.envs.spaces.forms import Forms
from hem.envs.spaces.plain_data import SpaceData, build, describe, size
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.models.inputs import is_image
from hem.models.networks import Encoder
from hem.models.policy import PolicySpec
from hem.types import Box, Discrete, Spaces, Task

Positive = Annotated[int, msgspec.Meta(ge=1)]


class SpacesData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The policy's inputs and its output."""

    observation: SpaceData
    desired_goal: SpaceData
    action: SpaceData


class NetworkData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network between them, as in ``PolicySpec``."""

    hidden_dims: tuple[Positive, ...]
    frames: Positive
    head: Literal["", "binned", "censored", "squashed"]
    bins: Annotated[int, msgspec.Meta(ge=0)]
    activation: Literal["relu", "tanh"]
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # older files lack this, and the next
    achieved_at: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()
    encoder: Encoder = "cnn"


class PolicyData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything but the arrays."""

    schema: int
    task: str
    version_hash: str
    spaces: SpacesData
    network: NetworkData
    horizon: Positive | None = None  # None: the file is from before it was recorded


def describe_policy(schema: int, spec: PolicySpec, task: Task) -> PolicyData:
    """The description of a policy for ``task``."""
    return PolicyData(
        schema=schema,
        task=task.name,
        version_hash=task.version_hash,
        spaces=SpacesData(*map(describe, spaces_of(task))),
        network=msgspec.convert(
            {name: getattr(spec, name) for name in NetworkData.__struct_fields__}, NetworkData
        ),
        horizon=task.horizon,
    )


def build_policy(data: PolicyData, arrays: dict[str, np.ndarray]) -> tuple[PolicySpec, Forms]:
    """What rebuilds the policy with these arrays.

    Raises:
        ValueError: no such policy exists, or it has more arrays or numbers than these. Gymnasium
            may raise other errors about its spaces.
    """
    network, spaces = data.network, data.spaces
    numbers = sum(array.size for array in arrays.values())
    if sum(network.hidden_dims) + size(spaces.action) + network.bins > numbers:
        raise ValueError(f"it has more units than the file has numbers ({numbers})")
    forms = forms_of(
        Spaces(build(spaces.observation), build(spaces.desired_goal), build(spaces.action))
    )
    obs, goal, action = forms
    if network.head == "binned" and network.bins < 2:
        raise ValueError(f"{network.bins} bins are too few")
    if obs.shape[-1] % network.frames or (network.frames > 1 and not is_image(obs.shape)):
        raise ValueError(f"an observation of shape {obs.shape} is not {network.frames} frames")
    where = network.achieved_at
    if where and not (len(obs.shape) == 1 and len(goal.shape) == 1 and len(where) == goal.shape[0]):
        raise ValueError(f"a goal of shape {goal.shape} cannot be relative to {len(where)} numbers")
    if max(where, default=0) >= obs.shape[-1]:
        raise ValueError(f"an observation of {obs.shape[-1]} numbers has no number {max(where)}")
    spec = PolicySpec(
        obs.shape,
        goal.shape,
        Discrete(action.n) if action.n else Box(action.low, action.high),
        network.hidden_dims,
        network.frames,
        network.head,
        network.bins,
        network.activation,
        network.temperature,
        network.achieved_at,
        network.encoder,
    )
    return spec, forms
