"""A camera: images of a physics state and its goal, rendered off screen.

OpenGL contexts belong to the thread that made them, so each thread gets its own on its first
image, and keeps it. ``photographer.py`` draws with several processes at once.
"""

from __future__ import annotations

import atexit
import copy
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hem.envs.mujoco.engine.model import import_mujoco
from hem.errors import UserError, require

# Held while OpenGL is at work: choosing and starting a backend changes what all threads see, and
# Mesa, which draws in software, now and then crashes where several threads draw.
_drawing = threading.Lock()


class View(NamedTuple):
    """A free camera: what it looks at, from how far (m), and from where (degrees)."""

    lookat: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float


class Mark(NamedTuple):
    """A ball that is drawn into an image without being in the world."""

    position: np.ndarray  # f64[3], m
    radius: float  # m
    color: tuple[float, float, float, float]  # red, green, blue, opacity; 0 to 1


Draw = Callable[[np.ndarray, Sequence[Mark]], np.ndarray]  # (physics f64[P], marks) -> u8[H, W, 3]
Shoot = Callable[[np.ndarray], np.ndarray]  # (physics f64[N, P]) -> u8[N, H, W, 3]


def camera(
    model: Any, view: View | str, height: int, width: int, hidden: Sequence[str] = ()
) -> Draw:
    """Return a function that draws; no OpenGL is touched before its first call.

    Args:
        model: an ``MjModel``; it is copied.
        view: a free camera, or the name of one of the model's.
        height: of the image, in pixels.
        width: of the image, in pixels.
        hidden: sites and geoms that are not to be seen, such as the model's own goal marker.

    Raises:
        UserError: the model has no camera of that name.
    """
    _check_view(model, view)
    shown = _prepared(model, height, width, hidden)
    local = threading.local()

    def draw(physics: np.ndarray, marks: Sequence[Mark] = ()) -> np.ndarray:
        with _drawing:
            return drawn(physics, marks)

    def drawn(physics: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
        mujoco = import_mujoco()
        if not hasattr(local, "renderer"):
            local.renderer = _open(shown, height, width)
            local.data = mujoco.MjData(shown)
        data = local.data
        mujoco.mj_setState(shown, data, physics, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        # Of a forward pass, only what the image shows: where bodies, cameras and lights are.
        mujoco.mj_kinematics(shown, data)
        mujoco.mj_comPos(shown, data)
        mujoco.mj_camlight(shown, data)
        local.renderer.update_scene(data, _mujoco_camera(view))
        for mark in marks:
            _add(mujoco, local.renderer.scene, mark)
        return local.renderer.render()

    return draw


def _check_view(model: Any, view: View | str) -> None:
    known = [model.camera(i).name for i in range(model.ncam)]
    require(
        not isinstance(view, str) or view in known,
        f"the model has no camera {view!r}: it has {', '.join(known) or 'none'}",
    )


def _prepared(model: Any, height: int, width: int, hidden: Sequence[str]) -> Any:
    """Copy the model, with settings for images only."""
    mujoco = import_mujoco()
    shown = copy.copy(model)
    shown.vis.quality.offsamples = 0  # four times as fast in software
    shown.vis.global_.offheight = height
    shown.vis.global_.offwidth = width
    # A mocap body shows the last command, which is no part of the state.
    shown.geom_rgba[shown.body_mocapid[shown.geom_bodyid] >= 0, 3] = 0
    for name in hidden:
        if mujoco.mj_name2id(shown, mujoco.mjtObj.mjOBJ_SITE, name) >= 0:
            shown.site(name).rgba[3] = 0
        else:
            shown.geom(name).rgba[3] = 0
    return shown


def _add(mujoco: Any, scene: Any, mark: Mark) -> None:
    """Put a ball into the scene."""
    mujoco.mjv_initGeom(
        scene.geoms[scene.ngeom],
        mujoco.mjtGeom.mjGEOM_SPHERE,
        np.full(3, mark.radius),
        np.asarray(mark.position, np.float64),
        np.eye(3).ravel(),
        np.asarray(mark.color, np.float32),
    )
    scene.ngeom += 1


def _mujoco_camera(view: View | str) -> Any:
    """Return what MuJoCo's renderer takes for a camera."""
    if isinstance(view, str):
        return view
    free = import_mujoco().MjvCamera()
    free.lookat[:] = view.lookat
    free.distance, free.azimuth, free.elevation = view.distance, view.azimuth, view.elevation
    return free


def _open(model: Any, height: int, width: int) -> Any:
    """Open a renderer in this thread, or say how to make that possible."""
    mujoco = import_mujoco()

    class Renderer(mujoco.Renderer):
        _mjr_context = None  # so that one that fails to open is closed without complaint

    try:
        _choose_backend()
        renderer = Renderer(model, height, width)
    except Exception as error:  # each backend fails in its own way, from ImportError to EGLError
        backend = os.environ.get("MUJOCO_GL") or "not set"
        raise UserError(
            f"no image can be drawn off screen (MUJOCO_GL is {backend}: {error}): {_remedy()}"
        ) from error
    # Left to the interpreter's end, a renderer would be closed after its backend, with complaints.
    atexit.register(_close, weakref.ref(renderer))
    return renderer


def _remedy() -> str:
    """What to do where no image can be drawn."""
    if sys.platform != "linux":
        return "unset MUJOCO_GL, and run where you are logged in at a screen"
    return (
        "install an OpenGL that needs no screen, on Debian and Ubuntu `apt-get install libegl1 "
        "libgl1`, and set MUJOCO_GL=egl"
    )


def _close(renderer: weakref.ref) -> None:
    """Close a renderer unless it went with its thread."""
    if (still_open := renderer()) is not None:
        still_open.close()


def _choose_backend() -> None:
    """On Linux take EGL, which needs no screen, unless the user chose by setting MUJOCO_GL.

    Even with a screen: it may be a stale one of a remote shell, and only the main thread could
    use it. And only now, not before MuJoCo is imported: there a missing EGL would stop physics.
    """
    # Mesa draws in software with helper threads of its own. Small images do not profit from
    # them, and they stand in the way of ours: on two cores, without them, it is half as fast again.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if sys.platform != "linux":
        return
    ours = not os.environ.get("MUJOCO_GL")
    if ours:
        os.environ["MUJOCO_GL"] = "egl"
    try:
        # The backend was picked when this module was first imported, maybe with another setting.
        importlib.reload(importlib.import_module("mujoco.gl_context"))
    except Exception:
        if ours:
            del os.environ["MUJOCO_GL"]
        raise
