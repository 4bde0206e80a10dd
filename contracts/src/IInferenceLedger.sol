// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A registry of append-only logs of sealed inference records
/// @notice Each log has one writer. The writer appends batches of sealed records; the contract computes every leaf, the
/// batch's root and the log's head itself, so an event that stands on the chain is a record that the head commits to.
/// Nobody can edit, remove, pause or upgrade anything.
/// @dev Byte forms are those of ledger/SPEC.md section 5. Indices, batches and positions count from 0, epochs from 1.
interface IInferenceLedger {
    /// @notice A log exists from this block on.
    event LogCreated(bytes32 indexed logId, address indexed writer);

    /// @notice `proposed` may take over the log by accepting; the zero address withdraws the standing proposal.
    event WriterProposed(bytes32 indexed logId, address indexed writer, address indexed proposed);

    /// @notice `writer` has taken over the log from `previous`.
    event WriterRotated(bytes32 indexed logId, address indexed previous, address indexed writer);

    /// @notice Records from `firstIndex` on may be sealed under `epoch`; `wraps` are its key, once per auditor.
    event EpochOpened(bytes32 indexed logId, uint32 indexed epoch, uint64 firstIndex, bytes[] wraps);

    /// @notice One sealed record, at its place in the log.
    event RecordAppended(bytes32 indexed logId, uint64 indexed index, bytes32 fieldsRoot, bytes sealed_);

    /// @notice A batch is complete; its records' events stand directly before this one.
    /// @param batch The batch's number
    /// @param root Tree root over the batch's leaves
    /// @param head The log's head after this batch
    event BatchAppended(
        bytes32 indexed logId, uint64 indexed batch, uint64 firstIndex, uint32 count, bytes32 root, bytes32 head
    );

    /// @notice No log has this identifier.
    error UnknownLog(bytes32 logId);

    /// @notice The caller has created a log with this salt before.
    error LogExists(bytes32 logId);

    /// @notice A log cannot start without a writer.
    error ZeroWriter();

    /// @notice Only the log's writer may do this.
    error NotWriter(bytes32 logId, address caller);

    /// @notice Only the proposed writer may accept.
    error NotPendingWriter(bytes32 logId, address caller);

    /// @notice The batch does not start where the log ends: it was already appended, or one before it is missing.
    error StaleIndex(bytes32 logId, uint64 expected, uint64 given);

    /// @notice A batch holds between 1 and `max` records.
    error BadCount(uint256 given, uint256 max);

    /// @notice Each record has one fields root and one sealed byte string.
    error LengthMismatch(uint256 roots, uint256 sealed_);

    /// @notice The record at this position of the batch has no bytes.
    error EmptySealed(uint256 position);

    /// @notice Epochs are numbered without gaps.
    error EpochOutOfOrder(bytes32 logId, uint32 expected, uint32 given);

    /// @notice Records need an epoch whose key is wrapped for somebody.
    error NoOpenEpoch(bytes32 logId);

    /// @notice An epoch that no auditor can open would make its records unreadable.
    error NoWraps();

    /// @notice The log has no batch of this number.
    error UnknownBatch(bytes32 logId, uint64 batch);

    /// @notice Starts a log.
    /// @dev Reverts with ZeroWriter or LogExists.
    /// @param writer The only address that may append
    /// @param salt Tells apart the logs that one caller creates
    /// @return logId keccak256(abi.encode(chain id, this contract, caller, salt))
    function createLog(address writer, bytes32 salt) external returns (bytes32 logId);

    /// @notice Publishes the next epoch's wrapped keys.
    /// @dev Reverts with UnknownLog, NotWriter, EpochOutOfOrder or NoWraps.
    /// @param epoch The previous epoch plus one
    /// @param wraps The epoch key, encrypted once per auditor (SPEC section 2)
    function openEpoch(bytes32 logId, uint32 epoch, bytes[] calldata wraps) external;

    /// @notice Appends one batch: an event per record, then the batch's root and the log's new head.
    /// @dev Reverts with UnknownLog, NotWriter, NoOpenEpoch, StaleIndex, BadCount, LengthMismatch or EmptySealed, in this order.
    /// @param firstIndex The log's size, so that a batch sent twice is refused
    /// @param fieldsRoots Commitment to each record's fields (SPEC section 3)
    /// @param sealed_ Each record's sealed bytes (SPEC section 4)
    function append(bytes32 logId, uint64 firstIndex, bytes32[] calldata fieldsRoots, bytes[] calldata sealed_) external;

    /// @notice Hands the log to another address, once that address accepts.
    /// @dev Reverts with UnknownLog or NotWriter.
    /// @param proposed The next writer; the zero address withdraws a standing proposal
    function proposeWriter(bytes32 logId, address proposed) external;

    /// @notice Takes over a log that was offered to the caller.
    /// @dev Reverts with UnknownLog or NotPendingWriter.
    function acceptWriter(bytes32 logId) external;

    /// @notice Says whether `leaf` stands at `index` of the log, in `batch`.
    /// @dev Reverts with UnknownLog or UnknownBatch; any other wrong argument gives false.
    /// @param path Inclusion path, from the leaf's sibling to the root's child (RFC 9162 section 2.1.3)
    function verify(bytes32 logId, uint64 batch, uint64 index, bytes32 leaf, bytes32[] calldata path)
        external
        view
        returns (bool);

    /// @notice A log as it stands.
    /// @dev Reverts with UnknownLog.
    /// @return writer The address that may append
    /// @return pendingWriter The address that may take over, or zero
    /// @return size Number of records
    /// @return head Chained hash over all batches; the log's identifier while there is none
    /// @return batchCount Number of batches
    /// @return epoch The newest open epoch, or zero
    function logState(bytes32 logId)
        external
        view
        returns (address writer, address pendingWriter, uint64 size, bytes32 head, uint64 batchCount, uint32 epoch);

    /// @notice One batch of a log.
    /// @dev Reverts with UnknownLog or UnknownBatch.
    function batchAt(bytes32 logId, uint64 batch) external view returns (uint64 firstIndex, uint32 count, bytes32 root);
}
