"""`tallystick verify`: a whole log, one record's evidence, or what somebody signed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from tallystick.bundle.evidence import Bundle
from tallystick.chain.artifact import load_artifact
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import Transport
from tallystick.cli.evidence_files import (
    kind_of,
    load,
    load_erasures,
    load_head,
    load_headed,
    load_messages,
    messages_of,
)
from tallystick.cli.model_folder import open_model
from tallystick.cli.options import (
    load_auditor_keys,
    open_reader,
    open_transport,
)
from tallystick.cli.output import progress, put_json, put_page, read_file
from tallystick.cli.program import COULD_NOT_CHECK, release
from tallystick.cli.trusting import ask_first_use, find_trusted, open_log, remember, standing_of, vouch_for
from tallystick.cli.verify_options import verify_options
from tallystick.evidence_files import MAX_FILE_BYTES, Recognised, SavedAnswer
from tallystick.ids import Address, LogId, to_hex
from tallystick.pull import BlobFolder
from tallystick.receipts.messages import Domain
from tallystick.report.documents import verdict_document
from tallystick.report.text import render_verdict
from tallystick.tasks import usual_target
from tallystick.trust.logs import TrustedLog
from tallystick.verify.binding_checks import Blobs, without_blobs
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.model_checks import ModelFolder
from tallystick.verify.promise_checks import Message
from tallystick.verify.signed_checks import SentRequest, verify_answer, verify_signed
from tallystick.verify.verdict import BundleSubject, LogSubject, Outcome, Step, Verdict
from tallystick.verify.vouching import Vouch
from tallystick.verify.whole_log import VerifyOptions, default_max_age_s, verify_log

LOG_ONLY: Final = frozenset(("auditor_keys", "first_index", "last_index", "receipts", "at_block", "heads", "erasures"))
EXAMPLES: Final = """\b
Examples:
  tallystick verify --rpc http://127.0.0.1:8545 --contract 0x.. --log 0x.. --auditor-key auditor.key
  tallystick verify --trust work --rpc https://node.example --receipt receipt.json
  tallystick verify evidence.json --trust work
  tallystick verify answer.json --request body.json --rpc https://node.example --writer 0x..
  tallystick verify answer.srt --headers headers.txt --trust work
  tallystick verify --model ./model evidence.json --trust work --replay
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the command line and the trust file say about whose log it is."""

    trusted: TrustedLog | None
    log_id: LogId | None
    chain_id: int | None
    writers: tuple[Address, ...]
    trust_file: Path | None
    trust_name: str | None

    def trusted_for(self, log_id: LogId) -> TrustedLog | None:
        """The trusted log that evidence is about."""
        found = self.trusted if self.trusted is not None else find_trusted(self.trust_file, None, log_id)
        if found is not None and self.trust_name is not None and found.log_id != log_id:
            raise click.UsageError(f"the evidence is about {to_hex(log_id)}, and {self.trust_name} is another log")
        return found

    def vouch(self, log_id: LogId, chain_id: int) -> Vouch | None:
        """Who says whose log it is."""
        if self.chain_id is not None and chain_id != self.chain_id:
            raise click.ClickException(f"the evidence is about chain {chain_id}, not about chain {self.chain_id}")
        return vouch_for(log_id, self.trusted_for(log_id), self.log_id, self.writers)


@click.command(epilog=EXAMPLES, short_help="Check a log, one record's evidence, or a receipt.")
@verify_options
@click.pass_context
def verify(ctx: click.Context, /, file: Path | None, named_file: Path | None, **options: Any) -> None:
    """Check a whole log from a chain node, or what is in FILE: one record's evidence, a receipt, or a saved answer.

    Without FILE the log is walked from its creation: every leaf, root and head is computed anew and compared with the contract, and the
    transactions' signatures with the writer. With an auditor's key the records are opened and checked too. With FILE it is told by its
    content what it is; with a node it is held against the log. Exit codes: 0, all that was asked for was checked and holds; 1,
    somebody is proven to have contradicted himself; 2, something asked for could not be checked.
    """
    path = _one_file(file, named_file)
    as_json = options["as_json"]
    known = _known(options)
    if options["second_rpc"] is not None and options["rpc"] is None:
        raise click.UsageError("--second-rpc is a second node: --rpc names the first")
    if options["rpc"] is not None and options["second_rpc"] == options["rpc"]:
        raise click.UsageError("--second-rpc is a second node: --rpc names the same one")
    if path is None:
        if any(options[name] for name in ("model", "manifest", "base", "export_file", "replay")):
            raise click.UsageError("a model folder is held against one record: give its evidence, FILE")
        for name, value in (("--request", options["sent_body"]), ("--headers", options["answer_headers"])):
            if value is not None:
                raise click.UsageError(f"{name} is for a saved answer, FILE")
        verdicts = [_verify_log(known, options)]
    else:
        _refuse_log_options(ctx)
        headers = options["answer_headers"]
        found = load(path) if headers is None else load_headed(path, headers)
        if not isinstance(found, Bundle) and options["model"]:
            raise click.UsageError(f"a model folder is held against one record's evidence; {path} is {kind_of(found)}")
        verdicts = _verify_file(ctx, path, found, known, options)
    codes = [verdict.outcome.exit_code for verdict in verdicts]
    code = 1 if 1 in codes else max(codes, default=COULD_NOT_CHECK)
    _put(verdicts, code, as_json=as_json)
    ctx.exit(code)


def _known(options: dict[str, Any]) -> Known:
    trusted = find_trusted(options["trust_file"], options["trust_name"], None) if options["trust_name"] else None
    return Known(
        trusted=trusted,
        log_id=options["log_id"],
        chain_id=options["chain_id"],
        writers=options["writers"],
        trust_file=options["trust_file"],
        trust_name=options["trust_name"],
    )


def _verify_log(known: Known, options: dict[str, Any]) -> Verdict:
    first, last = options["first_index"], options["last_index"]
    if last is not None and last < first:
        raise click.UsageError(f"--to {last} is before --from {first}")
    if (first or last is not None) and not options["auditor_keys"]:
        raise click.UsageError("--from and --to say which records to open: that needs --auditor-key FILE")
    reader = open_log(
        options["rpc"], options["contract"], options["log_id"], options["trust_file"], options["trust_name"]
    )
    messages: list[Message] = [one for path in options["receipts"] for one in load_messages(path)]
    messages += [load_head(path) for path in options["heads"]]
    messages += [one for path in options["erasures"] for one in load_erasures(path)]
    return _walk(reader, known, options, messages, Vouch(how="named", log_known=True))


def _walk(
    reader: LedgerReader, known: Known, options: dict[str, Any], messages: list[Message], vouch: Vouch | None
) -> Verdict:
    trusted = known.trusted or find_trusted(known.trust_file, None, reader.log_id)
    if trusted is not None and known.chain_id not in {None, trusted.chain_id}:
        raise click.UsageError(f"{trusted.name} is a log of chain {trusted.chain_id}, not of chain {known.chain_id}")
    given = options["max_age_s"]
    chosen = given if _was_given("max_age_s") else default_max_age_s(reader.chain_id())
    second = options["second_rpc"]
    settings = VerifyOptions(
        auditor_keys=load_auditor_keys(options["auditor_keys"]),
        messages=messages,
        blobs=_blobs(options),
        first_index=options["first_index"],
        last_index=options["last_index"],
        at_block=options["at_block"],
        chain_id=known.chain_id if trusted is None else trusted.chain_id,
        code_hash=None if trusted is None else trusted.code_hash,
        writers=known.writers,
        seen=standing_of(trusted),
        vouched=vouch is not None,
        now_s=time.time(),
        max_age_s=chosen,
        second=None if second is None else open_reader(second, reader.contract, reader.log_id),
    )
    with progress("verifying") as tell:
        verdict = verify_log(reader, settings, tell)
    if trusted is not None and verdict.outcome is Outcome.PROVEN and options["at_block"] is None:
        remember(known.trust_file, verdict)
    return verdict


def _verify_file(
    ctx: click.Context, path: Path, found: Recognised, known: Known, options: dict[str, Any]
) -> list[Verdict]:
    rpc = options["rpc"]
    if options["sent_body"] is not None and not isinstance(found, SavedAnswer):
        raise click.UsageError(f"--request is for a saved answer; {path} is {kind_of(found)}")
    if isinstance(found, Bundle):
        if options["second_rpc"] is not None:
            raise click.UsageError("--second-rpc is for a log, or for what is held against one; a bundle asks one node")
        evidence = found.evidence
        _require_same_log(ctx, evidence.domain, evidence.log_id, options)
        folder = open_model(options["model"], options["manifest"], options["base"], replay=options["replay"])
        vouch = known.vouch(evidence.log_id, evidence.domain.chain_id) or _ask(known, found)
        transport = None if rpc is None else open_transport(rpc)
        verdicts = []
        if options["export_file"] is not None:
            if folder is None:
                raise click.UsageError("--export is about a model folder: --model DIR")
            export = _verify_export(options, known, evidence.log_id, transport, folder)
            verdicts = [export]
            if export.outcome is Outcome.PROVEN and isinstance(export.subject, BundleSubject):
                folder = replace(folder, exported=export.subject.exported)
        blobs = _blobs(options, beside=path)
        return [verify_bundle(found, transport, folder, vouch=vouch, blobs=blobs), *verdicts]
    messages = messages_of(found, path)
    domain, log_id = messages[0].domain, messages[0].message.log_id
    _require_same_log(ctx, domain, log_id, options)
    vouch = known.vouch(log_id, domain.chain_id)
    verdicts = []
    if rpc is not None:
        reader = open_reader(rpc, domain.contract, log_id)
        reader.require_chain(domain.chain_id)
        verdicts = [_walk(reader, known, options, messages, vouch)]
        vouch = _with_writers(vouch, verdicts[0])
    if isinstance(found, SavedAnswer):
        answer = verify_answer(found, vouch, sent=_sent(options), held_against_log=rpc is not None)
        verdicts = verdicts if answer is None else [answer, *verdicts]
    elif rpc is None:
        verdicts = [verify_signed(messages, vouch)]
    return verdicts


def _verify_export(
    options: dict[str, Any], known: Known, log_id: LogId, transport: Transport | None, folder: ModelFolder
) -> Verdict:
    """The evidence of the export that a folder is, with the folder's files held against it."""
    path = options["export_file"]
    found = load(path)
    if not isinstance(found, Bundle):
        raise click.UsageError(f"--export takes the evidence of an export's record; {path} is {kind_of(found)}")
    evidence = found.evidence
    if evidence.log_id != log_id:
        raise click.UsageError(f"{path} is about another log, {to_hex(evidence.log_id)}")
    vouch = known.vouch(evidence.log_id, evidence.domain.chain_id)
    files = replace(folder, replay=None)
    return verify_bundle(found, transport, files, vouch=vouch, blobs=_blobs(options, beside=path))


