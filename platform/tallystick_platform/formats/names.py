"""File names that mean the same file on every system, and no other one."""

from __future__ import annotations

import unicodedata

from tallystick_platform.formats.limits import MAX_NAME_BYTES, MAX_PATH_DEPTH

# Control, format (bidirectional marks among them), surrogate, private and unassigned characters, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SEPARATORS_ELSEWHERE = frozenset("\\:")


def name_fault(name: str) -> str | None:
    """Why a relative name with slashes cannot stand in a model folder, or None where it can."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    parts = name.split("/")
    if len(parts) > MAX_PATH_DEPTH:
        return f"more than {MAX_PATH_DEPTH} folders deep"
    if len(encoded) > MAX_NAME_BYTES * MAX_PATH_DEPTH or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"a name of more than {MAX_NAME_BYTES} bytes"
    if name.startswith("/"):
        return "an absolute path"
    if any(part in {"", ".", ".."} for part in parts):
        return "a path with an empty part, `.` or `..`"
    if any(unicodedata.category(letter) in _UNPRINTABLE for letter in name):
        return "a control or invisible character in the name"
    if _SEPARATORS_ELSEWHERE.intersection(name):
        return "a backslash or colon in the name, which other systems read as part of a path"
    if any(part[-1] in ". " or part[0] == " " for part in parts):
        return "a name that begins or ends with a space or ends with a dot, which other systems drop"
    return None


def shown(name: str, limit: int = 200) -> str:
    """A name that somebody else chose, fit to stand in a message: one line, bounded, nothing invisible."""
    text = name if len(name) <= limit else name[:limit] + "..."
    return text if text.isprintable() else ascii(text)[1:-1]


class NameTable:
    """Names taken so far. Two that a case-folding or normalising file system would take for one are one here."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def add(self, name: str) -> str | None:
        """Take a file's name and those of its folders; why it cannot be taken, or None."""
        return name_fault(name) or self._add_folders(name.split("/")[:-1]) or self._add_file(name)

    def add_folder(self, name: str) -> str | None:
        """Take a folder's name; why it cannot be taken, or None. The same folder may come again."""
        return name_fault(name) or self._add_folders(name.split("/"))

    def _add_file(self, name: str) -> str | None:
        key = _folded(name)
        if key in self._files or key in self._folders:
            return "another entry has this name, or one that differs in case or Unicode form alone"
        self._files.add(key)
        return None

    def _add_folders(self, parts: list[str]) -> str | None:
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            key = _folded(name)
            if key in self._files:
                return "another entry has the name of its folder"
            if self._folders.setdefault(key, name) != name:
                return "its folder's name differs from another's in case or Unicode form alone"
        return None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
