"""`tallystick show` and `tallystick disclose`: one record, opened, or some of its fields for somebody else."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from tallystick.bundle.evidence import Bundle
from tallystick.chain.reader import LedgerReader
from tallystick.cli.evidence_files import load_bundle
from tallystick.cli.options import LogOptions, json_option, load_auditor_keys, log_options, open_reader, path_option
from tallystick.cli.output import put_json, put_page
from tallystick.cli.trusting import open_log
from tallystick.ids import to_hex
from tallystick.keys import AuditorKey
from tallystick.record import FIELD_NAMES, Record
from tallystick.report.documents import found_record_document, record_document, shown_fields_document
from tallystick.report.text import render_record
from tallystick.sealing import Disclosure, OpenedRecord, open_sealed
from tallystick.sealing import disclose as disclose_fields
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.one_record import FoundRecord, find_record
from tallystick.verify.shown_fields import read_shown_fields

SHOW_EXAMPLES: Final = """\b
Examples:
  tallystick show evidence.json
  tallystick show 41 --rpc http://127.0.0.1:8545 --contract 0x.. --log 0x.. --auditor-key auditor.key
"""
DISCLOSE_EXAMPLES: Final = """\b
Examples:
  tallystick disclose evidence.json --fields model,gpu,price -o disclosed.json
  tallystick verify disclosed.json
"""
OUTPUT_MODE: Final = 0o600
MAX_INDEX_DIGITS: Final = 100
"""No log is so long by far; more digits can only be the name of a file."""


@click.command(epilog=SHOW_EXAMPLES, short_help="Show what a record says.")
@click.argument("record", metavar="RECORD")
@log_options
@json_option
def show(
    record: str,
    log: LogOptions,
    as_json: bool,
) -> None:
    """Show what a record says, once it is checked that the record is the one that was sealed.

    RECORD is a bundle file, or a record's index in the log that --rpc, --contract and --log name. A bundle without a record
    secret shows the fields that it discloses; with a node and an auditor's key it is opened all the same.
    """
    keys = load_auditor_keys(log.auditor_keys)
    if is_index(record):
        document = found_record_document(
            find(open_log(log.rpc, log.contract, log.log_id, log.trust_file, log.trust_name), int(record), keys)
        )
    else:
        document = _from_bundle(load_bundle(Path(record)), log.rpc, keys)
    if as_json:
        put_json(document)
    else:
        put_page(render_record(document))


@click.command(epilog=DISCLOSE_EXAMPLES, short_help="Make a bundle that shows some fields only.")
@click.argument("record", type=click.Path(path_type=Path), metavar="RECORD")
@click.option(
    "--fields", "names", required=True, metavar="NAME,NAME", help=f"Which fields to show: {', '.join(FIELD_NAMES)}."
)
@path_option("-o", "--output", help="Where to write the bundle; else standard output.")
@json_option
def disclose(record: Path, names: str, output: Path | None, as_json: bool) -> None:
    """Make a bundle that shows some fields of a record and cannot open the rest.

    RECORD is a bundle file with a record secret, or one that discloses these fields already. The new bundle holds the chosen
    fields, and the salts and paths that tie them to the leaf; the record secret is left out.
    """
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in FIELD_NAMES]
    if unknown or not chosen:
        wrong = f"no field is named {unknown[0]!r}" if unknown else "no field is named"
        raise click.BadParameter(f"{wrong}; a record has {', '.join(FIELD_NAMES)}", param_hint="--fields")
    bundle = load_bundle(record)
    _require_sound(bundle)
    data = Bundle(
        evidence=bundle.evidence, attestation=bundle.attestation, disclosed=_chosen_fields(bundle, chosen)
    ).to_bytes()
    if output is None:
        sys.stdout.buffer.write(data)
        return
    _write_new(output, data)
    if as_json:
        put_json({"output": str(output), "fields": chosen, "bytes": len(data)})
    else:
        click.echo(f"{output}: record {bundle.evidence.index}, showing {', '.join(chosen)}")


def is_index(text: str) -> bool:
    """Whether RECORD is a record's index and not a file."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_INDEX_DIGITS and not Path(text).exists()


def find(reader: LedgerReader, index: int, keys: list[AuditorKey]) -> FoundRecord:
    """The record of an index in a log, opened. Raises: UsageError without a key, else as `find_record`."""
    if not keys:
        raise click.UsageError("an auditor's key is needed to open a record: --auditor-key (or TALLYSTICK_AUDITOR_KEY)")
    return find_record(reader, index, keys)


def open_bundle(bundle: Bundle) -> Record:
    """The record that a bundle opens, once the bundle was found sound.

    Raises: ClickException if it carries no record secret.
    """
    _require_sound(bundle)
    if bundle.record_secret is None:
        raise click.ClickException("the bundle carries no record secret, so that what the record names stays closed")
    return _open(bundle, bundle.record_secret).record


def _open(bundle: Bundle, secret: bytes) -> OpenedRecord:
    evidence = bundle.evidence
    return open_sealed(
        evidence.sealed,
        log_id=evidence.log_id,
        index=evidence.index,
        epoch=evidence.epoch,
        fields_root=evidence.fields_root,
        secret=secret,
    )


def _from_bundle(bundle: Bundle, rpc: str | None, keys: list[AuditorKey]) -> dict[str, object]:
    _require_sound(bundle)
    evidence = bundle.evidence
    place: dict[str, object] = {"log_id": to_hex(evidence.log_id), "index": evidence.index}
    anchor = evidence.anchor
    if anchor is not None:
        place |= {"batch": anchor.batch, "block_number": anchor.block_number, "block_time": anchor.block_time}
    if bundle.record_secret is not None:
        opened = _open(bundle, bundle.record_secret)
        return {**place, "record": record_document(opened.record)}
    if bundle.disclosed is not None:
        shown = {name: field.field_bytes for name, field in bundle.disclosed.fields.items()}
        return {**place, "disclosed": shown_fields_document(read_shown_fields(shown), list(shown))}
    if rpc is None or not keys:
        raise click.ClickException(
            "the bundle carries neither the record secret nor disclosed fields; --rpc and --auditor-key together can open it"
        )
    return found_record_document(
        find(open_reader(rpc, evidence.domain.contract, evidence.log_id), evidence.index, keys)
    )


def _require_sound(bundle: Bundle) -> None:
    """Show and pass on nothing that contradicts itself. Raises: the first failure."""
    verdict = verify_bundle(bundle)
    if verdict.failures:
        raise verdict.failures[0]


def _chosen_fields(bundle: Bundle, names: list[str]) -> Disclosure:
    if bundle.record_secret is not None:
        opened = _open(bundle, bundle.record_secret)
        return disclose_fields(opened, names)
    disclosed = bundle.disclosed
    missing = [name for name in names if disclosed is None or name not in disclosed.fields]
    if disclosed is None or missing:
        raise click.ClickException(f"the bundle carries no record secret, and does not disclose {', '.join(missing)}")
    return replace(disclosed, fields={name: disclosed.fields[name] for name in names})


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there: what it replaces could be the only copy of a record secret."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OUTPUT_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise click.FileError(str(path), "exists already; it is not overwritten") from error
    except OSError as error:
        raise click.FileError(str(path), error.strerror or str(error)) from error