def _sent(options: dict[str, Any]) -> SentRequest | None:
    if options["sent_body"] is None:
        return None
    body = read_file(options["sent_body"], MAX_FILE_BYTES)
    return SentRequest(
        method="POST",
        target=options["sent_target"] or usual_target(body),
        content_type=options["sent_type"] or None,
        body=body,
    )


def _with_writers(vouch: Vouch | None, walked: Verdict) -> Vouch | None:
    """The same word about whose log it is, with the writers that the walk over the log found, if their signatures hold."""
    authorship = walked.check(Step.AUTHORSHIP)
    if vouch is None or not vouch.log_known or not isinstance(walked.subject, LogSubject):
        return vouch
    if not authorship.held or authorship.failed or authorship.blocks:
        return vouch
    return replace(vouch, writers=(*vouch.writers, *walked.subject.writers))


def _ask(known: Known, bundle: Bundle) -> Vouch | None:
    evidence = bundle.evidence
    code_hash = load_artifact().code_hash
    trusted = ask_first_use(
        known.trust_file,
        evidence.domain.chain_id,
        evidence.domain.contract,
        evidence.log_id,
        evidence.terms,
        code_hash,
    )
    return vouch_for(evidence.log_id, trusted, None)


def _blobs(options: dict[str, Any], beside: Path | None = None) -> Blobs:
    folder = options["blob_folder"]
    if folder is None and beside is not None:
        folder = beside.parent / "blobs"
    return without_blobs if folder is None else BlobFolder(folder)


