"""Drive to a point by an exported policy: onnxruntime and Gymnasium, neither JAX nor hem."""

import json

import numpy as np
import onnxruntime
from my_env import MyEnv  # or any other environment, such as gymnasium.make("...")

policy = onnxruntime.InferenceSession("policy.onnx")
about = json.loads(policy.get_modelmeta().custom_metadata_map["hem"])
names = [each.name for each in policy.get_inputs()]  # achieved_goal, observation, desired_goal

env = MyEnv()
obs, _ = env.reset(seed=1)
for _ in range(about["horizon"]):
    batch = {name: np.asarray(obs[name])[None] for name in names}  # a batch of one
    (actions,) = policy.run(["action"], batch)
    obs, reward, terminated, truncated, info = env.step(actions[0])
    if info["is_success"] or terminated or truncated:
        break
print("reached the goal:", info["is_success"])
