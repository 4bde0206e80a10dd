// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";

contract AppendTest is LedgerTest {
    uint256 private constant MAX_BATCH_RECORDS = 1024;

    function test_root_and_head_equal_the_recursive_tree_for_every_count_up_to_70() public {
        bytes32 head = _head();
        for (uint64 batch = 0; batch < 70; ++batch) {
            Batch memory appended = _appendNew(batch + 1, batch);
            (uint64 firstIndex, uint32 count, uint32 epoch,, bytes32 root) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, appended.firstIndex, "first index");
            vm.assertEq(count, batch + 1, "count");
            vm.assertEq(epoch, 1, "epoch");
            vm.assertEq(root, ReferenceTree.root(appended.leaves), "root");
            head = ReferenceHead.batch(head, batch + 1, 1, firstIndex, count, root);
        }
        State memory state = _state();
        vm.assertEq(state.head, head, "head");
        vm.assertEq(state.batchCount, 70, "batches");
        vm.assertEq(state.entries, 71, "entries");
    }

    function test_one_event_for_the_batch_with_its_records() public {
        _appendNew(2, 0);
        Batch memory batch = _makeBatch(5, 1);
        bytes32 root = ReferenceTree.root(batch.leaves);
        bytes32 head = ReferenceHead.batch(_head(), 2, 1, 2, 5, root);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.BatchAppended(logId, 2, 1, 2, 5, 1, root, head, batch.records);
        vm.recordLogs();
        _append(batch);
        vm.assertEq(vm.getRecordedLogs().length, 1, "events");
    }

    function test_a_batch_is_of_the_epoch_that_is_open() public {
        _appendNew(1, 1);
        _openEpoch(2);
        Batch memory batch = _makeBatch(1, 2);
        bytes32 head = ReferenceHead.batch(_head(), 3, 2, 1, 1, batch.leaves[0]);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.BatchAppended(logId, 3, 1, 1, 1, 2, batch.leaves[0], head, batch.records);
        _append(batch);
        (,, uint32 first,,) = ledger.batchAt(logId, 0);
        (,, uint32 second,,) = ledger.batchAt(logId, 1);
        vm.assertEq(first, 1, "first batch");
        vm.assertEq(second, 2, "second batch");
    }

    function test_a_batch_of_one_is_its_own_root() public {
        Batch memory batch = _appendNew(1, 1);
        vm.assertEq(_root(0), batch.leaves[0], "root");
    }

    function test_a_batch_holds_up_to_1024_records() public {
        Batch memory batch = _makeExactBatch(MAX_BATCH_RECORDS, 42);
        _append(batch);
        vm.assertEq(_root(0), ReferenceTree.root(batch.leaves), "root");
    }

    function test_a_batch_of_1025_is_refused() public {
        Batch memory batch = _makeExactBatch(MAX_BATCH_RECORDS + 1, 42);
        _refuse(abi.encodeWithSelector(IInferenceLedger.BadCount.selector, 1025, 1024), batch.records);
    }

    function test_an_empty_batch_is_refused() public {
        _refuse(abi.encodeWithSelector(IInferenceLedger.BadCount.selector, 0, 1024), "");
    }

    function testFuzz_records_cut_anywhere_between_two_are_refused(uint256 countSeed, uint256 cutSeed) public {
        uint256 count = _within(countSeed, 1, 6);
        Batch memory batch = _makeExactBatch(count, 60);
        uint256 size = batch.records.length / count;
        uint256 cut = _within(cutSeed, 1, batch.records.length - 1);
        if (cut % size == 0) --cut;
        bytes memory records = batch.records;
        bytes memory part = new bytes(cut);
        for (uint256 i = 0; i < cut; ++i) {
            part[i] = records[i];
        }
        _refuse(abi.encodeWithSelector(IInferenceLedger.TruncatedRecord.selector, cut / size), part);
        _append(batch);
    }

    function test_a_byte_after_the_last_record_is_refused() public {
        Batch memory batch = _makeBatch(3, 1);
        bytes memory longer = bytes.concat(batch.records, hex"00");
        _refuse(abi.encodeWithSelector(IInferenceLedger.TruncatedRecord.selector, 3), longer);
        _append(batch);
    }

    function test_a_ciphertext_at_its_bounds_is_taken() public {
        _append(_makeExactBatch(1, 25 + MIN_CIPHERTEXT_BYTES));
        _append(_makeExactBatch(1, 25 + 122_896));
    }

    function test_a_ciphertext_beyond_its_bounds_is_refused_by_its_position() public {
        bytes4 selector = IInferenceLedger.BadCiphertext.selector;
        Batch memory batch = _makeExactBatch(1, 25 + MIN_CIPHERTEXT_BYTES - 1);
        _refuse(abi.encodeWithSelector(selector, 0, 16, 17, 122_896), batch.records);
        batch = _makeExactBatch(1, 25 + 122_897);
        bytes memory records = bytes.concat(_makeBatch(2, 1).records, batch.records);
        _refuse(abi.encodeWithSelector(selector, 2, 122_897, 17, 122_896), records);
    }

    function testFuzz_flags_of_chain_and_vault_custody_are_taken_and_others_refused(bytes1 flags) public {
        vm.assume(flags != 0x20 && flags != 0x21);
        _refuse(abi.encodeWithSelector(IInferenceLedger.BadHeader.selector, 0), _recordWith(flags, 1));
        _take(_recordWith(0x20, 1));
        _take(_recordWith(0x21, 2));
    }

    function testFuzz_an_admission_number_beyond_its_bounds_is_refused(uint64 number) public {
        vm.assume(number > MAX_NUMBER);
        bytes memory refusal = abi.encodeWithSelector(IInferenceLedger.BadHeader.selector, 0);
        _refuse(refusal, _recordWith(0x20, number));
        _refuse(refusal, _recordWith(0x20, 0));
        _refuse(refusal, _recordWith(0x20, MAX_NUMBER + 1));
        _take(_recordWith(0x20, MAX_NUMBER));
        _take(_recordWith(0x20, 1));
    }

    function test_a_log_without_an_epoch_takes_no_records() public {
        logId = _newLog(APPEND, 0);
        Batch memory batch = _makeBatch(1, 1);
        _refuse(abi.encodeWithSelector(IInferenceLedger.NoOpenEpoch.selector, logId), batch.records);
        _openEpoch(1);
        _append(batch);
    }

    function test_a_log_that_commits_takes_no_records() public {
        logId = _newLog(COMMIT, 0);
        _openEpoch(1);
        Batch memory batch = _makeBatch(1, 1);
        _refuse(abi.encodeWithSelector(IInferenceLedger.WrongMode.selector, logId, COMMIT), batch.records);
    }

    function testFuzz_nobody_but_the_writer_appends(address caller) public {
        vm.assume(caller != WRITER);
        Batch memory batch = _makeBatch(1, 1);
        bytes32 head = _head();
        _expectRefusal(caller, abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, caller));
        ledger.append(logId, head, batch.records);
        _append(batch);
    }

    function test_neither_creator_nor_keeper_of_a_log_is_its_writer() public {
        Batch memory batch = _makeBatch(1, 1);
        bytes32 head = _head();
        _expectRefusal(address(this), abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, address(this)));
        ledger.append(logId, head, batch.records);
        _expectRefusal(KEEPER, abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, KEEPER));
        ledger.append(logId, head, batch.records);
    }

    function test_an_unknown_log_takes_no_records() public {
        Batch memory batch = _makeBatch(1, 1);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.append(UNKNOWN_LOG, UNKNOWN_LOG, batch.records);
    }

    function test_a_batch_sent_twice_is_refused_by_its_head() public {
        bytes32 before = _head();
        Batch memory batch = _appendNew(4, 1);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.StaleHead.selector, logId, _head(), before));
        ledger.append(logId, before, batch.records);
    }

    function testFuzz_only_the_newest_head_is_followed(bytes32 given) public {
        _appendNew(4, 1);
        bytes32 head = _head();
        vm.assume(given != head);
        Batch memory batch = _makeBatch(1, 2);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.StaleHead.selector, logId, head, given));
        ledger.append(logId, given, batch.records);
        _append(batch);
    }

    function testFuzz_indices_are_gap_free_over_batches(uint8[12] memory counts) public {
        uint64 size = 0;
        for (uint64 batch = 0; batch < counts.length; ++batch) {
            uint256 count = _within(counts[batch], 1, 9);
            _appendNew(count, batch);
            (uint64 firstIndex, uint32 found,,,) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, size, "first index");
            vm.assertEq(found, count, "count");
            size += uint64(count);
            vm.assertEq(_state().size, size, "size");
        }
    }

    function testFuzz_any_bytes_give_the_leaf_of_the_specification(
        bytes32 fieldsRoot,
        uint64 numberSeed,
        bytes16 nonce,
        bytes calldata tail
    ) public {
        uint64 number = uint64(_within(numberSeed, 1, MAX_NUMBER));
        bytes memory header = bytes.concat(hex"21", bytes8(number), nonce);
        bytes memory ciphertext = bytes.concat(_randomBytes(MIN_CIPHERTEXT_BYTES, number), tail);
        _take(_packed(fieldsRoot, header, ciphertext));
        vm.assertEq(_root(0), ReferenceTree.leaf(logId, 0, fieldsRoot, header, ciphertext), "leaf");
    }

    function test_two_logs_do_not_touch_each_other() public {
        bytes32 first = logId;
        _appendNew(3, 1);
        State memory state = _state();
        logId = _newLog(APPEND, 0);
        _openEpoch(1);
        _appendNew(8, 1);
        logId = first;
        _assertSame(_state(), state);
    }

    function test_a_refused_batch_changes_nothing() public {
        _appendNew(3, 1);
        State memory state = _state();
        bytes memory records = bytes.concat(_makeBatch(2, 2).records, _recordWith(0x10, 6));
        _refuse(abi.encodeWithSelector(IInferenceLedger.BadHeader.selector, 2), records);
        _assertSame(_state(), state);
    }

    function _recordWith(bytes1 flags, uint64 number) private pure returns (bytes memory) {
        return _packed(ROOT, _header(flags, number, ROOT), _randomBytes(MIN_CIPHERTEXT_BYTES, 1));
    }

    function _take(bytes memory records) private {
        bytes32 head = _head();
        vm.prank(WRITER);
        ledger.append(logId, head, records);
    }

    function _refuse(bytes memory revertData, bytes memory records) private {
        bytes32 head = _head();
        _expectRefusal(WRITER, revertData);
        ledger.append(logId, head, records);
    }
}
