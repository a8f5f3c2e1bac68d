"""Policy files: what a run learned, without its optimizer and replay buffer.

``policy.safetensors`` holds the arrays and, in its header, the description that rebuilds the
policy and its environment's spaces; ``policy.json`` is a copy of that for human readers.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import jax
import msgspec
import numpy as np
from safetensors import safe_open

from hem.errors import UserError, require
from hem.models import policy as policies
from hem.models.policy import Policy, PolicyState
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.policy_data import PolicyData, build_policy, describe_policy
from hem.system.atomic_io import write_arrays, write_atomically, write_json
from hem.system.conversion import checked
from hem.system.parsing import AbsentError, open_file, parse_json
from hem.types import Task

SCHEMA = 3


def save_policy(folder: Path, policy: Policy, state: PolicyState, task: Task) -> None:
    """Write ``policy.safetensors`` and ``policy.json`` into ``folder``, atomically."""
    described = describe_policy(SCHEMA, policy.spec, task)
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    header = {"hem": msgspec.json.encode(described).decode()}
    write_atomically(folder / "policy.safetensors", lambda side: write_arrays(side, arrays, header))
    write_json(folder / "policy.json", msgspec.to_builtins(described))


@checked
def load_policy(path: str | Path) -> LoadedPolicy:
    """Load a policy from a run folder or a ``policy.safetensors``; no environment is needed.

    Raises:
        UserError: there is none, or the file is damaged, foreign, or from another hem version.
    """
    path = Path(path)
    file = path / "policy.safetensors" if path.is_dir() else path
    text, arrays = _contents(file)
    described = parse_json(text, PolicyData, str(file), SCHEMA)
    try:
        spec, forms = build_policy(described, arrays)
        policy = policies.make(spec)
        template = jax.eval_shape(policy.init, jax.random.key(0))
    except Exception as error:  # whatever an untrusted description leads to
        raise UserError(f"{file} does not describe a policy ({_said(error)})") from error
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {jax.tree_util.keystr(name): (leaf.shape, leaf.dtype) for name, leaf in leaves}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    require(wanted == found, f"{file} does not hold the arrays that it describes")
    finite = all(np.isfinite(array).all() for array in arrays.values())
    require(finite, f"{file} contains NaN or infinity")
    state = jax.tree.unflatten(structure, [arrays[name] for name in wanted])
    squares = [
        np.min(x, initial=0) for seen in (state.obs, state.goal) for x in (seen.seen, seen.m2)
    ]
    require(min(squares) >= 0, f"{file} contains a negative variance")
    return LoadedPolicy(policy, state, forms, described)


def _contents(file: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The raw description and the arrays."""
    try:
        with open_file(file), safe_open(file, framework="numpy") as stored:
            text = (stored.metadata() or {})["hem"]
            names = stored.keys()  # it is not a dict and cannot be iterated over
            return text, {name: stored.get_tensor(name) for name in names}
    except AbsentError as error:
        line = f"there is no policy at {file}: it is written at the first evaluation"
        raise UserError(line) from error
    except UserError:
        raise
    except Exception as error:  # likewise
        raise UserError(f"{file} is not a hem policy, or is damaged ({_said(error)})") from error


def _said(error: Exception) -> str:
    return shorten(repr(error), 200)
