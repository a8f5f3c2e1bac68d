"""One optimizer step. The loss is defined in each algorithm's own file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from hem.system import collectives


def minimize(
    optimizer: optax.GradientTransformation,
    loss: Callable[[Any], Any],
    params: Any,
    opt_state: optax.OptState,
    has_aux: bool = False,
) -> tuple[Any, optax.OptState, Any]:
    """One gradient step on ``loss``, with the mean gradient of all workers of the run.

    Args:
        optimizer: such as ``optax.adam``.
        loss: function of the parameters, f32[]; with ``has_aux``, a pair of that and other data.
        params: the current parameters.
        opt_state: the optimizer state.
        has_aux: as in ``jax.value_and_grad``.

    Returns:
        new parameters, the new optimizer state, and what ``loss`` returned before the step.
    """
    value, gradient = jax.value_and_grad(loss, has_aux=has_aux)(params)
    gradient = collectives.mean_in_update(gradient)
    updates, opt_state = optimizer.update(gradient, opt_state)
    return optax.apply_updates(params, updates), opt_state, value
