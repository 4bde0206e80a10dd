"""`tallystick verify`: a whole log, or one record's evidence."""

from __future__ import annotations

import time
from pathlib import Path

import click
from click.core import ParameterSource

from tallystick.bundle import Bundle
from tallystick.cli.evidence_files import load_bundle, load_receipt
from tallystick.cli.model_folder import model_options, open_model
from tallystick.cli.options import (
    auditor_key_option,
    json_option,
    load_auditor_keys,
    node_options,
    open_reader,
    open_transport,
)
from tallystick.cli.output import progress, put_json, put_page
from tallystick.cli.program import release
from tallystick.ids import Address, LogId, to_hex
from tallystick.report import render_verdict, verdict_document
from tallystick.verify import Verdict, VerifyOptions, verify_bundle, verify_log
from tallystick.verify.whole_log import DEFAULT_GRACE_S

LOG_ONLY = frozenset(("auditor_keys", "first_index", "last_index", "receipts", "at_block", "grace_s"))
EXAMPLES = """\b
Examples:
  tallystick verify --rpc http://127.0.0.1:8545 --contract 0x.. --log 0x.. --auditor-key auditor.key
  tallystick verify --rpc ... --contract ... --log ... --receipt receipt.json
  tallystick verify evidence.json
  tallystick verify evidence.json --rpc http://127.0.0.1:8545 --json
  tallystick verify --model ./model --bundle evidence.json --replay
"""


@click.command(epilog=EXAMPLES, short_help="Check a log, or one record's evidence.")
@click.argument("bundle", type=click.Path(path_type=Path), required=False, metavar="[BUNDLE.json]")
@click.option(
    "--bundle", "named_bundle", type=click.Path(path_type=Path), metavar="FILE", help="The same as BUNDLE.json."
)
@model_options
@node_options
@auditor_key_option
@click.option(
    "--from", "first_index", type=click.IntRange(0), default=0, metavar="INDEX", help="Open records from this one on."
)
@click.option("--to", "last_index", type=click.IntRange(0), metavar="INDEX", help="Open records up to this one.")
@click.option(
    "--receipt",
    "receipts",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A receipt to hold against the log.",
)
@click.option(
    "--at", "at_block", type=click.IntRange(0), metavar="BLOCK", help="Judge the log as of this block, not the newest."
)
@click.option(
    "--grace",
    "grace_s",
    type=click.IntRange(0),
    default=DEFAULT_GRACE_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a request may be on its way before its missing number is a failure.",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    bundle: Path | None,
    named_bundle: Path | None,
    model: Path | None,
    manifest: Path | None,
    base: Path | None,
    replay: bool,
    rpc: str | None,
    contract: Address | None,
    log_id: LogId | None,
    auditor_keys: tuple[Path, ...],
    first_index: int,
    last_index: int | None,
    receipts: tuple[Path, ...],
    at_block: int | None,
    grace_s: int,
    as_json: bool,
) -> None:
    """Check a whole log from a chain node, or one record's evidence from a file.

    Without BUNDLE.json the log is walked from its creation: every leaf, root and head is computed anew and compared with the
    contract. With an auditor's key the records are opened and checked too. With BUNDLE.json one record's evidence is checked,
    offline or against a node; with --model as well, whether the files in that folder are the model that gave the record's answer.
    """
    bundle = _one_bundle(bundle, named_bundle)
    if bundle is None and (model or manifest or base or replay):
        raise click.UsageError("a model folder is held against one record: give its evidence, BUNDLE.json")
    if bundle is not None:
        _refuse_log_options(ctx)
        evidence = load_bundle(bundle)
        _require_same_log(ctx, evidence, contract, log_id)
        folder = open_model(model, manifest, base, replay=replay)
        verdict = verify_bundle(evidence, None if rpc is None else open_transport(rpc), folder)
    else:
        if last_index is not None and last_index < first_index:
            raise click.UsageError(f"--to {last_index} is before --from {first_index}")
        reader = open_reader(rpc, contract, log_id)
        options = VerifyOptions(
            auditor_keys=load_auditor_keys(auditor_keys),
            receipts=[load_receipt(path) for path in receipts],
            first_index=first_index,
            last_index=last_index,
            at_block=at_block,
            grace_s=grace_s,
        )
        with progress("verifying") as tell:
            verdict = verify_log(reader, options, tell)
    _put(verdict, as_json=as_json)
    ctx.exit(verdict.outcome.exit_code)


def _one_bundle(argument: Path | None, option: Path | None) -> Path | None:
    if argument is not None and option is not None:
        raise click.UsageError("BUNDLE.json and --bundle are the same: give one of them")
    return argument or option


def _refuse_log_options(ctx: click.Context) -> None:
    for parameter in ctx.command.params:
        from_command_line = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if parameter.name in LOG_ONLY and from_command_line:
            raise click.UsageError(f"{parameter.opts[0]} is for a log, not for a bundle")


def _require_same_log(ctx: click.Context, bundle: Bundle, contract: Address | None, log_id: LogId | None) -> None:
    """Refuse an option that names another log; what stands in the environment may be about another."""
    evidence = bundle.evidence
    named = (("contract", contract, evidence.domain.contract), ("log_id", log_id, evidence.log_id))
    for parameter, given, found in named:
        from_command_line = ctx.get_parameter_source(parameter) is ParameterSource.COMMANDLINE
        if given is not None and given != found and from_command_line:
            raise click.UsageError(f"the bundle is about {to_hex(found)}, not {to_hex(given)}")


def _put(verdict: Verdict, *, as_json: bool) -> None:
    checked_at_s = int(time.time())
    if as_json:
        document = verdict_document(verdict, version=release(), checked_at_s=checked_at_s)
        put_json({**document, "exit_code": verdict.outcome.exit_code})
    else:
        put_page(render_verdict(verdict, version=release(), checked_at_s=checked_at_s))
