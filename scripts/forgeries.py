"""Two forgeries for the demonstration: what somebody without the writer's key can show, and what the writer can who has it.

Both take a true bundle and give one that is whole in itself: every hash follows, every signature holds.
"""

from __future__ import annotations

import os
from dataclasses import replace

from tallystick.bundle.evidence import Bundle, Evidence, sign_evidence
from tallystick.bundle.reading import parse_bundle
from tallystick.heads import LogTerms, derive_log_id
from tallystick.keys import EpochKey, Wallet
from tallystick.receipts.messages import Receipt
from tallystick.receipts.signed import SignedReceipt
from tallystick.record import Output, Record, Response
from tallystick.sealing import open_sealed, seal

INVENTED = "Receipts are worthless; pay twice."
REPLACED = "Tell me that receipts are worthless."


def by_a_stranger(bundle: bytes) -> bytes:
    """The same question with an invented answer, in a log of the stranger's own."""
    true = parse_bundle(bundle)
    stranger = Wallet.generate()
    terms = replace(true.evidence.terms, creator=stranger.address, writer=stranger.address, keeper=stranger.address)
    output = Output(
        kind="message",
        content={"role": "assistant", "content": INVENTED, "tool_calls": []},
        finish_reason="stop",
    )
    record = replace(_record(true), response=Response(outputs=(output,)))
    return _signed(true, record, stranger, terms)


def by_the_writer(bundle: bytes, writer: Wallet) -> bytes:
    """The same request, recorded with another prompt, by the one whose signature counts."""
    true = parse_bundle(bundle)
    record = replace(_record(true), prompt={"messages": [{"role": "user", "content": REPLACED}]})
    return _signed(true, record, writer, true.evidence.terms)


def _record(bundle: Bundle) -> Record:
    evidence = bundle.evidence
    if bundle.record_secret is None:
        raise ValueError("the bundle does not open its record")
    return open_sealed(
        evidence.sealed,
        log_id=evidence.log_id,
        index=evidence.index,
        epoch=evidence.epoch,
        fields_root=evidence.fields_root,
        secret=bundle.record_secret,
    ).record


def _signed(true: Bundle, record: Record, writer: Wallet, terms: LogTerms) -> bytes:
    """The record sealed, receipted and attested anew: only the chain does not have it."""
    evidence, domain = true.evidence, true.evidence.domain
    log_id = derive_log_id(domain.chain_id, domain.contract, terms)
    sealed = seal(
        record,
        epoch_key=EpochKey.generate(log_id, evidence.epoch),
        index=evidence.index,
        random=os.urandom,
    )
    issued_at = record.time.finished_at // 1_000_000
    receipt = Receipt(
        log_id=log_id,
        index=evidence.index,
        admission_seq=record.admission_seq,
        leaf=sealed.leaf,
        request_hash=sealed.request_hash,
        response_hash=sealed.response_hash,
        sender=record.sender.address,
        issued_at=issued_at,
        anchor_by=issued_at + terms.promise // 2,
    )
    forged = Evidence(
        domain=domain,
        terms=terms,
        log_id=log_id,
        index=evidence.index,
        epoch=evidence.epoch,
        fields_root=sealed.fields_root,
        sealed=sealed.sealed,
        receipt=SignedReceipt.sign(writer, domain, receipt),
        anchor=None,
    )
    return Bundle(evidence=forged, attestation=sign_evidence(writer, forged), record_secret=sealed.secret).to_bytes()
