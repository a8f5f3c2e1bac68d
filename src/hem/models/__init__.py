"""From observations and goals to action distributions, as pure functions of parameters.

Networks, distributions and input normalization belong here; losses and optimizers do not.
"""
