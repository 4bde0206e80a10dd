"""Engines: what computes an answer, inside a worker process. The API process imports nothing of it but `cpu`.

- `interface`: what an engine is. `constant`: the engine without a model, for tests and for measuring everything else; `constant_answers`
  are its answers to lists of inputs.
- `audit`: the engine of chat and completion, on torch; read its `step()` first. `scheduler` decides what runs, `shaping` changes logits
  as a request asks, `forms` hold an answer to JSON, an expression or a grammar, `sampler` draws, `text` turns tokens into text that may be
  shown, `stops` ends it at a stop string, `shown` has its tokens with their probabilities; a `sequence` is one request on its way, a
  `choice` one answer to it. What computes is a `forward`: `llama`, written out over `linear`, or `causal`, the transformers library's own.
- `oneshot`: the engine of requests that are lists of inputs, each computed once; a `kind` says what an input is and how it is computed.
  `text_kinds` loads those for texts: `encoder` makes vectors as a folder's `layout` says, `heads` find labels, scores and entities by what
  is `headed`, both over an encoder's `states`; `seq2seq` writes texts by the library's own `generate`, in `turns`.
  `media` loads the others: `transcriber` writes down a `sound` in `windows`, `speaker` speaks, `painter` draws, `classical` predicts from
  tables.
- `loading`: from a folder and a digest to a ready engine, or to a refusal.
- `concurrency`: how many requests side by side, by the machine; `independence` shows that they may share a pass.
- `prompt`: messages and texts to tokens, messages by way of `chat_template`; `control_marks` keep what a client wrote from being control
  tokens.
- `hardware`: what the machine is; `cpu`: its part without torch.
- `replay`: a record's prompt run again for an auditor, by `rerun`.
- `model_store`, `conversion` (of Whisper by `ctranslate`), `converting` (the same as a process), `weights_digest`: from a packaged file to
  a model folder whose content has a name.
"""
