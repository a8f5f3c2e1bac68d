"""Models: found in installed packages, equipped with sensors, compiled and fingerprinted.

MuJoCo is imported only when it is needed, so that a task's name and options can be listed on a
machine without it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from hem.errors import UserError


class Sensor(NamedTuple):
    """A sensor of the model, in MuJoCo's terms: ``framepos`` of ``site`` ``tip``."""

    kind: str  # an MJCF sensor type with a frame: framepos, framequat, framelinvel, ...
    frame: str  # type of the object with the frame: site, body (inertial), xbody, geom
    name: str


def import_mujoco() -> ModuleType:
    """Return the mujoco package, or explain how to install it."""
    try:
        importlib.import_module("mujoco.rollout")
        return importlib.import_module("mujoco")
    except Exception as error:  # of any kind, if MUJOCO_GL names a missing backend
        raise UserError(
            f"MuJoCo cannot be imported ({error}): run `pip install 'hindsight-em[mujoco]'`, "
            "and unset MUJOCO_GL if it is set"
        ) from error


def asset(package: str, requirement: str, path: str) -> Path:
    """Return the path of a file in an installed package, without importing the package.

    Args:
        package: import name, such as ``gymnasium_robotics``.
        requirement: what to install with pip if it is missing, such as ``hindsight-em[mujoco]``.
        path: the file, relative to the package.

    Raises:
        UserError: the package, or the file in it, is missing.
    """
    found = importlib.util.find_spec(package)
    places = found.submodule_search_locations if found is not None else None
    for place in places or ():
        if (file := Path(place) / path).is_file():
            return file
    raise UserError(
        f"{path} was not found in the package {package}: run `pip install '{requirement}'`"
    )


def compile_model(xml: Path, sensors: Mapping[str, Sensor]) -> Any:
    """Compile an MJCF file with these named sensors added; returns an ``MjModel``."""
    mujoco = import_mujoco()
    spec = mujoco.MjSpec.from_file(str(xml))
    for name, sensor in sensors.items():
        spec.add_sensor(
            name=name,
            type=getattr(mujoco.mjtSensor, f"mjSENS_{sensor.kind.upper()}"),
            objtype=getattr(mujoco.mjtObj, f"mjOBJ_{sensor.frame.upper()}"),
            objname=sensor.name,
        )
    return spec.compile()


def sensor_columns(model: Any, name: str) -> slice:
    """Return a sensor's columns among the K values of all sensors."""
    sensor = model.sensor(name)
    return slice(sensor.adr[0], sensor.adr[0] + sensor.dim[0])


def position_column(model: Any, joint: str) -> int:
    """Return the column where a joint's position begins in a full physics state (time is first)."""
    return 1 + int(model.joint(joint).qposadr[0])


def velocity_column(model: Any, joint: str) -> int:
    """Return the column where a joint's velocity begins in a full physics state."""
    return 1 + model.nq + int(model.joint(joint).dofadr[0])


def version_hash(model: Any, substeps: int) -> str:
    """Return 16 hex digits that change when the dynamics do.

    They cover the compiled model (masses, meshes, solver options, and textures too), MuJoCo's
    version and the number of physics steps per action. MuJoCo stores asset names relative to the
    model, so the installation path does not matter.
    """
    mujoco = import_mujoco()
    binary = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    digest = hashlib.sha256(f"mujoco {mujoco.__version__}, {substeps} substeps\n".encode())
    digest.update(binary.tobytes())
    return digest.hexdigest()[:16]
