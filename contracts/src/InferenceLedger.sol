// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "./IInferenceLedger.sol";

/// @title A registry of append-only logs of sealed inference records
/// @notice See IInferenceLedger; the measurements behind this shape are in docs/decisions/0009-contract-shape.md.
contract InferenceLedger is IInferenceLedger {
    /// @dev An append writes the first slot, `head`, the length of `ends`, one slot of `ends` (four share a slot), and a new slot of `roots`.
    struct Log {
        address writer;
        uint64 size;
        uint32 epoch;
        address pendingWriter;
        bytes32 head;
        /// Size of the log after each batch: the batch's first index is the end before it.
        uint64[] ends;
        mapping(uint64 batch => bytes32) roots;
    }

    uint256 private constant MAX_BATCH_RECORDS = 1024;

    bytes1 private constant LEAF_PREFIX = 0x00;
    bytes1 private constant NODE_PREFIX = 0x01;

    mapping(bytes32 logId => Log) private _logs;

    /// @inheritdoc IInferenceLedger
    function createLog(address writer, bytes32 salt) external returns (bytes32 logId) {
        if (writer == address(0)) revert ZeroWriter();
        logId = keccak256(abi.encode(block.chainid, address(this), msg.sender, salt));
        Log storage log = _logs[logId];
        if (log.writer != address(0)) revert LogExists(logId);
        log.writer = writer;
        log.head = logId;
        emit LogCreated(logId, writer);
    }

    /// @inheritdoc IInferenceLedger
    function openEpoch(bytes32 logId, uint32 epoch, bytes[] calldata wraps) external {
        Log storage log = _ownLog(logId);
        uint32 expected = log.epoch + 1;
        if (epoch != expected) revert EpochOutOfOrder(logId, expected, epoch);
        if (wraps.length == 0) revert NoWraps();
        log.epoch = epoch;
        emit EpochOpened(logId, epoch, log.size, wraps);
    }

    /// @inheritdoc IInferenceLedger
    function append(bytes32 logId, uint64 firstIndex, bytes32[] calldata fieldsRoots, bytes[] calldata sealed_)
        external
    {
        Log storage log = _ownLog(logId);
        if (log.epoch == 0) revert NoOpenEpoch(logId);
        if (firstIndex != log.size) revert StaleIndex(logId, log.size, firstIndex);
        uint256 count = fieldsRoots.length;
        if (count == 0 || count > MAX_BATCH_RECORDS) revert BadCount(count, MAX_BATCH_RECORDS);
        if (sealed_.length != count) revert LengthMismatch(count, sealed_.length);

        bytes32 root = _treeRoot(_appendRecords(logId, firstIndex, fieldsRoots, sealed_));
        _appendBatch(log, logId, firstIndex, uint32(count), root);
    }

    /// @inheritdoc IInferenceLedger
    function proposeWriter(bytes32 logId, address proposed) external {
        _ownLog(logId).pendingWriter = proposed;
        emit WriterProposed(logId, msg.sender, proposed);
    }

    /// @inheritdoc IInferenceLedger
    function acceptWriter(bytes32 logId) external {
        Log storage log = _knownLog(logId);
        address proposed = log.pendingWriter;
        // No key signs for the zero address, but a simulated call may come from it, and no proposal would match it.
        if (proposed == address(0) || msg.sender != proposed) revert NotPendingWriter(logId, msg.sender);
        address previous = log.writer;
        log.writer = msg.sender;
        log.pendingWriter = address(0);
        emit WriterRotated(logId, previous, msg.sender);
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
        return _isIncluded(log.roots[batch], leaf, index - firstIndex, count, path);
    }

    /// @inheritdoc IInferenceLedger
    function logState(bytes32 logId)
        external
        view
        returns (address writer, address pendingWriter, uint64 size, bytes32 head, uint64 batchCount, uint32 epoch)
    {
        Log storage log = _knownLog(logId);
        return (log.writer, log.pendingWriter, log.size, log.head, uint64(log.ends.length), log.epoch);
    }

    /// @inheritdoc IInferenceLedger
    function batchAt(bytes32 logId, uint64 batch)
        external
        view
        returns (uint64 firstIndex, uint32 count, bytes32 root)
    {
        Log storage log = _knownLog(logId);
        (firstIndex, count) = _batchRange(log, logId, batch);
        root = log.roots[batch];
    }

    /// @dev Emits every record's event and returns the leaves.
    function _appendRecords(bytes32 logId, uint64 firstIndex, bytes32[] calldata fieldsRoots, bytes[] calldata sealed_)
        private
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](fieldsRoots.length);
        for (uint256 position = 0; position < leaves.length; ++position) {
            bytes calldata sealedRecord = sealed_[position];
            if (sealedRecord.length == 0) revert EmptySealed(position);
            // A batch has at most 1,024 records, so only a log of nearly 2^64 could overflow: the addition is checked.
            uint64 index = firstIndex + uint64(position);
            bytes32 fieldsRoot = fieldsRoots[position];
            leaves[position] =
                keccak256(abi.encodePacked(LEAF_PREFIX, logId, index, fieldsRoot, keccak256(sealedRecord)));
            emit RecordAppended(logId, index, fieldsRoot, sealedRecord);
        }
    }

    /// @dev Writes the batch's root and end, and chains the head.
    function _appendBatch(Log storage log, bytes32 logId, uint64 firstIndex, uint32 count, bytes32 root) private {
        uint64 batch = uint64(log.ends.length);
        uint64 end = firstIndex + count;
        bytes32 head = keccak256(abi.encodePacked(log.head, root, firstIndex, count));
        log.size = end;
        log.head = head;
        log.ends.push(end);
        log.roots[batch] = root;
        emit BatchAppended(logId, batch, firstIndex, count, root, head);
    }

    function _knownLog(bytes32 logId) private view returns (Log storage log) {
        log = _logs[logId];
        if (log.writer == address(0)) revert UnknownLog(logId);
    }

    function _ownLog(bytes32 logId) private view returns (Log storage log) {
        log = _knownLog(logId);
        if (msg.sender != log.writer) revert NotWriter(logId, msg.sender);
    }

    function _batchRange(Log storage log, bytes32 logId, uint64 batch)
        private
        view
        returns (uint64 firstIndex, uint32 count)
    {
        if (batch >= log.ends.length) revert UnknownBatch(logId, batch);
        firstIndex = batch == 0 ? 0 : log.ends[batch - 1];
        count = uint32(log.ends[batch] - firstIndex);
    }

    /// @dev Reduces the leaves level by level, in place; a last node without a sibling moves up unhashed. This is the
    /// shape of RFC 9162 section 2.1.1: below the split at the largest power of two the left side is a full tree, which
    /// pairing never crosses, and the right side follows by induction.
    function _treeRoot(bytes32[] memory nodes) private pure returns (bytes32) {
        uint256 width = nodes.length;
        while (width > 1) {
            uint256 pairs = width / 2;
            for (uint256 i = 0; i < pairs; ++i) {
                nodes[i] = _node(nodes[2 * i], nodes[2 * i + 1]);
            }
            if (width % 2 == 1) nodes[pairs] = nodes[width - 1];
            width -= pairs;
        }
        return nodes[0];
    }

    /// @dev RFC 9162 section 2.1.3.2. The position and the count fix the path's length and every side, so an inner node
    /// cannot pass for a leaf.
    function _isIncluded(bytes32 root, bytes32 leaf, uint256 position, uint256 count, bytes32[] calldata path)
        private
        pure
        returns (bool)
    {
        uint256 last = count - 1;
        bytes32 node = leaf;
        for (uint256 i = 0; i < path.length; ++i) {
            if (last == 0) return false;
            if (position % 2 == 1 || position == last) {
                node = _node(path[i], node);
                // A node that was carried up has no sibling on the levels that it skipped.
                while (position % 2 == 0 && position != 0) {
                    position /= 2;
                    last /= 2;
                }
            } else {
                node = _node(node, path[i]);
            }
            position /= 2;
            last /= 2;
        }
        return last == 0 && node == root;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(NODE_PREFIX, left, right));
    }
}
