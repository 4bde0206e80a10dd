"""What can keep a record from the chain.

Two kinds. An `AnchorHalted` means that going on could fork the log or hide a fault: anchoring stops until a person has looked.
Every other `AnchorError` is waited out: the anchorer keeps its rows, tries again slowly, and shows the error meanwhile.
A `BootstrapError` keeps the service from starting, and says what to do.
"""

from __future__ import annotations

from pathlib import Path

from tallystick.ids import to_hex
from tallystick_platform.errors import PlatformError


class AnchorError(PlatformError):
    """Something stands between the journal and the chain."""


class AnchorHalted(AnchorError):
    """Anchoring stopped: journal and chain tell different stories, or a record cannot be sent at all."""


class ChainAhead(AnchorHalted):
    """The chain holds more of this log than the journal does: the journal is older than the log, as a restored backup is."""

    def __init__(self, *, journal: int, chain: int, size: int) -> None:
        super().__init__(
            f"the journal is behind its chain: the log has {chain} entries and {size} records there, and this journal knows of {journal} "
            "entries. Restore the newest journal; or, if there is none, stop the server and run `tallystick-server journal adopt`"
        )


class HeadMismatch(AnchorHalted):
    """The log on the chain is not the beginning of the journal's log."""

    def __init__(self, *, entries: int, expected: bytes | None, found: bytes) -> None:
        known = "the journal does not know" if expected is None else f"the journal has {to_hex(expected)}"
        super().__init__(
            f"head mismatch after {entries} entries: the chain has {to_hex(found)}, {known}. Nothing more is sent to this log."
        )


class OtherLog(
    AnchorHalted,
    says="this journal is of another log: check TALLYSTICK_HOME, TALLYSTICK_CONTRACT and TALLYSTICK_LOG_ID, "
    "and that ledger.json is the journal's own",
):
    """The journal belongs to another log than the one that is to be written."""


class BatchMismatch(AnchorHalted):
    """The contract's row of a batch differs from the journal's."""

    def __init__(self, *, batch: int, field: str, expected: str, found: str) -> None:
        super().__init__(
            f"batch {batch}: {field} on the chain is {found}, in the journal {expected}. Nothing more is sent to this log."
        )


class WriterChanged(AnchorHalted):
    """The log's writer is not the wallet that signs here."""

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(
            f"the log's writer is {found}, this server signs as {expected}: rotate the writer back or set the operator key."
        )


class RecordTooLarge(AnchorHalted):
    """One record alone exceeds what a transaction carries."""

    def __init__(self, *, index: int, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"record {index} needs {size_bytes} bytes of calldata, a transaction carries {limit_bytes}")


class EpochMissing(AnchorHalted):
    """A record was sealed under an epoch that is not the open one and has no row to open it, so no auditor could read it."""

    def __init__(self, *, index: int, epoch: int, current: int, is_open: bool) -> None:
        open_ = f"epoch {current} is open" if is_open else f"epoch {current} was closed by a change of the writer"
        super().__init__(f"record {index} was sealed under epoch {epoch}, which cannot be opened: {open_} on the log")


class AdoptedEntryGone(AnchorError):
    """Entries that this journal read from the chain are not on it any more, and it cannot send them itself."""

    def __init__(self, *, entry: int) -> None:
        super().__init__(
            f"entry {entry} was read from the chain and is not there now: the chain is being reorganised, or the node lags. "
            "Anchoring waits until it is back"
        )


class KeepsReverting(AnchorHalted):
    """The contract refused the same work MAX_REVERTS times."""

    def __init__(self, *, what: str, reverts: int, tx_hash: bytes) -> None:
        super().__init__(f"{what} reverted {reverts} times, last in transaction {to_hex(tx_hash)}")


class LandingNotFound(AnchorError):
    """The log holds the row, and the node shows no transaction for it: it lags, or serves no logs."""

    def __init__(self, *, what: str) -> None:
        super().__init__(f"{what} stands on the chain, but the node shows no transaction for it yet")


class InsufficientFunds(AnchorError):
    """The operator's account cannot pay for the transaction."""

    def __init__(self, *, address: str, balance_wei: int, reason: str) -> None:
        super().__init__(
            f"account {address} holds {balance_wei} wei, too little to anchor: fund it and anchoring goes on ({reason})"
        )


class FeeCapReached(AnchorError):
    """A transaction waits, and to replace it would cost more than the operator allows."""

    def __init__(self, *, what: str, cap_wei: int) -> None:
        super().__init__(
            f"{what} waits for cheaper blocks: a higher fee would pass the cap of {cap_wei} wei per gas. Raise the cap, or wait."
        )


