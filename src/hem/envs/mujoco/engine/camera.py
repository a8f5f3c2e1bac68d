"""A camera: images of a physics state and its goal, rendered off screen.

OpenGL contexts belong to the thread that made them, so each thread gets its own on its first
image, and keeps it. ``render_pool.py`` renders with several processes at once.
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

# Held while OpenGL is in use: choosing and starting a backend affects all threads, and Mesa's
# software renderer occasionally crashes if several threads render.
_drawing = threading.Lock()


class View(NamedTuple):
    """A free camera: its target, distance (m) and angles (degrees)."""

    lookat: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float


class Mark(NamedTuple):
    """A ball that is drawn into an image but is not part of the environment."""

    position: np.ndarray  # f64[3], m
    radius: float  # m
    color: tuple[float, float, float, float]  # red, green, blue, opacity; 0 to 1


Draw = Callable[[np.ndarray, Sequence[Mark]], np.ndarray]  # (physics f64[P], marks) -> u8[H, W, 3]
RenderBatch = Callable[[np.ndarray], np.ndarray]  # (physics f64[N, P]) -> u8[N, H, W, 3]


def camera(
    model: Any, view: View | str, height: int, width: int, hidden: Sequence[str] = ()
) -> Draw:
    """Return a function that renders; OpenGL is not used before its first call.

    Args:
        model: an ``MjModel``; it is copied.
        view: a free camera, or the name of one of the model's cameras.
        height: of the image, in pixels.
        width: of the image, in pixels.
        hidden: sites and geoms to hide, such as the model's own goal marker.

    Raises:
        UserError: the model has no camera of that name.
    """
    _check_view(model, view)
    shown = _prepared(model, height, width, hidden)
    local = threading.local()

    def render(physics: np.ndarray, marks: Sequence[Mark] = ()) -> np.ndarray:
        with _drawing:
            return drawn(physics, marks)

    def drawn(physics: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
        mujoco = import_mujoco()
        if not hasattr(local, "renderer"):
            local.renderer = _open(shown, height, width)
            local.data = mujoco.MjData(shown)
        data = local.data
        mujoco.mj_setState(shown, data, physics, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        # Only the part of a forward pass that rendering needs: poses of bodies, cameras and lights.
        mujoco.mj_kinematics(shown, data)
        mujoco.mj_comPos(shown, data)
        mujoco.mj_camlight(shown, data)
        local.renderer.update_scene(data, _mujoco_camera(view))
        for mark in marks:
            _add(mujoco, local.renderer.scene, mark)
        return local.renderer.render()

    return render


def _check_view(model: Any, view: View | str) -> None:
    known = [model.camera(i).name for i in range(model.ncam)]
    require(
        not isinstance(view, str) or view in known,
        f"the model has no camera {view!r}: available are {', '.join(known) or 'none'}",
    )


def _prepared(model: Any, height: int, width: int, hidden: Sequence[str]) -> Any:
    """Copy the model, with settings for rendering only."""
    mujoco = import_mujoco()
    shown = copy.copy(model)
    shown.vis.quality.offsamples = 0  # four times as fast in software
    shown.vis.global_.offheight = height
    shown.vis.global_.offwidth = width
    # A mocap body shows the last command, which is not part of the state.
    shown.geom_rgba[shown.body_mocapid[shown.geom_bodyid] >= 0, 3] = 0
    for name in hidden:
        if mujoco.mj_name2id(shown, mujoco.mjtObj.mjOBJ_SITE, name) >= 0:
            shown.site(name).rgba[3] = 0
        else:
            shown.geom(name).rgba[3] = 0
    return shown


def _add(mujoco: Any, scene: Any, mark: Mark) -> None:
    """Add a ball to the scene."""
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
    """Convert to a camera for MuJoCo's renderer."""
    if isinstance(view, str):
        return view
    free = import_mujoco().MjvCamera()
    free.lookat[:] = view.lookat
    free.distance, free.azimuth, free.elevation = view.distance, view.azimuth, view.elevation
    return free


def _open(model: Any, height: int, width: int) -> Any:
    """Open a renderer in this thread, or explain how to make that possible."""
    mujoco = import_mujoco()

    class Renderer(mujoco.Renderer):
        _mjr_context = None  # so that closing one that failed to open raises nothing

    try:
        _choose_backend()
        renderer = Renderer(model, height, width)
    except Exception as error:  # each backend fails in its own way, from ImportError to EGLError
        backend = os.environ.get("MUJOCO_GL") or "not set"
        raise UserError(
            f"off-screen rendering failed (MUJOCO_GL is {backend}: {error}): {_remedy()}"
        ) from error
    # At interpreter exit, a renderer would be closed after its backend, which raises errors.
    atexit.register(_close, weakref.ref(renderer))
    return renderer


def _remedy() -> str:
    """What to do if rendering fails."""
    if sys.platform != "linux":
        return "unset MUJOCO_GL, and run in a desktop session"
    return (
        "install headless OpenGL (on Debian and Ubuntu: `apt-get install libegl1 libgl1`) and set "
        "MUJOCO_GL=egl"
    )


def _close(renderer: weakref.ref) -> None:
    """Close a renderer unless it is gone with its thread."""
    if (still_open := renderer()) is not None:
        still_open.close()


def _choose_backend() -> None:
    """On Linux use EGL, which needs no display, unless the user has set MUJOCO_GL.

    Also if there is a display: it may be a stale one of a remote shell, and only the main thread
    could use it. Not before MuJoCo is imported: there, a missing EGL would prevent physics too.
    """
    # Mesa's software renderer has its own helper threads. Small images do not benefit from them,
    # and they compete with ours: on two cores, rendering without them is 1.5 times as fast.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if sys.platform != "linux":
        return
    ours = not os.environ.get("MUJOCO_GL")
    if ours:
        os.environ["MUJOCO_GL"] = "egl"
    try:
        # The backend was chosen when this module was first imported, maybe with another setting.
        importlib.reload(importlib.import_module("mujoco.gl_context"))
    except Exception:
        if ours:
            del os.environ["MUJOCO_GL"]
        raise
