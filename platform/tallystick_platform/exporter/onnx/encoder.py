"""Encoders and classifiers: traced by transformers' own exporter, run by onnxruntime."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.onnx.stages import REFERENCE, StageJob
from tallystick_platform.exporter.spec import Progress

MODEL_FILE = "model.onnx"
INPUTS_FILE = "inputs.npz"
SENTENCES: Final = (
    "The stick was split into two halves.",
    "Both halves of the wood bear the same notches.",
    "The miller owes the shepherd eleven sheep.",
    "A debt of eleven sheep has to be paid by the miller before midsummer, or his mill is forfeit.",
    "It rains.",
    "Heavy rain is expected in the north tomorrow morning.",
    "Neither side can change the count alone.",
    "The cat sleeps on the warm stove.",
)
MAX_SENTENCE_TOKENS: Final = 64
# What sentence-transformers and tokenizers keep beside the weights; all of it is text.
CARRIED = (
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json",
    "merges.txt", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
    "LICENSE", "NOTICE",
)  # fmt: skip


def build(job: StageJob, progress: Progress) -> None:
    """Write graph and weights in full precision, and the inputs that both sides will read. Raises: ExportRefused."""
    model = source_model(job)
    model.config.use_cache = False
    inputs = _write_inputs(job, model)
    progress("tracing the model", 0.2)
    _trace(model, inputs, job.spec.target if job.plan.precision == "fp32" else job.scratch / "fp32")
    for name in CARRIED:
        if (job.spec.source / name).is_file():
            (job.spec.target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(job.spec.source / name, job.spec.target / name)
    progress("the ONNX graph is written", 0.95)


def source_model(job: StageJob) -> Any:
    """The source as its own class, in float32. Raises: ExportRefused."""
    import torch
    import transformers

    model_class = getattr(transformers, job.plan.architecture, None)
    if model_class is None:
        raise ExportRefused(
            reason=f"{job.plan.architecture} is not an architecture of transformers {transformers.__version__}"
        )
    return model_class.from_pretrained(
        job.spec.source, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    ).eval()


def _write_inputs(job: StageJob, model: Any) -> Mapping[str, Any]:
    """Two batches of different sizes, so that an axis which was traced as fixed is found out. Gives the first one."""
    import numpy as np
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(
        job.spec.source, local_files_only=True, trust_remote_code=False
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    longest = min(MAX_SENTENCE_TOKENS, getattr(model.config, "max_position_embeddings", MAX_SENTENCE_TOKENS))
    parts = (SENTENCES[:3], SENTENCES)
    kept: dict[str, Any] = {}
    for number, sentences in enumerate(parts):
        encoded = tokenizer(list(sentences), padding=True, truncation=True, max_length=longest, return_tensors="np")
        kept |= {f"{number}.{name}": np.asarray(value, dtype=np.int64) for name, value in encoded.items()}
    np.savez(job.scratch / INPUTS_FILE, **kept)
    return next(batches(kept))


def batches(kept: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The inputs of each batch by name."""
    numbers = sorted({key.split(".", 1)[0] for key in kept})
    for number in numbers:
        yield {key.split(".", 1)[1]: kept[key] for key in kept if key.startswith(f"{number}.")}


def output_file(number: int) -> str:
    """Where the output of a batch lies."""
    return f"output-{number}.npy"


def _trace(model: Any, inputs: Mapping[str, Any], target: Path) -> None:
    import torch
    from transformers.exporters import exporter_onnx

    library: Any = exporter_onnx  # its annotations are narrower than what it takes
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    longest = getattr(model.config, "max_position_embeddings", None)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=longest)}
    config = library.OnnxConfig(dynamic=True, dynamic_shapes=dict.fromkeys(tensors, axes))
    with torch.no_grad():
        exported = library.OnnxExporter().export(model, tensors, config=config)
    exported.save_pretrained(target)


def quantise(job: StageJob, progress: Progress) -> None:
    """8-bit weights per channel; the activations' scale is found while it runs, one for each tensor."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    traced, target = job.scratch / "fp32", job.spec.target
    # The quantiser transposes weights and then stumbles over the shapes that the tracer wrote down for them.
    model = onnx.load(traced / MODEL_FILE, load_external_data=False)
    weights = {weight.name for weight in model.graph.initializer}
    kept = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    onnx.save(model, traced / MODEL_FILE)
    quantize_dynamic(traced / MODEL_FILE, target / MODEL_FILE, weight_type=QuantType.QInt8, per_channel=True)
    shutil.copyfile(traced / "config.json", target / "config.json")
    progress("quantised", 1.0)


def run(job: StageJob, progress: Progress) -> None:
    """Compute every batch with the exported file. Raises: ExportFailed where it does not load or run."""
    import numpy as np
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(job.spec.target / MODEL_FILE, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no class but this one
        raise ExportFailed(reason=f"the exported file does not load: {kind_of(error)}") from error
    wanted = {value.name for value in session.get_inputs()}
    first = session.get_outputs()[0].name
    for number, inputs in enumerate(batches(np.load(job.scratch / INPUTS_FILE, allow_pickle=False))):
        given = {name: value for name, value in inputs.items() if name in wanted}
        np.save(job.scratch / output_file(number), session.run([first], given)[0])
        progress("computing with the exported files", (number + 1) / 2)


def reference(job: StageJob, progress: Progress) -> None:
    """Compute every batch with the source."""
    import numpy as np
    import torch

    progress("computing with the source", 0.1)
    model = source_model(job)
    for number, inputs in enumerate(batches(np.load(job.scratch / INPUTS_FILE, allow_pickle=False))):
        with torch.no_grad():
            output = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[0]
        np.save(job.scratch / f"{REFERENCE}{output_file(number)}", output.numpy())
