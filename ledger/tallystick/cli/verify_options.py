"""What `tallystick verify` can be asked: its options, and the reading of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from tallystick.cli.model_folder import model_options
from tallystick.cli.options import (
    address,
    all_of,
    auditor_key_option,
    blobs_option,
    json_option,
    node_options,
    path_option,
    trust_options,
)

ANY_AGE: Final = "none"
JSON_TYPE: Final = "application/json"


def max_age(text: str) -> int | None:
    """Parse --max-age, or fail as a usage error."""
    if text == ANY_AGE:
        return None
    if text.isascii() and text.isdigit() and 0 < len(text) < 10:
        return int(text)
    raise click.BadParameter(f"{text!a:.40} is neither a number of seconds nor {ANY_AGE!r}")


verify_options: Final = all_of(
    click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[FILE]"),
    path_option("--bundle", "named_file", help="The same as FILE."),
    model_options,
    node_options,
    trust_options,
    click.option(
        "--writer",
        "writers",
        type=address,
        multiple=True,
        metavar="0x..",
        help="The writer of the log, if you know it.",
    ),
    click.option("--chain-id", type=click.IntRange(1), metavar="NUMBER", help="The chain of the log, if you know it."),
    auditor_key_option,
    click.option(
        "--from",
        "first_index",
        type=click.IntRange(0),
        default=0,
        metavar="INDEX",
        help="Open records from this one on.",
    ),
    click.option("--to", "last_index", type=click.IntRange(0), metavar="INDEX", help="Open records up to this one."),
    path_option(
        "--receipt", "receipts", multiple=True, help="A receipt, admission or saved answer to hold against the log."
    ),
    path_option("--head", "heads", multiple=True, help="A signed head: the node must show at least that much."),
    path_option("--erasures", multiple=True, help="Erasures that the writer signed."),
    blobs_option,
    path_option(
        "--headers",
        "answer_headers",
        help="With an answer that is a sound or captions: the headers that came with it, as `curl -D FILE` writes them.",
    ),
    path_option("--request", "sent_body", help="With a saved answer: the body of the request as it was sent."),
    click.option(
        "--request-target",
        "sent_target",
        metavar="PATH",
        help="Where it was sent to; else where the service takes such a body.",
    ),
    click.option(
        "--request-type", "sent_type", default=JSON_TYPE, show_default=True, metavar="TYPE", help="Its Content-Type."
    ),
    click.option(
        "--at",
        "at_block",
        type=click.IntRange(0),
        metavar="BLOCK",
        help="Judge the log as of this block, not the newest.",
    ),
    click.option(
        "--second-rpc",
        metavar="URL",
        help="Another node, which must show the same blocks: nobody signs a block's time.",
    ),
    click.option(
        "--max-age",
        "max_age_s",
        type=max_age,
        metavar="SECONDS",
        help="How old the newest block may be; 'none' for any age. By default 600 where blocks come by the clock.",
    ),
    json_option,
)
"""Everything that `verify` takes."""
