"""When a car is parked, as highway-env judges it."""

import numpy as np

WEIGHTS = np.array([1, 0.3, 0, 0, 0.02, 0.02])


def parked(achieved, desired):
    """Whether cars with these positions, velocities and headings are parked."""
    return (abs(achieved - desired) @ WEIGHTS) ** 0.5 < 0.12
