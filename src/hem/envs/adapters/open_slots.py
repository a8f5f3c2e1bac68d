"""The right kind of ``EnvSlots`` for a plan, in this process. No JAX here."""

from __future__ import annotations

import gymnasium

from hem.envs.adapters import env_errors
from hem.envs.adapters.env_id import EnvSpec
from hem.envs.adapters.env_slots import InProcessEnvs, make
from hem.envs.adapters.vector_env import VectorEnv


def make_env_slots(plan: EnvSpec) -> InProcessEnvs | VectorEnv:
    """Make an environment, in slots of the kind that suits it.

    Raises:
        UserError: it cannot be made, or hem does not support it.
    """
    with env_errors.attributed_to(plan.origin, "in its constructor"):
        if plan.origin.kind == "envpool":
            return VectorEnv(plan)
        env = make(plan)
        if isinstance(env, gymnasium.vector.VectorEnv):
            return VectorEnv(plan, env)
        return InProcessEnvs(plan, env)
