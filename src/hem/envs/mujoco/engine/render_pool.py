"""Batched rendering by this process and helper processes (``python -m`` and this file's name).

Processes, not threads: Mesa's software renderer occasionally crashes if several threads render. A
process that dies is restarted, and its images are rendered again.
"""

from __future__ import annotations

import sys
import time
import weakref
from typing import Any

import numpy as np

from hem.envs.mujoco.engine.camera import RenderBatch, View, camera
from hem.errors import UserError
from hem.system.subprocesses import Link, connected, finish, launch

TRIES = 3  # for an image, before giving up
SHUTDOWN_S = 1.0  # seconds that a process has to exit


def render_pool(
    model: Any,
    view: View | str,
    height: int,
    width: int,
    hidden: tuple[str, ...] = (),
    processes: int = 1,
) -> RenderBatch:
    """Return a function that renders N physics states, as many at once as there are processes.

    Args:
        model: an ``MjModel``.
        view: a free camera, or the name of one of the model's cameras.
        height: of the images, in pixels.
        width: of the images, in pixels.
        hidden: sites and geoms to hide.
        processes: number of processes that render, including this one.

    Raises:
        UserError: the model has no camera of that name.
    """
    scene = (model, view, height, width, hidden)
    render = camera(*scene)
    helpers = [Helper(scene) for _ in range(processes - 1)]

    def render_batch(physics: np.ndarray) -> np.ndarray:
        mine, *others = np.array_split(physics, processes)
        asked = [(h, part) for h, part in zip(helpers, others, strict=True) if len(part)]
        for helper, part in asked:
            helper.ask(part)
        images = np.empty((len(physics), height, width, 3), np.uint8)
        for i, row in enumerate(mine):
            images[i] = render(row, ())
        done = len(mine)
        for helper, part in asked:
            images[done : done + len(part)] = helper.answer(part)
            done += len(part)
        return images

    return render_batch


class Helper:
    """A process that renders; started when first needed."""

    def __init__(self, scene: tuple) -> None:
        self._scene = scene
        self._links: list[Link] = []  # at most one
        weakref.finalize(self, _end, self._links)

    def ask(self, physics: np.ndarray) -> None:
        """Request images of states f64[N, P]; call ``answer`` next."""
        try:
            if not self._links:
                self._links.append(launch("hem.envs.mujoco.engine.render_pool"))
                self._links[0].connection.send(self._scene)
            self._links[0].connection.send(physics)
        except OSError:
            pass  # it died: ``answer`` will notice

    def answer(self, physics: np.ndarray) -> np.ndarray:
        """The requested images u8[N, H, W, 3].

        Raises:
            UserError: they cannot be rendered, or the process dies repeatedly.
        """
        for _ in range(TRIES):
            try:
                images = self._links[0].connection.recv()
            except (EOFError, OSError):
                _end(self._links)
                self.ask(physics)
                continue
            if isinstance(images, str):
                raise UserError(images)
            return images
        raise UserError(f"a rendering process died {TRIES} times: check the OpenGL installation")


def _end(links: list[Link]) -> None:
    while links:
        finish(links.pop(), time.monotonic() + SHUTDOWN_S)


def main(descriptor: int) -> None:
    """Render for the parent until it closes its end."""
    connection = connected(descriptor)
    try:
        render = camera(*connection.recv())
        while True:
            physics = connection.recv()
            try:
                answer: np.ndarray | str = np.stack([render(row, ()) for row in physics])
            except UserError as error:
                answer = str(error)
            connection.send(answer)
    except (EOFError, OSError):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
