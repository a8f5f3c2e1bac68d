"""Many images at once, by this process and by others (``python -m`` and this file's name).

Not by threads: Mesa, which draws in software, now and then crashes where several threads draw. A
process that dies is started again, and what it was to draw is drawn anew.
"""

from __future__ import annotations

import sys
import time
import weakref
from typing import Any

import numpy as np

from hem.envs.mujoco.engine.camera import Shoot, View, camera
from hem.errors import UserError
from hem.system.subprocesses import Link, connected, finish, launch

TRIES = 3  # for an image, before it is given up
SHUTDOWN_S = 1.0  # seconds that a process has to end in


def many(
    model: Any,
    view: View | str,
    height: int,
    width: int,
    hidden: tuple[str, ...] = (),
    processes: int = 1,
) -> Shoot:
    """Return a function that draws N physics states, as many at once as there are processes.

    Args:
        model: an ``MjModel``.
        view: a free camera, or the name of one of the model's.
        height: of the images, in pixels.
        width: of the images, in pixels.
        hidden: sites and geoms that are not to be seen.
        processes: how many draw, this one included.

    Raises:
        UserError: the model has no camera of that name.
    """
    scene = (model, view, height, width, hidden)
    draw = camera(*scene)
    helpers = [Helper(scene) for _ in range(processes - 1)]

    def shoot(physics: np.ndarray) -> np.ndarray:
        mine, *others = np.array_split(physics, processes)
        asked = [(h, part) for h, part in zip(helpers, others, strict=True) if len(part)]
        for helper, part in asked:
            helper.ask(part)
        pictures = np.empty((len(physics), height, width, 3), np.uint8)
        for i, row in enumerate(mine):
            pictures[i] = draw(row, ())
        done = len(mine)
        for helper, part in asked:
            pictures[done : done + len(part)] = helper.answer(part)
            done += len(part)
        return pictures

    return shoot


class Helper:
    """A process that draws; started when it is first asked."""

    def __init__(self, scene: tuple) -> None:
        self._scene = scene
        self._links: list[Link] = []  # at most one
        weakref.finalize(self, _end, self._links)

    def ask(self, physics: np.ndarray) -> None:
        """Have it draw states f64[N, P]; ``answer`` is to be called next."""
        try:
            if not self._links:
                self._links.append(launch("hem.envs.mujoco.engine.render_pool"))
                self._links[0].connection.send(self._scene)
            self._links[0].connection.send(physics)
        except OSError:
            pass  # it died: ``answer`` will see it

    def answer(self, physics: np.ndarray) -> np.ndarray:
        """The images u8[N, H, W, 3] that were asked for.

        Raises:
            UserError: they cannot be drawn, or the process dies again and again.
        """
        for _ in range(TRIES):
            try:
                pictures = self._links[0].connection.recv()
            except (EOFError, OSError):
                _end(self._links)
                self.ask(physics)
                continue
            if isinstance(pictures, str):
                raise UserError(pictures)
            return pictures
        raise UserError(f"a process that takes images died {TRIES} times: is OpenGL in order?")


def _end(links: list[Link]) -> None:
    while links:
        finish(links.pop(), time.monotonic() + SHUTDOWN_S)


def main(descriptor: int) -> None:
    """Draw for the parent, until it closes its end."""
    connection = connected(descriptor)
    try:
        draw = camera(*connection.recv())
        while True:
            physics = connection.recv()
            try:
                answer: np.ndarray | str = np.stack([draw(row, ()) for row in physics])
            except UserError as error:
                answer = str(error)
            connection.send(answer)
    except (EOFError, OSError):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
