// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerFixture} from "./support/LedgerFixture.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";

/// @notice Does what a writer and strangers may try, in any order, and keeps its own account of what was accepted.
contract LedgerHandler is LedgerFixture {
    address public writer = WRITER;
    address public proposed;
    uint32 public epoch = 1;
    uint64 public size;
    bytes32 public head;
    bytes32[] public roots;

    constructor() {
        _start();
        head = logId;
    }

    function target() external view returns (IInferenceLedger, bytes32) {
        return (ledger, logId);
    }

    function batchCount() external view returns (uint256) {
        return roots.length;
    }

    function append(uint256 countSeed, uint256 seed) external {
        Batch memory batch = _makeBatch(_within(countSeed, 1, 12), seed);
        vm.prank(writer);
        ledger.append(logId, batch.firstIndex, batch.fieldsRoots, batch.sealed_);
        bytes32 root = ReferenceTree.root(batch.leaves);
        head = ReferenceTree.head(head, root, size, uint32(batch.leaves.length));
        size += uint64(batch.leaves.length);
        roots.push(root);
    }

    function appendAtAnotherIndex(uint64 firstIndex) external {
        if (firstIndex == size) ++firstIndex;
        Batch memory batch = _makeBatch(1, firstIndex);
        _refused(writer, abi.encodeCall(ledger.append, (logId, firstIndex, batch.fieldsRoots, batch.sealed_)));
    }

    function appendAsAStranger(address caller) external {
        if (caller == writer) return;
        Batch memory batch = _makeBatch(1, 1);
        _refused(caller, abi.encodeCall(ledger.append, (logId, size, batch.fieldsRoots, batch.sealed_)));
    }

    function openEpoch() external {
        vm.prank(writer);
        ledger.openEpoch(logId, ++epoch, _wraps(1));
    }

    function proposeWriter(address next) external {
        vm.prank(writer);
        ledger.proposeWriter(logId, next);
        proposed = next;
    }

    function acceptWriter() external {
        if (proposed == address(0)) return;
        vm.prank(proposed);
        ledger.acceptWriter(logId);
        (writer, proposed) = (proposed, address(0));
    }

    function acceptAsAStranger(address caller) external {
        // The zero address stands for no proposal, and must not accept one either.
        if (caller == proposed && caller != address(0)) return;
        _refused(caller, abi.encodeCall(ledger.acceptWriter, (logId)));
    }

    function _refused(address caller, bytes memory call) private {
        vm.prank(caller);
        (bool taken,) = address(ledger).call(call);
        vm.assertFalse(taken, "a call that must be refused was taken");
    }
}

contract InvariantTest is LedgerFixture {
    LedgerHandler private handler;

    function setUp() public {
        handler = new LedgerHandler();
        (ledger, logId) = handler.target();
    }

    /// @notice Forge calls nothing but the handler.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_the_size_is_the_sum_of_the_batches() public view {
        (,, uint64 size,, uint64 batches,) = ledger.logState(logId);
        uint64 sum = 0;
        for (uint64 batch = 0; batch < batches; ++batch) {
            (uint64 firstIndex, uint32 count,) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, sum, "a gap or an overlap between batches");
            vm.assertTrue(count > 0, "an empty batch");
            sum += count;
        }
        vm.assertEq(size, sum, "size");
        vm.assertEq(size, handler.size(), "size in the account");
    }

    function invariant_the_head_is_the_chain_over_all_batches() public view {
        (,,, bytes32 head, uint64 batches,) = ledger.logState(logId);
        vm.assertEq(batches, handler.batchCount(), "batches");
        bytes32 recomputed = logId;
        for (uint64 batch = 0; batch < batches; ++batch) {
            (uint64 firstIndex, uint32 count, bytes32 root) = ledger.batchAt(logId, batch);
            vm.assertEq(root, handler.roots(batch), "root");
            recomputed = ReferenceTree.head(recomputed, root, firstIndex, count);
        }
        vm.assertEq(head, recomputed, "head");
        vm.assertEq(head, handler.head(), "head in the account");
    }

    function invariant_writer_and_epoch_change_only_as_accepted() public view {
        (address writer, address pending,,,, uint32 epoch) = ledger.logState(logId);
        vm.assertEq(writer, handler.writer(), "writer");
        vm.assertEq(pending, handler.proposed(), "pending writer");
        vm.assertEq(epoch, handler.epoch(), "epoch");
    }
}
