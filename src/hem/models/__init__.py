"""From observations and goals to a distribution over actions, as pure functions of parameters.

Networks, distributions and input normalization belong here; losses and optimizers do not.
"""
