"""From episodes of a task to a Minari dataset: complete or absent.

Values are in the environment's own spaces. The reward of a step is hem's, 1 for success and else 0,
as is ``infos["success"]``, which begins with that of the first frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from hem.demos import library
from hem.demos.reading import require_readable
from hem.envs.spaces.codec import decode, to_environment
from hem.envs.spaces.forms import Form, Forms
from hem.envs.spaces.task_spaces import forms_of, spaces_of
from hem.errors import UserError, one_line, require
from hem.system.atomic_io import side_folder, sync
from hem.types import Episodes, Task

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec
    from minari.data_collector import EpisodeBuffer


def check_name(name: str) -> Path:
    """The folder of a new dataset.

    Raises:
        UserError: the name is not one that Minari takes, or is taken.
    """
    from minari.dataset.minari_dataset import parse_dataset_id  # noqa: PLC0415

    try:
        parse_dataset_id(name)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{name!r} cannot name a Minari dataset: use letters, digits, - and _, with a version, "
            "as in push/demo-v0"
        ) from error
    folder = library.root() / name
    require(not folder.exists(), f"there is already a Minari dataset {name}: use another version")
    for parent in folder.relative_to(library.root()).parents:
        inside = (library.root() / parent / "data").exists()
        require(not inside, f"{parent} is a Minari dataset, which cannot hold another one")
    return folder


def write(
    name: str, episodes: Episodes, task: Task, spec: EnvSpec | None, about: dict[str, Any]
) -> Path:
    """Write episodes as a new local dataset, and return its folder.

    Args:
        name: such as push/demo-v0.
        episodes: N > 0 of them.
        task: what they are of.
        spec: how Gymnasium makes the environment, if it can.
        about: further metadata, plain data.

    Raises:
        UserError: the name is unsuitable or taken, the spaces are not those of a dataset, or the
            disk is full.
    """
    require_readable(task)
    folder = check_name(name)
    forms = forms_of(spaces_of(task))
    arrays = jax.tree.map(np.asarray, episodes)
    buffers = [
        _buffer(jax.tree.map(lambda x, row=row: x[row], arrays), task, forms)
        for row in range(len(arrays.length))
    ]
    try:
        with side_folder(library.root() / name.replace("/", "-")) as side:
            (side / "whole").mkdir()
            _fill(side / "whole" / "data", name, buffers, forms, spec, about)
            folder.parent.mkdir(parents=True, exist_ok=True)
            (side / "whole").rename(folder)  # fails if another process was faster
            sync(folder.parent)
        _register_namespace(name)
    except NotImplementedError as error:
        raise UserError(
            f"Minari datasets cannot be of {task.name}: {one_line(str(error))}"
        ) from error
    except (OSError, RuntimeError) as error:  # HDF5 has its own errors for a full disk
        raise UserError(f"cannot write {folder}: {one_line(str(error), 300)}") from error
    return folder


def _fill(
    data: Path,
    name: str,
    buffers: list[EpisodeBuffer],
    forms: Forms,
    spec: EnvSpec | None,
    about: dict[str, Any],
) -> None:
    """Write all files of a dataset into the new folder ``data``."""
    import minari  # noqa: PLC0415
    from minari.dataset.minari_storage import MinariStorage  # noqa: PLC0415

    obs, goal, action = forms
    observation = spaces.Dict(
        observation=obs.own.space, achieved_goal=goal.space, desired_goal=goal.space
    )
    storage = MinariStorage.new(data, observation, action.space, spec, "hdf5", jpeg_encoding=False)
    storage.update_metadata({"dataset_id": name, "minari_version": minari.__version__, **about})
    storage.update_episodes(buffers)
    for file in data.iterdir():
        sync(file)


def _buffer(episode: Episodes, task: Task, forms: Forms) -> EpisodeBuffer:
    """One episode, as Minari takes it."""
    from minari.data_collector import EpisodeBuffer  # noqa: PLC0415

    steps = int(episode.length)
    success = np.asarray(task.success(episode.achieved[: steps + 1], episode.goal))
    ended = bool(episode.failed) or (task.terminates_on_success and bool(success[-1]))
    is_last = np.arange(1, steps + 1) == steps
    own = forms.obs.own
    return EpisodeBuffer(
        observations={
            "observation": _decoded(own, episode.obs[: steps + 1, ..., -own.shape[-1] :]),
            "achieved_goal": _decoded(forms.goal, episode.achieved[: steps + 1]),
            "desired_goal": _decoded(forms.goal, np.stack([episode.goal] * (steps + 1))),
        },
        actions=to_environment(forms.action, np.asarray(episode.action[:steps])),
        rewards=success[1:].astype(np.float64).tolist(),
        terminations=(is_last & ended).tolist(),
        truncations=(is_last & (not ended or steps == task.horizon)).tolist(),
        infos={"success": success},
    )


def _decoded(form: Form, rows: Any) -> Any:
    """Values [n, ...] in the environment's space; of a Dict or Tuple, a dict or tuple of them."""
    values = [decode(form, row) for row in rows]
    return concatenate(form.space, values, create_empty_array(form.space, len(values)))


def _register_namespace(name: str) -> None:
    """Have Minari know the namespace of a new dataset."""
    from minari.namespace import create_namespace, list_local_namespaces  # noqa: PLC0415

    namespace = name.rpartition("/")[0]
    if namespace and namespace not in list_local_namespaces():
        create_namespace(namespace)
