"""The JSON files that loaders act on, and what in them would make a loader run somebody's code or read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.json_text import parse_json, walk
from tallystick_platform.formats.limits import MAX_CONFIGS, MAX_JSON_BYTES
from tallystick_platform.formats.listing import Listed
from tallystick_platform.formats.names import name_fault, shown
from tallystick_platform.formats.reading import read_whole

NO_CODE = "use an architecture that the transformers library has itself, and save the model again without custom code"
_OWN_CODE = frozenset({"auto_map", "custom_pipelines", "custom_generate"})
_KERNELS = frozenset(
    {"attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation"}
)
_LIBRARIES = frozenset({"custom_ops_library", "custom_ops_library_path", "ep_library", "library_path"})
_INDEX_LIBRARIES = frozenset({"diffusers", "transformers", None})


def read_configs(folder: Path, files: Iterable[Listed]) -> dict[str, Any]:
    """Every file that ends in `config.json` and the lists of modules, parsed and found free of code.

    Raises: FormatError, UnsafeModel.
    """
    configs: dict[str, Any] = {}
    for listed in files:
        base = PurePosixPath(listed.name).name
        if not base.endswith("config.json") and base not in {"modules.json", "model_index.json", "configuration.json"}:
            continue
        if len(configs) == MAX_CONFIGS:
            raise FormatError(path=folder, reason=f"more than {MAX_CONFIGS} configuration files")
        data = read_whole(folder / listed.name, MAX_JSON_BYTES)
        value = parse_json(data, listed.name)
        _check(listed.name, base, value)
        configs[listed.name] = value
    return configs


def top_object(configs: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A configuration file of the folder itself. Raises: FormatError where it is no object."""
    value = configs.get(name)
    if value is not None and not isinstance(value, dict):
        raise FormatError(path=name, reason="its JSON is not an object")
    return value


def _check(name: str, base: str, value: Any) -> None:
    for reason in _faults(base, value):
        raise UnsafeModel(file=name, reason=reason, remedy=NO_CODE)


def _faults(base: str, value: Any) -> Iterator[str]:
    for key, item in walk(value):
        if key is None or not item:
            continue
        if key in _OWN_CODE:
            yield f"it names code of its own ({key})"
        elif key == "trust_remote_code" and item is True:
            yield "it asks for trust_remote_code"
        elif key in _KERNELS and any("/" in text for text in _texts(item)):
            yield f"it names code on a hub ({key})"
        elif key in _LIBRARIES:
            yield f"it names a library to load ({key})"
    if base == "modules.json":
        yield from _module_faults(value)
    elif base == "model_index.json":
        yield from _index_faults(value)
    elif base == "adapter_config.json" and isinstance(value, dict):
        mapping = value.get("auto_mapping")
        library = mapping.get("parent_library") if isinstance(mapping, dict) else None
        if library is not None and not str(library).startswith("transformers."):
            yield f"it imports {shown(str(library), 80)}"


def _texts(value: Any) -> Iterator[str]:
    return (item for _, item in walk(value) if isinstance(item, str))


def _module_faults(value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield "it is no list of modules"
        return
    for module in value:
        kind = module.get("type") if isinstance(module, dict) else None
        path = module.get("path") if isinstance(module, dict) else None
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            yield f"it names a module outside of sentence_transformers ({shown(str(kind), 80)})"
        if path and (not isinstance(path, str) or name_fault(path.removesuffix("/"))):
            yield "it names a folder outside of the model's"


def _index_faults(value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield "it is no list of parts"
        return
    if not isinstance(value.get("_class_name", ""), str):
        yield "it names a pipeline of its own"
    for part, made_of in value.items():
        if isinstance(made_of, list) and not part.startswith("_"):
            library = made_of[0] if made_of else None
            if not (library is None or isinstance(library, str)) or library not in _INDEX_LIBRARIES:
                yield f"its part {shown(part, 80)} is made by {shown(str(library), 80)}"
