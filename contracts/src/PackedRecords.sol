// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BatchTree} from "./BatchTree.sol";
import {IInferenceLedger} from "./IInferenceLedger.sol";
import {MAX_BATCH_RECORDS, MAX_CIPHERTEXT_BYTES, MAX_NUMBER, MIN_CIPHERTEXT_BYTES} from "./Limits.sol";

/// @title The records of a batch as one byte string
/// @dev Each record is uint24 size of its ciphertext || fields root (32) || header (25) || ciphertext.
library PackedRecords {
    using BatchTree for bytes32[];

    bytes1 private constant LEAF_PREFIX = 0x00;
    uint256 private constant CHAIN_CUSTODY = 0x20;
    uint256 private constant VAULT_CUSTODY = 0x21;

    uint256 private constant LENGTH_BYTES = 3;
    uint256 private constant FLAGS_AT = LENGTH_BYTES + 32;
    uint256 private constant NONCE_AT = FLAGS_AT + 9;
    uint256 private constant CIPHERTEXT_AT = NONCE_AT + 16;

    /// @dev Counts the records and gives the root over their leaves. Every byte belongs to a record within its bounds.
    function rootOf(bytes calldata records, bytes32 logId, uint64 firstIndex)
        internal
        pure
        returns (uint256 count, bytes32 root)
    {
        bytes32[] memory subtrees = BatchTree.newTree();
        bytes calldata rest = records;
        while (rest.length > 0) {
            if (count == MAX_BATCH_RECORDS) revert IInferenceLedger.BadCount(count + 1, MAX_BATCH_RECORDS);
            uint256 end = _checkedEnd(rest, count);
            subtrees.add(count, _leaf(logId, firstIndex + uint64(count), rest[:end]));
            rest = rest[end:];
            ++count;
        }
        if (count == 0) revert IInferenceLedger.BadCount(0, MAX_BATCH_RECORDS);
        root = subtrees.root(count);
    }

    /// @dev Where the first record ends.
    function _checkedEnd(bytes calldata rest, uint256 position) private pure returns (uint256 end) {
        if (rest.length < CIPHERTEXT_AT) revert IInferenceLedger.TruncatedRecord(position);
        uint256 size = uint24(bytes3(rest[:LENGTH_BYTES]));
        if (size < MIN_CIPHERTEXT_BYTES || size > MAX_CIPHERTEXT_BYTES) {
            revert IInferenceLedger.BadCiphertext(position, size, MIN_CIPHERTEXT_BYTES, MAX_CIPHERTEXT_BYTES);
        }
        end = CIPHERTEXT_AT + size;
        if (rest.length < end) revert IInferenceLedger.TruncatedRecord(position);

        uint72 flagsAndNumber = uint72(bytes9(rest[FLAGS_AT:NONCE_AT]));
        uint256 flags = flagsAndNumber >> 64;
        uint64 number = uint64(flagsAndNumber);
        if ((flags != CHAIN_CUSTODY && flags != VAULT_CUSTODY) || number == 0 || number > MAX_NUMBER) {
            revert IInferenceLedger.BadHeader(position);
        }
    }

    function _leaf(bytes32 logId, uint64 index, bytes calldata record) private pure returns (bytes32) {
        bytes calldata rootAndHeader = record[LENGTH_BYTES:CIPHERTEXT_AT];
        bytes32 ciphertextHash = keccak256(record[CIPHERTEXT_AT:]);
        return keccak256(abi.encodePacked(LEAF_PREFIX, logId, index, rootAndHeader, ciphertextHash));
    }
}
