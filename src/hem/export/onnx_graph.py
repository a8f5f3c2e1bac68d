"""An ONNX graph, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hem.errors import require

OPSET = 18  # of onnxruntime 1.14 and later
IR_VERSION = 8  # likewise
LARGEST = 2**31 - 2**20  # bytes of constants: an ONNX file holds 2 GiB
BATCH = "N"  # the free dimension


class Graph:
    """A graph that grows. A value in it is the name of a tensor."""

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._bytes = 0

    def input(self, name: str, dtype: Any, shape: tuple[int, ...]) -> str:
        """A new input, a batch [N, *shape]."""
        self._inputs.append(_typed(name, dtype, shape))
        return name

    def add(self, operator: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """The output of a new node; an array among its inputs becomes a constant."""
        (output,) = self._add(operator, 1, inputs, attributes)
        return output

    def split(self, x: str, parts: int, axis: int) -> list[str]:
        """``parts`` equal parts of a tensor."""
        return self._add("Split", parts, (x,), {"axis": axis, "num_outputs": parts})

    def cast(self, x: str, dtype: Any) -> str:
        """The tensor in another dtype."""
        return self.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def concat(self, parts: list[str], axis: int) -> str:
        """The tensors, one after the other."""
        return self.add("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]

    def model(
        self, name: str, output: str, dtype: Any, shape: tuple[int, ...], about: Mapping[str, str]
    ) -> onnx.ModelProto:
        """The model with one output, called ``name``.

        Args:
            name: of the output.
            output: the tensor that it is, a batch [N, *shape].
            dtype: of the output.
            shape: of the output.
            about: the model's metadata.

        Raises:
            UserError: it is too large for a file.
        """
        require(
            self._bytes <= LARGEST,
            f"the policy has {self._bytes / 2**30:.1f} GiB of parameters, but an ONNX file holds "
            "2: train a smaller network",
        )
        self._nodes.append(helper.make_node("Identity", [output], [name], name=name))
        graph = helper.make_graph(
            self._nodes, "policy", self._inputs, [_typed(name, dtype, shape)], self._constants
        )
        model = helper.make_model(
            graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        helper.set_model_props(model, dict(about))
        return model

    def _add(
        self,
        operator: str,
        outputs: int,
        inputs: tuple[str | np.ndarray, ...],
        attributes: dict[str, Any],
    ) -> list[str]:
        name = f"{operator}_{len(self._nodes)}"
        known = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        made = [name] if outputs == 1 else [f"{name}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, known, made, name=name, **attributes))
        return made

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._bytes += array.nbytes
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _typed(name: str, dtype: Any, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, [BATCH, *shape])
