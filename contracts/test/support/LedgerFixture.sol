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
        bytes records;
        bytes32[] leaves;
    }

    /// @notice What `logState` returns.
    struct State {
        address writer;
        uint64 size;
        uint64 entries;
        bytes32 head;
        uint64 batchCount;
        uint32 epoch;
        bool epochOpen;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address internal constant WRITER = address(0xA11CE);
    address internal constant KEEPER = address(0xC0FFEE);
    address internal constant NEXT = address(0xCAFE);
    address internal constant STRANGER = address(0xB0B);
    bytes32 internal constant SALT = bytes32(uint256(7));
    bytes32 internal constant UNKNOWN_LOG = keccak256("no such log");
    bytes32 internal constant ROOT = keccak256("a root");
    uint8 internal constant APPEND = 1;
    uint8 internal constant COMMIT = 2;
    uint32 internal constant PROMISE = 3_600;
    uint32 internal constant SKEW = 60;
    uint256 internal constant WRAP_BYTES = 1_176;
    uint256 internal constant MIN_CIPHERTEXT_BYTES = 17;
    uint64 internal constant MAX_NUMBER = 2 ** 53 - 1;

    IInferenceLedger internal ledger;
    bytes32 internal logId;

    function _start() internal {
        ledger = _deploy();
        logId = _newLog(APPEND, SALT);
        _openEpoch(1);
    }

    /// @dev Deploys what forge built from src/ instead of naming the contract in an import: the tests are then compiled by the
    /// quicker pipeline, and the contract by the one that its artifact is made with.
    function _deploy() internal returns (IInferenceLedger) {
        return IInferenceLedger(vm.deployCode("InferenceLedger.sol:InferenceLedger"));
    }

    function _newLog(uint8 mode, bytes32 salt) internal returns (bytes32) {
        return ledger.createLog(WRITER, KEEPER, mode, PROMISE, SKEW, salt);
    }

    function _openEpoch(uint32 epoch) internal {
        bytes32 head = _head();
        bytes memory wraps = _wraps(1);
        vm.prank(_state().writer);
        ledger.openEpoch(logId, head, epoch, wraps);
    }

    function _state() internal view returns (State memory state) {
        (state.writer, state.size, state.entries, state.head, state.batchCount, state.epoch, state.epochOpen) =
            ledger.logState(logId);
    }

    function _head() internal view returns (bytes32) {
        return _state().head;
    }

    function _root(uint64 batch) internal view returns (bytes32 root) {
        (,,,, root) = ledger.batchAt(logId, batch);
    }

    /// @dev A batch that follows what the log holds, of records of mixed lengths; its bytes follow from the seed.
    function _makeBatch(uint256 count, uint256 seed) internal view returns (Batch memory made) {
        bytes[] memory records = new bytes[](count);
        made = Batch({firstIndex: _state().size, records: "", leaves: new bytes32[](count)});
        for (uint256 i = 0; i < count; ++i) {
            (records[i], made.leaves[i]) = _makeRecord(made.firstIndex + uint64(i), seed, MIN_CIPHERTEXT_BYTES + i % 40);
        }
        made.records = _joined(records, 0, count);
    }

    /// @dev A batch of records whose sealed bytes, header included, are all of one length.
    function _makeExactBatch(uint256 count, uint256 sealedBytes) internal view returns (Batch memory made) {
        bytes[] memory records = new bytes[](count);
        made = Batch({firstIndex: _state().size, records: "", leaves: new bytes32[](count)});
        for (uint256 i = 0; i < count; ++i) {
            (records[i], made.leaves[i]) = _makeRecord(made.firstIndex + uint64(i), 1, sealedBytes - 25);
        }
        made.records = _joined(records, 0, count);
    }

    function _makeRecord(uint64 index, uint256 seed, uint256 ciphertextBytes)
        private
        view
        returns (bytes memory record, bytes32 leaf)
    {
        bytes32 fieldsRoot = keccak256(abi.encode(seed, index, "fields"));
        bytes memory header = _header(hex"20", index + 1, fieldsRoot);
        bytes memory ciphertext = _randomBytes(ciphertextBytes, uint256(fieldsRoot));
        record = _packed(fieldsRoot, header, ciphertext);
        leaf = ReferenceTree.leaf(logId, index, fieldsRoot, header, ciphertext);
    }

    /// @dev Halves are joined first: one by one, the memory would grow with the square of the count.
    function _joined(bytes[] memory parts, uint256 from, uint256 to) private pure returns (bytes memory) {
        if (from == to) return "";
        if (to - from == 1) return parts[from];
        uint256 middle = (from + to) / 2;
        return bytes.concat(_joined(parts, from, middle), _joined(parts, middle, to));
    }

    function _header(bytes1 flags, uint64 number, bytes32 seed) internal pure returns (bytes memory) {
        return bytes.concat(flags, bytes8(number), bytes16(keccak256(abi.encode(seed, "nonce"))));
    }

    function _packed(bytes32 fieldsRoot, bytes memory header, bytes memory ciphertext)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(bytes3(uint24(ciphertext.length)), fieldsRoot, header, ciphertext);
    }

    function _append(Batch memory batch) internal {
        State memory state = _state();
        vm.prank(state.writer);
        ledger.append(logId, state.head, batch.records);
    }

    function _appendNew(uint256 count, uint256 seed) internal returns (Batch memory batch) {
        batch = _makeBatch(count, seed);
        _append(batch);
    }

    function _commit(uint32 count, bytes32 root) internal {
        State memory state = _state();
        vm.prank(state.writer);
        ledger.commit(logId, state.head, count, root);
    }

    function _rotate(address writer, uint64 lastAdmission) internal {
        bytes32 head = _head();
        vm.prank(KEEPER);
        ledger.rotateWriter(logId, head, writer, lastAdmission);
    }

    /// @dev The next call, by `caller`, must be refused with this data.
    function _expectRefusal(address caller, bytes memory revertData) internal {
        vm.expectRevert(revertData);
        vm.prank(caller);
    }

    function _wraps(uint256 count) internal pure returns (bytes memory) {
        return _randomBytes(count * WRAP_BYTES, count);
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

    function _assertSame(State memory found, State memory expected) internal pure {
        vm.assertEq(keccak256(abi.encode(found)), keccak256(abi.encode(expected)), "the state has changed");
    }
}
