"""Files that somebody kept: bundles, signed messages and saved answers, each told by its content and read in any formatting."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tallystick.bundle.evidence import Bundle
from tallystick.cli.output import read_file
from tallystick.errors import EvidenceFileError
from tallystick.evidence_files import MAX_FILE_BYTES, Recognised, SavedAnswer, headed_answer, read_headers, recognise
from tallystick.receipts.signed import SignedErasure, SignedHead
from tallystick.strict_json import read_json
from tallystick.verify.promise_checks import Message

MAX_HEADERS_BYTES: Final = 65_536


def load(path: Path) -> Recognised:
    """Read a file, whichever of the kinds it is.

    Raises: ClickException if it is none of them; BundleError, ReceiptFormatError, SignatureError, AnswerError for one that is malformed.
    """
    try:
        return recognise(read_file(path, MAX_FILE_BYTES))
    except EvidenceFileError as error:
        raise click.ClickException(f"{path} {error}") from error


def load_headed(path: Path, headers: Path) -> SavedAnswer:
    """Read an answer that is no JSON, and the headers that came with it.

    Raises: ClickException; AnswerError.
    """
    try:
        return headed_answer(read_file(path, MAX_FILE_BYTES), read_headers(read_file(headers, MAX_HEADERS_BYTES)))
    except EvidenceFileError as error:
        raise click.ClickException(f"{headers} {error}") from error


def load_bundle(path: Path) -> Bundle:
    """Read an evidence bundle."""
    found = load(path)
    if not isinstance(found, Bundle):
        raise click.ClickException(f"{path} is not an evidence bundle, but {kind_of(found)}")
    return found


def load_messages(path: Path) -> list[Message]:
    """Read what the writer signed: by itself, in a saved answer, or in a bundle."""
    return messages_of(load(path), path)


def messages_of(found: Recognised, path: Path) -> list[Message]:
    """The same of a file that was read. Raises: ClickException where nothing in it is signed."""
    if isinstance(found, Bundle):
        messages: list[Message] = [] if found.evidence.receipt is None else [found.evidence.receipt]
    elif isinstance(found, SavedAnswer):
        messages = [one for one in (found.receipt, found.admission) if one is not None]
    else:
        messages = [found]
    if not messages:
        raise click.ClickException(f"{path} holds nothing that was signed for a log")
    return messages


def load_head(path: Path) -> SignedHead:
    """Read a signed head."""
    found = load(path)
    if not isinstance(found, SignedHead):
        raise click.ClickException(f"{path} is not a signed head, but {kind_of(found)}")
    return found


def load_erasures(path: Path) -> list[SignedErasure]:
    """Read signed erasures: one, or a list of them."""
    data = read_file(path, MAX_FILE_BYTES)
    document = read_json(data, MAX_FILE_BYTES)
    return [SignedErasure.from_json(one) for one in (document if isinstance(document, list) else [document])]


def kind_of(found: Recognised) -> str:
    """What a file is, in words."""
    if isinstance(found, Bundle):
        return "an evidence bundle"
    return "a saved answer" if isinstance(found, SavedAnswer) else f"a signed {found.MEMBER}"
