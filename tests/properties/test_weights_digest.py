"""The auditor's digest of a model folder is the worker's, which OpenSSF model signing lists: over any folder that has one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.manifest import LEFT_OUT, combine, hash_folder
from tallystick_platform.engine.weights_digest import compute

LETTERS = st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["C", "Z"])
PARTS = st.text(LETTERS, min_size=1, max_size=6).filter(lambda part: part not in {".", ".."})
PLACES = PARTS | st.sampled_from(sorted(LEFT_OUT)) | st.sampled_from(["a", "a.b", "a-b", "A", "aa"])
NAMES = st.lists(PLACES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=40), min_size=1, max_size=6))
def test_two_implementations_name_the_same_content_alike(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        (folder / "config.json").write_bytes(b"{}")
        for name, data in files.items():
            place = folder / name
            if not any(parent.is_file() for parent in place.parents) and not place.is_dir():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        ours, theirs = hash_folder(folder), compute(folder)
    assert {entry.name: entry.sha256 for entry in ours.files} == theirs.resources
    assert ours.digest == theirs.digest == combine(theirs.resources)
