"""Workers on a mesh: in a process of its own, as JAX counts its devices once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_on_a_mesh_of_eight_devices():
    file = Path(__file__).with_name("mesh_of_eight.py")
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, file], env=os.environ | devices, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
