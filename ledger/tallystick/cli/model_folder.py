"""The model folder that `tallystick verify` holds against a record, and the worker that runs the record's prompt again."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

import click

from tallystick.cli.options import all_of, path_option
from tallystick.cli.output import progress, read_file
from tallystick.errors import ManifestError
from tallystick.manifest import DIGEST_BYTES, SIGNATURE_NAME, Manifest, hash_folder
from tallystick.record import Record
from tallystick.verify.file_lists import FileList, read_file_list
from tallystick.verify.model_checks import ModelFolder, Replay, Replayed

Run = Callable[[Path, Record, Path | None], Replayed]

REPLAY_GROUP: Final = "tallystick.replay"
"""The entry points that can run a record's prompt again: (folder, record, base) to `Replayed`."""
PROVENANCE_NAME: Final = "provenance.json"
ADAPTER_CONFIG: Final = "adapter_config.json"
BASE_NAME: Final = "tallystick-base.json"
"""The file that registration adds to an adapter's folder, so that its digest covers the base's."""
NO_WORKER: Final = (
    "--replay runs the model and needs the worker's packages: pip install 'tallystick[worker]' "
    "(in a checkout: pip install '.[worker]')"
)


model_options: Final = all_of(
    path_option("--model", metavar="DIR", help="A model folder: is it what the record names?"),
    path_option(
        "--manifest", help="A list of the model's files: a manifest, or a model signature. Names the files that differ."
    ),
    path_option(
        "--export",
        "export_file",
        help="Where --model is an export: the evidence of the export's own record, which says what it was made from.",
    ),
    path_option(
        "--base", metavar="DIR", help="Where --model is an adapter: the folder of the model that it belongs to."
    ),
    click.option(
        "--replay", is_flag=True, help="Run the record's prompt with the model in --model and compare the answers."
    ),
)


def open_model(folder: Path | None, manifest: Path | None, base: Path | None, *, replay: bool) -> ModelFolder | None:
    """Hash the folder, and find what lists its files and what can run it; None where no folder was named.

    Raises: UsageError; ClickException, ManifestError where the folder cannot be checked.
    """
    if folder is None:
        given = (("--replay", replay), ("--manifest", manifest is not None), ("--base", base is not None))
        for option, is_given in given:
            if is_given:
                raise click.UsageError(f"{option} is about a model folder: --model DIR")
        return None
    for place in (folder, base):
        if place is not None and not place.is_dir():
            raise click.ClickException(f"{place} is not a folder")
    if base is not None:
        folder = _adapter(folder, base)
    replayer = _replayer(folder, base) if replay else None  # before gigabytes are hashed
    lists = [] if manifest is None else [read_file_list(str(manifest), read_file(manifest))]
    found = _hashed(folder, "hashing the model")
    return ModelFolder(
        manifest=found,
        lists=tuple(lists),
        own=_own_list(folder),
        made_from=_made_from(folder),
        lacks_base=(folder / ADAPTER_CONFIG).is_file() and not (folder / BASE_NAME).is_file(),
        replay=replayer,
    )


def _hashed(folder: Path, what: str) -> Manifest:
    with progress(what, in_bytes=True) as tell:
        return hash_folder(folder, tell)


def _adapter(folder: Path, base: Path) -> Path:
    """An adapter's folder as it is registered: with the file that names its base by digest. A folder without it is copied beside that file.

    Raises: ClickException where it is no adapter, or names another base.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        raise click.ClickException(f"--base is for an adapter, and {folder} holds no {ADAPTER_CONFIG}")
    digest = _hashed(base, "hashing the base").digest.hex()
    if (folder / BASE_NAME).is_file():
        named = _member(folder / BASE_NAME, "base_digest")
        if named != digest:
            raise click.ClickException(f"the adapter belongs to a base of digest {named}, and {base} has {digest}")
        return folder
    whole = Path(click.get_current_context().with_resource(tempfile.TemporaryDirectory(prefix="tallystick-adapter-")))
    shutil.copytree(folder, whole, dirs_exist_ok=True)
    (whole / BASE_NAME).write_text(json.dumps({"base_digest": digest}, separators=(",", ":")) + "\n", encoding="ascii")
    return whole


def _own_list(folder: Path) -> FileList | None:
    """The list in the folder's own signature; a signature that cannot be read lists nothing, and proves nothing wrong."""
    signature = folder / SIGNATURE_NAME
    if not signature.is_file():
        return None
    try:
        return read_file_list(SIGNATURE_NAME, read_file(signature))
    except (ManifestError, click.ClickException) as error:
        click.echo(f"{SIGNATURE_NAME} is not used: {error}", err=True)
        return None


def _made_from(folder: Path) -> bytes | None:
    """The digest of the model that an export says it was made from, if it says so in a way that can be read."""
    try:
        return bytes.fromhex(_member(folder / PROVENANCE_NAME, "source_digest") or "")[:DIGEST_BYTES] or None
    except ValueError:
        return None


def _member(path: Path, name: str) -> str | None:
    """A text in a JSON file; None where it cannot be read."""
    try:
        found = json.loads(read_file(path))[name] if path.is_file() else None
    except (click.ClickException, ValueError, RecursionError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _replayer(folder: Path, base: Path | None) -> Replay:
    found = sorted(entry_points(group=REPLAY_GROUP), key=lambda entry: entry.name)
    if not found:
        raise click.ClickException(NO_WORKER)
    run = _load(found[0])

    def replay(record: Record) -> Replayed:
        click.echo("running the record's prompt again; this takes about as long as the answer took", err=True)
        with redirect_stdout(sys.stderr), _worker_needed():  # standard output is the verdict's alone
            return run(folder, record, base)

    return replay


def _load(entry: EntryPoint) -> Run:
    with _worker_needed():
        run: Run = entry.load()
    return run


@contextmanager
def _worker_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise click.ClickException(f"{NO_WORKER} ({error})") from error
