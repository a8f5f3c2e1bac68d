"""The right kind of stage for a plan, in this process. No JAX here."""

from __future__ import annotations

import gymnasium

from hem.envs.gymnasium import failure
from hem.envs.gymnasium.source import Plan
from hem.envs.gymnasium.stage import Local, make
from hem.envs.gymnasium.vector import Vector


def open_stage(plan: Plan) -> Local | Vector:
    """Make an environment, and the stage that suits it.

    Raises:
        UserError: it cannot be made, or hem cannot use it.
    """
    with failure.told(plan.origin, "in its constructor"):
        if plan.origin.kind == "envpool":
            return Vector(plan)
        env = make(plan)
        if isinstance(env, gymnasium.vector.VectorEnv):
            return Vector(plan, env)
        return Local(plan, env)
