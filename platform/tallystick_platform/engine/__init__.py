"""Engines: what computes an answer, inside a worker process. The API process imports nothing of it but `cpu`.

- `interface`: what an engine is. `constant`: the engine without a model, for tests and for measuring everything else.
- `audit`: the engine proper, on torch; read its `step()` first. `scheduler` decides what runs, `llama` computes,
  `sampler` draws, `text` turns tokens into text that may be shown.
- `chat_template`: messages to prompt. `hardware`: what the machine is; `cpu`: its part without torch.
- `replay`: a record's prompt run again for an auditor, by `rerun`.
- `model_store`, `conversion`, `weights_digest`: from a packaged file to a model folder whose content has a name.
"""
