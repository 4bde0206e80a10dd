"""A byte-level tokenizer as GGUF's keys. Anything that a GGUF reader would split otherwise is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.formats.json_text import read_json_object

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
MAX_TOKENIZER_BYTES = 64 * 1_048_576
MAX_TOKENIZER_VALUES = 4_194_304
MAX_TEMPLATE_BYTES = 1_048_576

_LLAMA_3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN_2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {_LLAMA_3: "llama-bpe", _QWEN_2: "qwen2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What a GGUF file says of a tokenizer. `pre` names how text is cut before merging."""

    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special: Mapping[str, int]
    add_start: bool
    template: str | None


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """Read tokenizer.json and what stands around it; `size` is the number of rows of the word embeddings.

    Raises: ExportRefused, FormatError.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ExportRefused(reason="the source has no tokenizer.json, from which GGUF's vocabulary is written")
    document = read_json_object(folder / "tokenizer.json", MAX_TOKENIZER_BYTES, MAX_TOKENIZER_VALUES)
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or model.get("byte_fallback"):
        kind = model.get("type") if isinstance(model, dict) else None
        how = " with byte fallback" if isinstance(model, dict) and model.get("byte_fallback") else ""
        raise ExportRefused(reason=f"a tokenizer of the kind {kind!a}{how} is not written as GGUF; byte-level BPE is")
    pre = _pre(document, bool(model.get("ignore_merges")))
    tokens, types = _tokens(model, document.get("added_tokens") or [], size)
    settings = _object(folder / "tokenizer_config.json")
    special = _special(settings, _object(folder / "config.json"), tokens)
    return Vocabulary(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=tuple(_merge(merge) for merge in model.get("merges") or []),
        special=special,
        add_start=_adds_start(folder / "tokenizer.json", special.get("bos")),
        template=_template(folder, settings),
    )


def _pre(document: Mapping[str, Any], ignore_merges: bool) -> str:
    """How readers of GGUF call this tokenizer's way to cut text. Raises: ExportRefused for ways without a name."""
    cutter = document.get("pre_tokenizer") or {}
    steps = cutter.get("pretokenizers") if cutter.get("type") == "Sequence" else [cutter]
    steps = [step for step in steps or [] if isinstance(step, dict)]
    found = None
    if steps and steps[-1].get("type") == "ByteLevel" and not steps[-1].get("add_prefix_space"):
        cut, before = bool(steps[-1].get("use_regex", True)), steps[:-1]
        if cut and not before:
            found = "gpt-2"
        elif cut and [(step.get("type"), step.get("individual_digits")) for step in before] == [("Digits", True)]:
            found = "smollm"
        elif not cut and len(before) == 1 and before[0].get("behavior") == "Isolated" and not before[0].get("invert"):
            found = _SPLITS.get(str((before[0].get("pattern") or {}).get("Regex")))
    if found is None:
        raise ExportRefused(reason="this tokenizer cuts text in a way that has no name in GGUF")
    normalizer = (document.get("normalizer") or {}).get("type")
    if normalizer is not None and (found, normalizer) != ("qwen2", "NFC"):
        raise ExportRefused(reason=f"readers of GGUF would not apply this tokenizer's normalizer {normalizer!a}")
    if ignore_merges is not (found == "llama-bpe"):
        raise ExportRefused(reason=f"readers of GGUF would merge this tokenizer's words otherwise (cut as {found})")
    return found


def _tokens(model: Mapping[str, Any], added: list[Any], size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    words: dict[int, str] = {number: word for word, number in (model.get("vocab") or {}).items()}
    kinds: dict[int, int] = {}
    for token in added:
        words[token["id"]] = token["content"]
        kinds[token["id"]] = CONTROL if token.get("special") else USER_DEFINED
    if not words or any(type(number) is not int or not 0 <= number < size for number in words):
        raise ExportRefused(reason=f"the tokenizer has words beyond the model's {size}, or none")
    tokens = tuple(words.get(number, f"[PAD{number}]") for number in range(size))
    if len(set(tokens)) != size:
        raise ExportRefused(reason="two tokens of the tokenizer are the same word")
    return tokens, tuple(kinds.get(number, NORMAL if number in words else UNUSED) for number in range(size))


def _merge(merge: Any) -> str:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if not isinstance(parts, list) or len(parts) != 2 or any(not part or " " in part for part in parts):
        raise ExportRefused(reason=f"the tokenizer's merge {merge!a} cannot be written in GGUF")
    return " ".join(parts)


def _special(settings: Mapping[str, Any], config: Mapping[str, Any], tokens: tuple[str, ...]) -> dict[str, int]:
    numbers = {token: number for number, token in enumerate(tokens)}
    found = {}
    for name in ("bos", "eos", "unk", "pad"):
        named = settings.get(f"{name}_token")
        named = named.get("content") if isinstance(named, dict) else named
        number = numbers.get(named) if isinstance(named, str) else config.get(f"{name}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        if type(number) is int and 0 <= number < len(tokens):
            found[name] = number
    return found


def _adds_start(tokenizer: Path, start: int | None) -> bool:
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(tokenizer)).encode("a").ids
    return bool(ids) and ids[0] == start


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise ExportRefused(reason=f"the chat template is larger than {MAX_TEMPLATE_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else None


def _object(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}
