"""A step of an optimizer. The loss it is taken on stands in each algorithm's own file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax


def minimize(
    optimizer: optax.GradientTransformation,
    loss: Callable[[Any], Any],
    params: Any,
    opt_state: optax.OptState,
    has_aux: bool = False,
) -> tuple[Any, optax.OptState, Any]:
    """One step down the gradient of ``loss``.

    Args:
        optimizer: such as ``optax.adam``.
        loss: of the parameters, f32[]; with ``has_aux`` a pair of that and of what else it found.
        params: where the step begins.
        opt_state: the optimizer's memory.
        has_aux: as ``jax.value_and_grad`` has it.

    Returns:
        new parameters, the optimizer's new memory, and what ``loss`` returned before the step.
    """
    value, gradient = jax.value_and_grad(loss, has_aux=has_aux)(params)
    updates, opt_state = optimizer.update(gradient, opt_state)
    return optax.apply_updates(params, updates), opt_state, value
