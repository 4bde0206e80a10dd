"""What `tallystick verify` can be asked: its options, and the reading of their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tallystick.cli.model_folder import model_options
from tallystick.cli.options import (
    address,
    auditor_key_option,
    blobs_option,
    json_option,
    node_options,
    trust_options,
)

F = TypeVar("F", bound=Callable[..., Any])

ANY_AGE: Final = "none"
JSON_TYPE: Final = "application/json"


def max_age(text: str) -> int | None:
    """Parse --max-age, or fail as a usage error."""
    if text == ANY_AGE:
        return None
    if text.isascii() and text.isdigit() and 0 < len(text) < 10:
        return int(text)
    raise click.BadParameter(f"{text!a:.40} is neither a number of seconds nor {ANY_AGE!r}")


def verify_options(command: F) -> F:
    """Add everything that `verify` takes."""
    for decorator in (
        json_option,
        click.option(
            "--max-age",
            "max_age_s",
            type=max_age,
            metavar="SECONDS",
            help="How old the newest block may be; 'none' for any age. By default 600 where blocks come by the clock.",
        ),
        click.option(
            "--second-rpc",
            "second_rpc",
            metavar="URL",
            help="Another node, which must show the same blocks: nobody signs a block's time.",
        ),
        click.option(
            "--at",
            "at_block",
            type=click.IntRange(0),
            metavar="BLOCK",
            help="Judge the log as of this block, not the newest.",
        ),
        click.option(
            "--request-type",
            "sent_type",
            default=JSON_TYPE,
            show_default=True,
            metavar="TYPE",
            help="Its Content-Type.",
        ),
        click.option(
            "--request-target",
            "sent_target",
            metavar="PATH",
            help="Where it was sent to; else where the service takes such a body.",
        ),
        click.option(
            "--request",
            "sent_body",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="With a saved answer: the body of the request as it was sent.",
        ),
        click.option(
            "--headers",
            "answer_headers",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="With an answer that is a sound or captions: the headers that came with it, as `curl -D FILE` writes them.",
        ),
        blobs_option,
        click.option(
            "--erasures",
            type=click.Path(path_type=Path),
            multiple=True,
            metavar="FILE",
            help="Erasures that the writer signed.",
        ),
        click.option(
            "--head",
            "heads",
            type=click.Path(path_type=Path),
            multiple=True,
            metavar="FILE",
            help="A signed head: the node must show at least that much.",
        ),
        click.option(
            "--receipt",
            "receipts",
            type=click.Path(path_type=Path),
            multiple=True,
            metavar="FILE",
            help="A receipt, admission or saved answer to hold against the log.",
        ),
        click.option(
            "--to", "last_index", type=click.IntRange(0), metavar="INDEX", help="Open records up to this one."
        ),
        click.option(
            "--from",
            "first_index",
            type=click.IntRange(0),
            default=0,
            metavar="INDEX",
            help="Open records from this one on.",
        ),
        auditor_key_option,
        click.option(
            "--chain-id", type=click.IntRange(1), metavar="NUMBER", help="The chain of the log, if you know it."
        ),
        click.option(
            "--writer",
            "writers",
            type=address,
            multiple=True,
            metavar="0x..",
            help="The writer of the log, if you know it.",
        ),
        trust_options,
        node_options,
        model_options,
        click.option(
            "--bundle", "named_file", type=click.Path(path_type=Path), metavar="FILE", help="The same as FILE."
        ),
        click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[FILE]"),
    ):
        command = decorator(command)
    return command
