// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BatchTree} from "./BatchTree.sol";
import {IInferenceLedger} from "./IInferenceLedger.sol";
import {
    MAX_BATCH_RECORDS,
    MAX_NUMBER,
    MAX_PROMISE_S,
    MAX_SKEW_S,
    MAX_WRAPS,
    MIN_PROMISE_S,
    WRAP_BYTES
} from "./Limits.sol";
import {PackedBatch, packBatch} from "./PackedBatch.sol";
import {PackedRecords} from "./PackedRecords.sol";

/// @title A registry of append-only logs of sealed inference records
/// @notice See IInferenceLedger; the measurements behind this shape are in docs/decisions/0009-contract-shape.md.
contract InferenceLedger is IInferenceLedger {
    using PackedRecords for bytes;

    /// @dev One writer and where it began.
    struct Span {
        address writer;
        uint64 firstIndex;
        uint64 firstAdmission;
        uint64 since;
    }

    /// @dev A batch reads the first slot, writes the second and third, a new slot of `roots`, and half a slot of `batches`.
    struct Log {
        address writer;
        bytes32 head;
        uint64 size;
        uint64 entries;
        uint64 batchCount;
        uint32 epoch;
        bool epochOpen;
        uint8 mode;
        address keeper;
        uint32 promise_;
        uint32 skew;
        Span[] spans;
        mapping(uint64 batch => bytes32) roots;
        /// Two to a slot. An array of fixed length has no slot for its length, which `batchCount` says.
        PackedBatch[MAX_NUMBER + 1] batches;
    }

    uint16 private constant FORMAT = 2;
    uint8 private constant MODE_APPEND = 1;
    uint8 private constant MODE_COMMIT = 2;

    bytes1 private constant HEAD_PREFIX = 0x04;
    uint8 private constant KIND_BATCH = 1;
    uint8 private constant KIND_COMMIT = 2;
    uint8 private constant KIND_EPOCH = 3;
    uint8 private constant KIND_WRITER = 4;
    uint8 private constant KIND_VOID = 5;

    mapping(bytes32 logId => Log) private _logs;

    /// @inheritdoc IInferenceLedger
    function createLog(address writer, address keeper, uint8 mode, uint32 promise_, uint32 skew, bytes32 salt)
        external
        returns (bytes32 logId)
    {
        if (writer == address(0)) revert ZeroWriter();
        if (mode != MODE_APPEND && mode != MODE_COMMIT) revert BadMode(mode);
        if (promise_ < MIN_PROMISE_S || promise_ > MAX_PROMISE_S) {
            revert BadPromise(promise_, MIN_PROMISE_S, MAX_PROMISE_S);
        }
        if (skew > MAX_SKEW_S) revert BadSkew(skew, MAX_SKEW_S);

        logId = keccak256(
            abi.encode(block.chainid, address(this), msg.sender, salt, writer, keeper, FORMAT, mode, promise_, skew)
        );
        Log storage log = _logs[logId];
        if (log.writer != address(0)) revert LogExists(logId);
        log.writer = writer;
        log.head = logId;
        log.mode = mode;
        log.keeper = keeper;
        log.promise_ = promise_;
        log.skew = skew;
        log.spans.push(Span({writer: writer, firstIndex: 0, firstAdmission: 1, since: uint64(block.timestamp)}));
        emit LogCreated(logId, msg.sender, salt, writer, keeper, FORMAT, mode, promise_, skew);
    }

    /// @inheritdoc IInferenceLedger
    function openEpoch(bytes32 logId, bytes32 head, uint32 epoch, bytes calldata wraps) external {
        Log storage log = _writersLog(logId, head);
        uint32 expected = log.epoch + 1;
        if (epoch != expected) revert EpochOutOfOrder(logId, expected, epoch);
        if (wraps.length == 0 || wraps.length > MAX_WRAPS * WRAP_BYTES || wraps.length % WRAP_BYTES != 0) {
            revert BadWraps(wraps.length, WRAP_BYTES, MAX_WRAPS);
        }

        log.epoch = epoch;
        log.epochOpen = true;
        uint64 size = log.size;
        (uint64 entry, bytes32 newHead) = _chain(log, head, KIND_EPOCH, abi.encodePacked(epoch, size, keccak256(wraps)));
        emit EpochOpened(logId, entry, epoch, size, newHead, wraps);
    }

    /// @inheritdoc IInferenceLedger
    function append(bytes32 logId, bytes32 head, bytes calldata records) external {
        Log storage log = _openLog(logId, head, MODE_APPEND);
        uint64 firstIndex = log.size;
        uint64 batch = log.batchCount;
        uint32 epoch = log.epoch;
        (uint256 count, bytes32 root) = records.rootOf(logId, firstIndex);
        (uint64 entry, bytes32 newHead) = _addBatch(log, head, KIND_BATCH, uint32(count), root);
        emit BatchAppended(logId, entry, batch, firstIndex, uint32(count), epoch, root, newHead, records);
    }

    /// @inheritdoc IInferenceLedger
    function commit(bytes32 logId, bytes32 head, uint32 count, bytes32 root) external {
        Log storage log = _openLog(logId, head, MODE_COMMIT);
        if (count == 0 || count > MAX_BATCH_RECORDS) revert BadCount(count, MAX_BATCH_RECORDS);
        uint64 firstIndex = log.size;
        uint64 batch = log.batchCount;
        (uint64 entry, bytes32 newHead) = _addBatch(log, head, KIND_COMMIT, count, root);
        emit BatchCommitted(logId, entry, batch, firstIndex, count, log.epoch, root, newHead);
    }

    /// @inheritdoc IInferenceLedger
    function rotateWriter(bytes32 logId, bytes32 head, address writer, uint64 lastAdmission) external {
        Log storage log = _knownLog(logId);
        if (msg.sender != log.keeper) revert NotKeeper(logId, msg.sender);
        _requireHead(log, logId, head);
        if (writer == address(0)) revert ZeroWriter();
        // The highest number is left to the next writer, whose first is the one after the previous one's last.
        uint64 earliest = log.spans[log.spans.length - 1].firstAdmission - 1;
        if (lastAdmission < earliest || lastAdmission >= MAX_NUMBER) {
            revert BadLastAdmission(lastAdmission, earliest, MAX_NUMBER - 1);
        }

        address previous = log.writer;
        uint64 size = log.size;
        log.writer = writer;
        log.epochOpen = false;
        log.spans.push(Span(writer, size, lastAdmission + 1, uint64(block.timestamp)));
        (uint64 entry, bytes32 newHead) =
            _chain(log, head, KIND_WRITER, abi.encodePacked(previous, writer, size, lastAdmission));
        emit WriterRotated(logId, entry, previous, writer, size, lastAdmission, newHead);
    }

    /// @inheritdoc IInferenceLedger
    function voidNumbers(bytes32 logId, bytes32 head, uint64 first, uint64 last) external {
        Log storage log = _writersLog(logId, head);
        if (first == 0 || first > last || last > MAX_NUMBER) revert BadNumbers(first, last, MAX_NUMBER);
        (uint64 entry, bytes32 newHead) = _chain(log, head, KIND_VOID, abi.encodePacked(first, last));
        emit NumbersVoided(logId, entry, first, last, newHead);
    }

    /// @inheritdoc IInferenceLedger
    function logState(bytes32 logId)
        external
        view
        returns (
            address writer,
            uint64 size,
            uint64 entries,
            bytes32 head,
            uint64 batchCount,
            uint32 epoch,
            bool epochOpen
        )
    {
        Log storage log = _knownLog(logId);
        return (log.writer, log.size, log.entries, log.head, log.batchCount, log.epoch, log.epochOpen);
    }

    /// @inheritdoc IInferenceLedger
    function logTerms(bytes32 logId)
        external
        view
        returns (address keeper, uint16 format, uint8 mode, uint32 promise_, uint32 skew, uint64 createdAt)
    {
        Log storage log = _knownLog(logId);
        return (log.keeper, FORMAT, log.mode, log.promise_, log.skew, log.spans[0].since);
    }

    /// @inheritdoc IInferenceLedger
    function batchAt(bytes32 logId, uint64 batch)
        external
        view
        returns (uint64 firstIndex, uint32 count, uint32 epoch, uint64 time, bytes32 root)
    {
        Log storage log = _knownLog(logId);
        (firstIndex, count) = _batchRange(log, logId, batch);
        PackedBatch packed = log.batches[batch];
        return (firstIndex, count, packed.epoch(), packed.time(), log.roots[batch]);
    }

    /// @inheritdoc IInferenceLedger
    function batchOf(bytes32 logId, uint64 index) external view returns (uint64 batch) {
        Log storage log = _knownLog(logId);
        if (index >= log.size) revert UnknownIndex(logId, index);
        // The first batch after which the log holds more than `index` records lies in [batch, end).
        uint64 end = log.batchCount;
        while (end - batch > 1) {
            uint64 middle = (batch + end) / 2;
            if (log.batches[middle - 1].sizeAfter() <= index) batch = middle;
            else end = middle;
        }
    }

    /// @inheritdoc IInferenceLedger
    function writerCount(bytes32 logId) external view returns (uint64) {
        return uint64(_knownLog(logId).spans.length);
    }

    /// @inheritdoc IInferenceLedger
    function writerAt(bytes32 logId, uint64 span)
        external
        view
        returns (address writer, uint64 firstIndex, uint64 firstAdmission, uint64 since)
    {
        Log storage log = _knownLog(logId);
        if (span >= log.spans.length) revert UnknownSpan(logId, span);
        Span storage found = log.spans[span];
        return (found.writer, found.firstIndex, found.firstAdmission, found.since);
    }

    /// @inheritdoc IInferenceLedger
    function verify(bytes32 logId, uint64 batch, uint64 index, bytes32 leaf, bytes32[] calldata path)
        external
        view
        returns (bool)
    {
        Log storage log = _knownLog(logId);
        (uint64 firstIndex, uint32 count) = _batchRange(log, logId, batch);
        if (index < firstIndex || index - firstIndex >= count) return false;
        return BatchTree.isIncluded(log.roots[batch], leaf, index - firstIndex, count, path);
    }

    /// @dev Keeps a batch and chains its entry.
    function _addBatch(Log storage log, bytes32 head, uint8 kind, uint32 count, bytes32 root)
        private
        returns (uint64 entry, bytes32 newHead)
    {
        uint64 firstIndex = log.size;
        uint64 sizeAfter = firstIndex + count;
        uint64 batch = log.batchCount;
        uint32 epoch = log.epoch;
        log.size = sizeAfter;
        log.batchCount = batch + 1;
        log.roots[batch] = root;
        log.batches[batch] = packBatch(sizeAfter, epoch, block.timestamp);
        return _chain(log, head, kind, abi.encodePacked(epoch, firstIndex, count, root));
    }

    /// @dev Chains one more entry onto `head`, which the caller has compared with the log's.
    function _chain(Log storage log, bytes32 head, uint8 kind, bytes memory body)
        private
        returns (uint64 entry, bytes32 newHead)
    {
        entry = log.entries;
        newHead = keccak256(abi.encodePacked(HEAD_PREFIX, head, kind, entry, body));
        log.entries = entry + 1;
        log.head = newHead;
    }

    function _knownLog(bytes32 logId) private view returns (Log storage log) {
        log = _logs[logId];
        if (log.writer == address(0)) revert UnknownLog(logId);
    }

    /// @dev The log, for its writer, who has seen all of it.
    function _writersLog(bytes32 logId, bytes32 head) private view returns (Log storage log) {
        log = _knownLog(logId);
        if (msg.sender != log.writer) revert NotWriter(logId, msg.sender);
        _requireHead(log, logId, head);
    }

    /// @dev The log, for its writer, ready for a batch of this mode.
    function _openLog(bytes32 logId, bytes32 head, uint8 mode) private view returns (Log storage log) {
        log = _writersLog(logId, head);
        if (log.mode != mode) revert WrongMode(logId, log.mode);
        if (!log.epochOpen) revert NoOpenEpoch(logId);
    }

    function _requireHead(Log storage log, bytes32 logId, bytes32 head) private view {
        if (head != log.head) revert StaleHead(logId, log.head, head);
    }

    function _batchRange(Log storage log, bytes32 logId, uint64 batch)
        private
        view
        returns (uint64 firstIndex, uint32 count)
    {
        if (batch >= log.batchCount) revert UnknownBatch(logId, batch);
        firstIndex = batch == 0 ? 0 : log.batches[batch - 1].sizeAfter();
        count = uint32(log.batches[batch].sizeAfter() - firstIndex);
    }
}
