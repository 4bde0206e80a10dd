"""GGUF files, in which llama.cpp and its kin read models.

`architectures` says which models can be written and under which names and keys; `vocabulary` carries the tokenizer over;
`quantization` names the number formats and what is demanded of each; `writing` streams the file; `running` runs it again
through the transformers library's own reader. Everything that is not known here is refused by name.
"""