def _one_file(argument: Path | None, option: Path | None) -> Path | None:
    if argument is not None and option is not None:
        raise click.UsageError("FILE and --bundle are the same: give one of them")
    return argument or option


def _was_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source is not ParameterSource.DEFAULT


def _refuse_log_options(ctx: click.Context) -> None:
    for parameter in ctx.command.params:
        from_command_line = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if parameter.name in LOG_ONLY and from_command_line:
            raise click.UsageError(f"{parameter.opts[0]} is for a log, not for a file")


def _require_same_log(ctx: click.Context, domain: Domain, log_id: LogId, options: dict[str, Any]) -> None:
    """Refuse an option that names another log; what stands in the environment may be about another."""
    named = (("contract", options["contract"], domain.contract), ("log_id", options["log_id"], log_id))
    for parameter, given, found in named:
        from_command_line = ctx.get_parameter_source(parameter) is ParameterSource.COMMANDLINE
        if given is not None and given != found and from_command_line:
            raise click.UsageError(f"the file is about {to_hex(found)}, not {to_hex(given)}")


def _put(verdicts: list[Verdict], code: int, *, as_json: bool) -> None:
    checked_at_s = int(time.time())
    if not as_json:  # what decides the exit code is read last
        for verdict in sorted(
            verdicts, key=lambda one: (one.outcome is not Outcome.PROVEN, one.outcome.exit_code == code)
        ):
            put_page(render_verdict(verdict, version=release(), checked_at_s=checked_at_s))
        return
    documents = [verdict_document(one, version=release(), checked_at_s=checked_at_s) for one in verdicts]
    if len(documents) == 1:
        put_json(documents[0])
    elif isinstance(verdicts[1].subject, LogSubject):
        put_json(_joined({"answer": documents[0], "log": documents[1]}, top="log", code=code))
    else:
        put_json(_joined({"answer": documents[0], "export": documents[1]}, top="answer", code=code))


def _joined(parts: dict[str, dict[str, Any]], *, top: str, code: int) -> dict[str, Any]:
    """Two verdicts in one document: the one called `top` with the other inside, and what both come to on top."""
    both = parts.values()
    return {
        **parts[top],
        "outcome": str(list(Outcome)[code]),
        "exit_code": code,
        "summary": " ".join(f"The {name}: {one['summary']}" for name, one in parts.items()),
        "accused": [one for each in both for one in each["accused"]],
        "remedies": list(dict.fromkeys(one for each in both for one in each["remedies"])),
        "failures": [one for each in both for one in each["failures"]],
        "failures_found": sum(each["failures_found"] for each in both),
        **{name: one for name, one in parts.items() if name != top},
    }
