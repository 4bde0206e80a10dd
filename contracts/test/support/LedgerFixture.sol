// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../../src/IInferenceLedger.sol";
import {ReferenceTree} from "./ReferenceTree.sol";
import {Vm} from "./Vm.sol";

/// @notice A ledger with one log that is ready for records, and shorthands to fill and read it.
abstract contract LedgerFixture {
    /// @notice What one batch was made of.
    struct Batch {
        uint64 firstIndex;
        bytes32[] fieldsRoots;
        bytes[] sealed_;
        bytes32[] leaves;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address internal constant WRITER = address(0xA11CE);
    address internal constant STRANGER = address(0xB0B);
    bytes32 internal constant SALT = bytes32(uint256(7));
    bytes32 internal constant UNKNOWN_LOG = keccak256("no such log");

    IInferenceLedger internal ledger;
    bytes32 internal logId;

    function _start() internal {
        ledger = _deploy();
        logId = ledger.createLog(WRITER, SALT);
        vm.prank(WRITER);
        ledger.openEpoch(logId, 1, _wraps(1));
    }

    /// @dev Deploys what forge built from src/ instead of naming the contract in an import: the tests are then compiled by the
    /// quicker pipeline, and the contract by the one that its artifact is made with.
    function _deploy() internal returns (IInferenceLedger) {
        return IInferenceLedger(vm.deployCode("InferenceLedger.sol:InferenceLedger"));
    }

    /// @dev A batch that follows what the log holds, of records of mixed lengths; its bytes follow from the seed.
    function _makeBatch(uint256 count, uint256 seed) internal view returns (Batch memory made) {
        (,, uint64 size,,,) = ledger.logState(logId);
        made = _emptyBatch(size, count);
        for (uint256 i = 0; i < count; ++i) {
            _fill(made, i, seed, 40 + i % 40);
        }
    }

    /// @dev A batch of records that are all of one length.
    function _makeExactBatch(uint64 firstIndex, uint256 count, uint256 sealedBytes)
        internal
        view
        returns (Batch memory made)
    {
        made = _emptyBatch(firstIndex, count);
        for (uint256 i = 0; i < count; ++i) {
            _fill(made, i, 1, sealedBytes);
        }
    }

    function _emptyBatch(uint64 firstIndex, uint256 count) private pure returns (Batch memory) {
        return Batch({
            firstIndex: firstIndex,
            fieldsRoots: new bytes32[](count),
            sealed_: new bytes[](count),
            leaves: new bytes32[](count)
        });
    }

    function _fill(Batch memory batch, uint256 position, uint256 seed, uint256 sealedBytes) private view {
        bytes32 fieldsRoot = keccak256(abi.encode(seed, position, "fields"));
        batch.fieldsRoots[position] = fieldsRoot;
        batch.sealed_[position] = _randomBytes(sealedBytes, uint256(fieldsRoot));
        batch.leaves[position] =
            ReferenceTree.leaf(logId, batch.firstIndex + uint64(position), fieldsRoot, batch.sealed_[position]);
    }

    function _append(Batch memory batch) internal {
        vm.prank(WRITER);
        ledger.append(logId, batch.firstIndex, batch.fieldsRoots, batch.sealed_);
    }

    function _appendNew(uint256 count, uint256 seed) internal returns (Batch memory batch) {
        batch = _makeBatch(count, seed);
        _append(batch);
    }

    function _wraps(uint256 count) internal pure returns (bytes[] memory wraps) {
        wraps = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            wraps[i] = _randomBytes(1176, i);
        }
    }

    function _randomBytes(uint256 length, uint256 seed) internal pure returns (bytes memory data) {
        data = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            if (i % 32 == 0) seed = uint256(keccak256(abi.encode(seed)));
            data[i] = bytes1(uint8(seed >> (8 * (i % 32))));
        }
    }

    /// @dev A fuzzed value moved into a range, both ends included.
    function _within(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }
}
