"""`tallystick fetch`: the large fields of records, which stand neither in the record nor on the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tallystick.cli.evidence_files import load_bundle
from tallystick.cli.options import LogOptions, json_option, load_auditor_keys, log_options, path_option
from tallystick.cli.output import put_json
from tallystick.cli.records import find, is_index, open_bundle
from tallystick.cli.trusting import open_log
from tallystick.ids import RecordId, format_record_id
from tallystick.pull import BlobFolder, Fetched, fetch_blobs
from tallystick.record import LARGE_FIELDS, BlobRef, Record

SERVICE_ENV: Final = "TALLYSTICK_SERVICE"
EXAMPLES: Final = """\b
Examples:
  tallystick fetch evidence.json --service https://host         into the folder blobs beside the bundle
  tallystick fetch 41 42 --service https://host --blobs ./blobs --rpc ... --contract ... --log ... --auditor-key auditor.key
  tallystick verify evidence.json --trust work
"""


@click.command(epilog=EXAMPLES, short_help="Fetch the large fields of records.")
@click.argument("records", nargs=-1, required=True, metavar="RECORD...")
@click.option(
    "--service", required=True, envvar=SERVICE_ENV, show_envvar=True, metavar="URL", help="The service's address."
)
@path_option("--blobs", "blob_folder", metavar="DIR", help="Where to keep them; else the folder blobs beside a bundle.")
@log_options
@json_option
def fetch(
    records: tuple[str, ...],
    service: str,
    blob_folder: Path | None,
    log: LogOptions,
    as_json: bool,
) -> None:
    """Fetch what the opened records keep outside: each blob by its digest, which only the record tells.

    RECORD is a bundle file with a record secret, or a record's index in the log that --rpc, --contract and --log name, with an auditor's
    key. The blobs stay encrypted; `tallystick verify --blobs DIR` opens them.
    """
    keys = load_auditor_keys(log.auditor_keys)
    done = []
    for record in records:
        if is_index(record):
            if blob_folder is None:
                raise click.UsageError("--blobs says where to keep the blobs of a record that is named by its index")
            opened = find(
                open_log(log.rpc, log.contract, log.log_id, log.trust_file, log.trust_name), int(record), keys
            ).opened.record
            folder = blob_folder
        else:
            opened = open_bundle(load_bundle(Path(record)))
            folder = blob_folder or Path(record).parent / "blobs"
        done.append((opened, folder, fetch_blobs(service, RecordId(opened.id), digests(opened), BlobFolder(folder))))
    _put(done, as_json=as_json)


def digests(record: Record) -> list[bytes]:
    """The blobs that a record names, by the digests of their sealed forms."""
    references = [getattr(record, name) for name in LARGE_FIELDS]
    return [reference.sealed_digest for reference in references if isinstance(reference, BlobRef)]


def _put(done: list[tuple[Record, Path, Fetched]], *, as_json: bool) -> None:
    if as_json:
        put_json(
            [
                {
                    "record": format_record_id(RecordId(record.id)),
                    "folder": str(folder),
                    "blobs": fetched.blobs,
                    "there": fetched.there,
                    "received_bytes": fetched.received,
                }
                for record, folder, fetched in done
            ]
        )
        return
    for record, folder, fetched in done:
        name = format_record_id(RecordId(record.id))
        if not fetched.blobs:
            click.echo(f"{name}: all fields stand in the record; nothing to fetch")
        else:
            click.echo(f"{name}: {fetched.blobs} blobs in {folder}, {fetched.received} bytes received now")
