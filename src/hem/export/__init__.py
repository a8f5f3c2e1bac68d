"""Policies for programs without hem: the same function, written in ONNX.

``onnx_file.py`` writes the file and checks it by ``agreement.py``, ``policy_graph.py`` puts the
graph together. Each part of it has a counterpart that computes the same: ``observations.py`` has
``hem.envs.spaces.codec`` and ``hem.models.normalizer``, ``networks.py`` has
``hem.models.networks``, ``actions.py`` has ``hem.models.distributions``.
"""
