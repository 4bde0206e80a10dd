// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";
import {Vm} from "./support/Vm.sol";

contract AppendTest is LedgerTest {
    uint256 private constant MAX_BATCH_RECORDS = 1024;

    function test_root_and_head_equal_the_recursive_tree_for_every_count_up_to_70() public {
        bytes32 head = logId;
        for (uint64 batch = 0; batch < 70; ++batch) {
            Batch memory appended = _appendNew(batch + 1, batch);
            (uint64 firstIndex, uint32 count, bytes32 root) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, appended.firstIndex, "first index");
            vm.assertEq(count, batch + 1, "count");
            vm.assertEq(root, ReferenceTree.root(appended.leaves), "root");
            head = ReferenceTree.head(head, root, firstIndex, count);
        }
        (,,, bytes32 found, uint64 batches,) = ledger.logState(logId);
        vm.assertEq(found, head, "head");
        vm.assertEq(batches, 70, "batches");
    }

    function test_one_event_for_each_record_in_order_and_the_batch_after_them() public {
        _appendNew(2, 0);
        Batch memory batch = _makeBatch(5, 1);
        (,,, bytes32 previous,,) = ledger.logState(logId);
        bytes32 root = ReferenceTree.root(batch.leaves);
        for (uint256 i = 0; i < 5; ++i) {
            vm.expectEmit(address(ledger));
            emit IInferenceLedger.RecordAppended(logId, 2 + uint64(i), batch.fieldsRoots[i], batch.sealed_[i]);
        }
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.BatchAppended(logId, 1, 2, 5, root, ReferenceTree.head(previous, root, 2, 5));
        vm.recordLogs();
        _append(batch);
        vm.assertEq(vm.getRecordedLogs().length, 6, "events");
    }

    function test_a_batch_of_one_is_its_own_root() public {
        Batch memory batch = _appendNew(1, 1);
        (,, bytes32 root) = ledger.batchAt(logId, 0);
        vm.assertEq(root, batch.leaves[0], "root");
    }

    function test_a_batch_holds_up_to_1024_records() public {
        Batch memory batch = _makeExactBatch(0, MAX_BATCH_RECORDS, 1);
        _append(batch);
        (,, bytes32 root) = ledger.batchAt(logId, 0);
        vm.assertEq(root, ReferenceTree.root(batch.leaves), "root");
    }

    function test_a_batch_of_1025_is_refused() public {
        Batch memory batch = _makeExactBatch(0, MAX_BATCH_RECORDS + 1, 1);
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.BadCount.selector, 1025, 1024), batch);
    }

    function test_an_empty_batch_is_refused() public {
        Batch memory batch = _makeBatch(0, 1);
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.BadCount.selector, 0, 1024), batch);
    }

    function test_more_roots_than_sealed_records_are_refused() public {
        Batch memory batch = _makeBatch(3, 1);
        batch.sealed_ = _makeBatch(2, 1).sealed_;
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.LengthMismatch.selector, 3, 2), batch);
    }

    function test_more_sealed_records_than_roots_are_refused() public {
        Batch memory batch = _makeBatch(3, 1);
        batch.fieldsRoots = _makeBatch(2, 1).fieldsRoots;
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.LengthMismatch.selector, 2, 3), batch);
    }

    function test_a_record_of_one_byte_is_enough() public {
        Batch memory batch = _makeBatch(1, 1);
        batch.sealed_[0] = hex"00";
        _append(batch);
    }

    function testFuzz_a_record_without_bytes_is_refused_by_its_position(uint256 countSeed, uint256 positionSeed)
        public
    {
        uint256 count = _within(countSeed, 1, 20);
        uint256 position = _within(positionSeed, 0, count - 1);
        Batch memory batch = _makeBatch(count, 1);
        batch.sealed_[position] = "";
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.EmptySealed.selector, position), batch);
    }

    function test_a_log_without_an_epoch_takes_no_records() public {
        logId = ledger.createLog(WRITER, bytes32(0));
        Batch memory batch = _makeBatch(1, 1);
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.NoOpenEpoch.selector, logId), batch);
        vm.prank(WRITER);
        ledger.openEpoch(logId, 1, _wraps(1));
        _append(batch);
    }

    function test_a_stranger_appends_nothing() public {
        Batch memory batch = _makeBatch(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, STRANGER));
        vm.prank(STRANGER);
        ledger.append(logId, 0, batch.fieldsRoots, batch.sealed_);
        _append(batch);
    }

    function test_the_creator_of_a_log_is_not_its_writer() public {
        Batch memory batch = _makeBatch(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, address(this)));
        ledger.append(logId, 0, batch.fieldsRoots, batch.sealed_);
    }

    function test_an_unknown_log_takes_no_records() public {
        Batch memory batch = _makeBatch(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        vm.prank(WRITER);
        ledger.append(UNKNOWN_LOG, 0, batch.fieldsRoots, batch.sealed_);
    }

    function test_a_batch_sent_twice_is_refused_by_its_index() public {
        Batch memory batch = _appendNew(4, 1);
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.StaleIndex.selector, logId, 4, 0), batch);
    }

    function testFuzz_only_the_next_index_is_taken(uint64 given) public {
        _appendNew(4, 1);
        vm.assume(given != 4);
        Batch memory batch = _makeBatch(1, 2);
        batch.firstIndex = given;
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.StaleIndex.selector, logId, 4, given), batch);
    }

    function testFuzz_indices_are_gap_free_over_batches(uint8[12] memory counts) public {
        uint64 size = 0;
        for (uint256 i = 0; i < counts.length; ++i) {
            uint256 count = _within(counts[i], 1, 9);
            Batch memory batch = _makeBatch(count, i);
            vm.recordLogs();
            _append(batch);
            Vm.Log[] memory logs = vm.getRecordedLogs();
            vm.assertEq(logs.length, count + 1, "events");
            for (uint256 position = 0; position < count; ++position) {
                vm.assertEq(logs[position].topics[0], IInferenceLedger.RecordAppended.selector, "event");
                vm.assertEq(logs[position].topics[1], logId, "log");
                vm.assertEq(uint256(logs[position].topics[2]), size + position, "index");
            }
            size += uint64(count);
            (,, uint64 found,,,) = ledger.logState(logId);
            vm.assertEq(found, size, "size");
        }
    }

    function testFuzz_any_bytes_give_the_leaf_of_the_specification(bytes32 fieldsRoot, bytes calldata sealed_) public {
        vm.assume(sealed_.length > 0);
        Batch memory batch = _makeBatch(1, 1);
        batch.fieldsRoots[0] = fieldsRoot;
        batch.sealed_[0] = sealed_;
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.RecordAppended(logId, 0, fieldsRoot, sealed_);
        _append(batch);
        (,, bytes32 root) = ledger.batchAt(logId, 0);
        vm.assertEq(root, ReferenceTree.leaf(logId, 0, fieldsRoot, sealed_), "leaf");
    }

    function test_two_logs_do_not_touch_each_other() public {
        bytes32 first = logId;
        _appendNew(3, 1);
        (,, uint64 size, bytes32 head, uint64 batches, uint32 epoch) = ledger.logState(first);
        logId = ledger.createLog(WRITER, bytes32(0));
        vm.prank(WRITER);
        ledger.openEpoch(logId, 1, _wraps(1));
        _appendNew(8, 1);
        _assertState(first, size, head, batches, epoch);
    }

    function test_a_refused_batch_changes_nothing() public {
        _appendNew(3, 1);
        (,, uint64 size, bytes32 head, uint64 batches, uint32 epoch) = ledger.logState(logId);
        Batch memory batch = _makeBatch(3, 2);
        batch.sealed_[2] = "";
        _expectRefusal(abi.encodeWithSelector(IInferenceLedger.EmptySealed.selector, 2), batch);
        _assertState(logId, size, head, batches, epoch);
    }

    function _assertState(bytes32 id, uint64 size, bytes32 head, uint64 batches, uint32 epoch) private view {
        (,, uint64 sizeFound, bytes32 headFound, uint64 batchesFound, uint32 epochFound) = ledger.logState(id);
        vm.assertEq(sizeFound, size, "size");
        vm.assertEq(headFound, head, "head");
        vm.assertEq(batchesFound, batches, "batches");
        vm.assertEq(epochFound, epoch, "epoch");
    }

    function _expectRefusal(bytes memory revertData, Batch memory batch) private {
        vm.expectRevert(revertData);
        vm.prank(WRITER);
        ledger.append(logId, batch.firstIndex, batch.fieldsRoots, batch.sealed_);
    }
}
