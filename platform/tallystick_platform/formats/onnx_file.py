"""What an ONNX model computes and which other files it needs, without building it.

Source: onnx.proto of the ONNX project for the fields' numbers, its documentation of external data for the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.limits import (
    MAX_ONNX_BYTES,
    MAX_ONNX_DEPTH,
    MAX_ONNX_STRING_BYTES,
)
from tallystick_platform.formats.names import shown
from tallystick_platform.formats.onnx_tensors import TensorTally
from tallystick_platform.formats.protobuf import Field, ProtobufFile
from tallystick_platform.formats.reading import open_regular
from tallystick_platform.formats.weights import Weights

# Operators that the runtime brings along. Any other must be a function of the model itself.
KNOWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training"}
    | {
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.microsoft.experimental",
        "com.microsoft.dml",
        "com.ms.internal.nhwc",
    }
)
COMPILED_OPERATOR = "EPContext"
CONVERT = "export the model again with operators of ONNX and ONNX Runtime alone"
_MODEL_FIELDS = frozenset({*range(1, 9), 14, 20, 25, 26})


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSummary:
    """What a model says of itself. `external_files` maps names beside the model to the bytes used of each."""

    opsets: Mapping[str, int]
    external_files: Mapping[str, int]
    weights: Weights


def read_model(path: Path) -> OnnxSummary:
    """Raises: FormatError; UnsafeModel where it needs code from elsewhere or a file outside its folder."""
    with open_regular(path) as (file, size):
        if size > MAX_ONNX_BYTES:
            raise FormatError(path=path, reason=f"{size} bytes, protobuf allows {MAX_ONNX_BYTES}")
        walk = _Walk(ProtobufFile(file, size, path), path)
        walk.model()
    unknown = {domain for domain in walk.domains if domain not in KNOWN_DOMAINS} - walk.functions
    if unknown:
        named = ", ".join(sorted(shown(domain, 60) for domain in unknown)[:5])
        raise UnsafeModel(file=path.name, reason=f"it needs operators from elsewhere ({named})", remedy=CONVERT)
    return OnnxSummary(
        opsets=walk.opsets,
        external_files=walk.tally.check_external(),
        weights=walk.tally.weights,
    )


class _Walk:
    """One pass over a model. Graphs wait in a list, so nesting costs no stack."""

    def __init__(self, source: ProtobufFile, path: Path) -> None:
        self._source, self._path = source, path
        self.opsets: dict[str, int] = {}
        self.domains: set[str] = set()
        self.functions: set[str] = set()
        self.tally = TensorTally(source, path)
        self._graphs = 0

    def model(self) -> None:
        """Read the whole file."""
        for field in self._source.fields(0, self._source.size):
            if field.number not in _MODEL_FIELDS:
                raise self._source.fault(f"it is no ONNX model: a field numbered {field.number}")
            if field.number == 8:
                domain, version = self._opset(field)
                self.opsets[domain] = version
            elif field.number == 7:
                self._graph(field, 0)
            elif field.number == 20:
                raise self._source.fault("it holds training state, which is not served")
            elif field.number == 25:
                self._function(field)
        if not self.opsets or not self._graphs:
            raise self._source.fault("it is no ONNX model: it has no graph or names no operator set")

    def _graph(self, graph: Field, depth: int) -> None:
        waiting = [(graph, depth)]
        while waiting:
            graph, depth = waiting.pop()
            self._graphs += 1
            if depth > MAX_ONNX_DEPTH:
                raise self._source.fault(f"its graphs are nested more than {MAX_ONNX_DEPTH} deep")
            for field in self._source.message(graph):
                if field.number == 1:
                    waiting.extend((inner, depth + 1) for inner in self._node(field))
                elif field.number == 5:
                    self.tally.add(field)
                elif field.number == 15:
                    self._sparse(field)

    def _function(self, function: Field) -> None:
        for field in self._source.message(function):
            if field.number == 10:
                self.functions.add(self._source.text(field, MAX_ONNX_STRING_BYTES))
            elif field.number == 7:
                for graph in self._node(field):
                    self._graph(graph, 1)

    def _node(self, node: Field) -> list[Field]:
        """Note where the operator comes from; its attributes' tensors are read, its attributes' graphs returned."""
        graphs: list[Field] = []
        domain = ""
        for field in self._source.message(node):
            if field.number == 4:
                if self._source.text(field, MAX_ONNX_STRING_BYTES) == COMPILED_OPERATOR:
                    raise UnsafeModel(file=self._path.name, reason="it holds compiled code", remedy=CONVERT)
            elif field.number == 7:
                domain = self._source.text(field, MAX_ONNX_STRING_BYTES)
            elif field.number == 5:
                graphs += self._attribute(field)
        self.domains.add(domain)
        return graphs

    def _attribute(self, attribute: Field) -> list[Field]:
        graphs = []
        for field in self._source.message(attribute):
            if field.number in (5, 10):
                self.tally.add(field)
            elif field.number in (22, 23):
                self._sparse(field)
            elif field.number in (6, 11):
                graphs.append(field)
        return graphs

    def _sparse(self, sparse: Field) -> None:
        for field in self._source.message(sparse):
            if field.number in (1, 2):
                self.tally.add(field)

    def _opset(self, field: Field) -> tuple[str, int]:
        domain, version = "", 0
        for part in self._source.message(field):
            if part.number == 1:
                domain = self._source.text(part, MAX_ONNX_STRING_BYTES)
            elif part.number == 2:
                version = part.value
        return shown(domain, 60), version
