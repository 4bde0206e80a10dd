"""What a model file or folder really is, read from its headers without loading it.

- `folder`: the way in. `inspect_folder` says what a folder holds, or why it is not taken; `report` is its answer, `memory` the estimate.
- `listing`, `names`, `kinds`: which files there are, how they may be called, what may lie beside the weights.
- `safetensors_file`, `gguf_file`, `onnx_file`, `skops_file`: one reader per format; `weights` adds shards up, and finds a
  `quantization_config` that they contradict.
- `soundness`: whether tokenizer, head and numbers fit the model.
- `configs`: what a configuration would have a loader do. `tasks`: what the model is for. `card`: its licence.
- `sampling`: how the model's makers recommend to draw from it.
- `archive`, over `tar_file` and `zip_file`: unpacking into an empty folder, or not at all.
- `reading`, `json_text`, `protobuf`: bounded reading of what strangers wrote. `limits` holds every bound, `errors` every refusal.
"""
