"""Bundles and receipts from files, in any of the forms in which a client may have kept them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from tallystick.bundle import FORMAT, Bundle, parse_bundle
from tallystick.strict_json import is_shallow
from tallystick.cli.output import read_file
from tallystick.errors import ReceiptFormatError, ReceiptsError, SignatureError
from tallystick.receipts import SignedAdmission, SignedReceipt
from tallystick.verify import Held

S = TypeVar("S", SignedReceipt, SignedAdmission)


def load_bundle(path: Path) -> Bundle:
    """Read an evidence bundle.

    Raises: BundleError if it is a bundle and a wrong one; ClickException if it is something else.
    """
    data = read_file(path)
    if FORMAT.encode() not in data:
        raise click.ClickException(f"{path} is not an evidence bundle: it does not name the format {FORMAT}")
    return parse_bundle(data)


def load_receipt(path: Path) -> Held:
    """Read a receipt: by itself, as the `tallystick` object of an answer, inside a whole answer, or inside a bundle.

    Raises: ReceiptsError if its signature is not by whom it names; ReceiptFormatError or ClickException if it is no receipt.
    """
    data = read_file(path)
    if FORMAT.encode() in data:
        return parse_bundle(data).evidence.receipt
    if not is_shallow(data):
        raise click.ClickException(f"{path} nests too deep")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not JSON: {error!s:.100}") from error
    for member in ("tallystick", "receipt", "admission"):  # from the outside in
        if isinstance(document, dict) and "domain" not in document and member in document:
            document = document[member]
    if isinstance(document, dict) and "admission" in document:
        return _signed(path, SignedAdmission.from_json, document)
    return _signed(path, SignedReceipt.from_json, document)


def _signed(path: Path, read: Callable[[object], S], document: object) -> S:
    try:
        return read(document)
    except SignatureError as error:
        raise ReceiptsError(str(path), "a signature", error.reason) from error
    except ReceiptFormatError as error:
        if error.field != "signer":
            raise
        raise ReceiptsError(str(path), "a signature by whom it names", error.reason) from error