class TransactionStuck(AnchorError):
    """A transaction was replaced MAX_FEE_BUMPS times and still waits."""

    def __init__(self, *, what: str, fee_bumps: int, max_fee_wei: int) -> None:
        super().__init__(f"{what} still waits after {fee_bumps} fee bumps, at {max_fee_wei} wei per gas")


class TransactionRefused(AnchorError):
    """The node would not take a transaction, for a reason that no fee or nonce mends."""

    def __init__(self, *, code: int, reason: str) -> None:
        super().__init__(f"the node refused the transaction ({code}): {reason}")


class AdoptionRefused(PlatformError):
    """A journal cannot take its log over; nothing was changed."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the log cannot be taken over by this journal: {reason}")


class NotAnchored(PlatformError):
    """The writer is to change while this journal still has something to bring to the chain, which the next writer could not."""

    def __init__(self, *, records: int) -> None:
        super().__init__(
            f"{records} records of this journal, or entries that belong to them, are not on the chain yet: start the server, "
            "let it anchor everything, and stop it"
        )


class NothingToAdopt(PlatformError):
    """The chain holds nothing that the journal does not have."""

    def __init__(self, *, entries: int) -> None:
        super().__init__(
            f"journal and chain agree on {entries} entries: there is nothing to adopt. If this journal was restored from a backup, "
            "what was admitted since and not anchored is lost all the same: say --restored, and its numbers are declared void"
        )


# -- before the service starts ------------------------------------------------------------------------------------------


class BootstrapError(PlatformError):
    """The log could not be found or made."""


class WrongChain(BootstrapError):
    """The node belongs to another chain than the settings or the remembered log."""

    def __init__(self, *, expected: int, found: int) -> None:
        super().__init__(
            f"the node is of chain {found}, expected {expected}: check TALLYSTICK_CHAIN_RPC and TALLYSTICK_CHAIN_ID"
        )


class ContractAbsent(BootstrapError):
    """There is no code at the contract's address."""

    def __init__(self, *, contract: str, chain_id: int) -> None:
        how = "check TALLYSTICK_CONTRACT, or make a log with `tallystick-server log create --rpc URL --keeper ADDRESS`"
        super().__init__(f"no contract at {contract} on chain {chain_id}: {how}")


class ContractDiffers(BootstrapError):
    """The code at the contract's address is not the ledger contract of this version."""

    def __init__(self, *, contract: str, expected: str, found: str) -> None:
        super().__init__(
            f"the code at {contract} has the hash {found}, this version's contract {expected}: nothing is written to it"
        )


class LogAbsent(BootstrapError):
    """The contract knows no such log."""

    def __init__(self, *, log_id: str, contract: str) -> None:
        how = "check TALLYSTICK_LOG_ID, or make one with `tallystick-server log create --rpc URL --keeper ADDRESS --contract ADDRESS`"
        super().__init__(f"the contract {contract} has no log {log_id}: {how}")


class LogModeUnknown(BootstrapError):
    """The log takes roots only, and this service appends sealed records."""

    def __init__(self, *, log_id: str, mode: int) -> None:
        super().__init__(
            f"the log {log_id} has mode {mode}: this service writes logs of mode 1, whose records stand on the chain"
        )


class TermsDiffer(BootstrapError):
    """The node shows terms that do not lead to the log's identifier, or none."""

    def __init__(self, *, log_id: str) -> None:
        super().__init__(f"the node shows no creation whose terms lead to the log {log_id}: ask another node")


class LedgerLost(BootstrapError):
    """The remembered contract is not on the chain and cannot come back under its address."""

    def __init__(self, *, contract: str, path: Path) -> None:
        how = f"restore the chain's folder, or start with an empty TALLYSTICK_HOME ({path} names the contract)"
        super().__init__(f"the contract {contract} of this journal's log is not on the chain any more: {how}")


class LocationUnreadable(BootstrapError):
    """The file that remembers the log cannot be used."""

    def __init__(self, *, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} {reason}; it can be deleted on the embedded chain, where the log is found again without it"
        )


class SetupReverted(BootstrapError):
    """A transaction that makes the contract or the log was mined and failed."""

    def __init__(self, *, what: str, tx_hash: bytes) -> None:
        super().__init__(f"{what} failed on the chain, in transaction {to_hex(tx_hash)}")


class NotMinedInTime(BootstrapError):
    """A transaction that makes the contract or the log was sent and did not show within the bound."""

    def __init__(self, *, what: str, tx_hash: bytes, waited_s: float) -> None:
        super().__init__(
            f"{what} was sent as {to_hex(tx_hash)} and not mined within {waited_s:g} s; start again once it is"
        )
