"""What a policy file says of its policy: plain data, read by type, bounded before it is built."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from hem.envs.spaces.codec import Forms
from hem.envs.spaces.plain_data import SpaceData, build, describe, size
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.models.inputs import is_image
from hem.models.policy import PolicySpec
from hem.types import Box, Discrete, Spaces, Task

Positive = Annotated[int, msgspec.Meta(ge=1)]


class SpacesData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the policy is told, and what it answers."""

    observation: SpaceData
    desired_goal: SpaceData
    action: SpaceData


class NetworkData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the one leads to the other, as in ``PolicySpec``."""

    hidden_dims: tuple[Positive, ...]
    frames: Positive
    head: Literal["", "binned", "censored", "squashed"]
    bins: Annotated[int, msgspec.Meta(ge=0)]
    activation: Literal["relu", "tanh"]


class PolicyData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All but the arrays."""

    schema: int
    task: str
    version_hash: str
    spaces: SpacesData
    network: NetworkData


def describe_policy(schema: int, spec: PolicySpec, task: Task) -> PolicyData:
    """What is to be said of a policy for ``task``."""
    return PolicyData(
        schema=schema,
        task=task.name,
        version_hash=task.version_hash,
        spaces=SpacesData(*map(describe, spaces_of(task))),
        network=msgspec.convert(
            {name: getattr(spec, name) for name in NetworkData.__struct_fields__}, NetworkData
        ),
    )


def build_policy(data: PolicyData, arrays: dict[str, np.ndarray]) -> tuple[PolicySpec, Forms]:
    """What rebuilds the policy whose arrays these are.

    Raises:
        ValueError: there is no such policy, or it has more arrays or numbers than these; or
            another error, of Gymnasium's, about its spaces.
    """
    network, spaces = data.network, data.spaces
    numbers = sum(array.size for array in arrays.values())
    if sum(network.hidden_dims) + size(spaces.action) + network.bins > numbers:
        raise ValueError(f"it has more units than the file has numbers, {numbers}")
    forms = forms_of(
        Spaces(build(spaces.observation), build(spaces.desired_goal), build(spaces.action))
    )
    obs, goal, action = forms
    if network.head == "binned" and network.bins < 2:
        raise ValueError(f"{network.bins} bins are no choice")
    if obs.shape[-1] % network.frames or (network.frames > 1 and not is_image(obs.shape)):
        raise ValueError(f"an observation of shape {obs.shape} is not of {network.frames} frames")
    spec = PolicySpec(
        obs.shape,
        goal.shape,
        Discrete(action.n) if action.n else Box(action.low, action.high),
        network.hidden_dims,
        network.frames,
        network.head,
        network.bins,
        network.activation,
    )
    return spec, forms
