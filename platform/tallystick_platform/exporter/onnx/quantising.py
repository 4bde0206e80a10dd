"""Weights to few bits one matrix at a time, so that no more than one matrix is ever held in full precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick_platform.exporter.onnx.frugal import Spill, StreamedTensor
from tallystick_platform.exporter.spec import Progress

DOMAIN = "com.microsoft"
COLUMNS_AT_ONCE = 4_096  # a column is quantised by itself, so a large matrix can be taken in parts


def quantise_by_node(whole: Callable[[Any], Any], spill: Spill, progress: Progress) -> Callable[[Any], Any]:
    """A replacement for the builder's `to_nbits`, which would turn the whole model into one message in memory first.

    Every MatMul with a constant weight becomes a MatMulNBits with the bytes that the runtime's own quantiser makes of it,
    in the width that the builder's settings name for it. Another method or layout takes the library's way.
    """

    def to_nbits(builder: Any) -> Any:
        settings = builder.quant_attrs
        plain = builder.quantization_algo == "default" and settings["is_symmetric"] and not settings["use_qdq"]
        if not plain:
            return whole(builder)
        nodes = [node for node in builder.model.graph if _is_quantisable(node, settings["nodes_to_exclude"])]
        for index, node in enumerate(nodes):
            _replace(builder, node, settings, spill)
            progress("quantising", 0.2 + 0.5 * index / len(nodes))
        builder.model.graph.opset_imports.setdefault(DOMAIN, 1)
        return builder.model

    return to_nbits


def _is_quantisable(node: Any, excluded: list[str]) -> bool:
    if node.op_type != "MatMul" or node.name in excluded:
        return False
    weight = node.inputs[1].const_value
    return weight is not None and len(weight.shape) == 2


def _replace(builder: Any, node: Any, settings: Any, spill: Spill) -> None:
    import onnx_ir as ir

    graph, weight, output = builder.model.graph, node.inputs[1], node.outputs[0]
    bits = builder.int4_customized_weight_config.get(node.name, settings).get("bits", settings["bits"])
    block = settings["matmul_block_size"]
    inputs = [node.inputs[0]]
    for name, array in zip(
        _names(builder, weight.name, bits, block), quantised(weight.const_value, bits, block), strict=True
    ):
        value = builder.make_value(name)
        value.const_value = spill.keep(array, name)
        value.dtype, value.shape = value.const_value.dtype, value.const_value.shape
        graph.register_initializer(value)
        inputs.append(value)
    rows, columns = weight.const_value.shape
    attributes = {"K": rows, "N": columns, "bits": bits, "block_size": block}
    if settings["accuracy_level"]:
        attributes["accuracy_level"] = settings["accuracy_level"]
    new = ir.node("MatMulNBits", inputs, attributes=attributes, domain=DOMAIN, name=f"{node.name}_Q{bits}")
    new.outputs[0].dtype, new.outputs[0].shape = output.dtype, output.shape
    name = output.name
    ir.convenience.replace_nodes_and_values(graph, node, [node], [new], [output], [new.outputs[0]])
    new.outputs[0].name = name
    if not weight.uses():
        graph.initializers.pop(weight.name)


def _names(builder: Any, weight: str, bits: int, block: int) -> tuple[str, str]:
    """What bytes and scales are called: a tied embedding names them long before the head that it shares them with."""
    grouped = f"{weight}_Q{bits}G{block}"
    return (grouped, f"{weight}_scale") if grouped in builder.values else (f"{weight}_Q{bits}", f"{weight}_scales")


def quantised(weight: Any, bits: int, block: int) -> tuple[Any, Any]:
    """The runtime's own rounding, symmetric. Shapes: weight [rows, columns]; bytes [columns, blocks, bytes], scales [columns, blocks]."""
    import numpy as np
    from onnxruntime.quantization import matmul_nbits_quantizer as library

    config = library.DefaultWeightOnlyQuantConfig(block_size=block, is_symmetric=True, bits=bits)
    quantiser = library.DefaultWeightOnlyQuantizer(config)
    count = weight.shape[1]
    if isinstance(weight, StreamedTensor):
        columns = weight.columns
    else:
        matrix = weight.numpy()

        def columns(begin: int, end: int) -> Any:
            return np.ascontiguousarray(matrix[:, begin:end], dtype=np.float32)

    parts = [
        quantiser.qbits_block_quant(columns(begin, min(begin + COLUMNS_AT_ONCE, count)))
        for begin in range(0, count, COLUMNS_AT_ONCE)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
