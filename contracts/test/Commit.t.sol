// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerFixture} from "./support/LedgerFixture.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";

contract CommitTest is LedgerFixture {
    function setUp() public {
        ledger = _deploy();
        logId = _newLog(COMMIT, SALT);
        _openEpoch(1);
    }

    function test_a_root_is_kept_and_chained_as_given() public {
        bytes32 head = ReferenceHead.committed(_head(), 1, 1, 0, 256, ROOT);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.BatchCommitted(logId, 1, 0, 0, 256, 1, ROOT, head);
        _commit(256, ROOT);
        vm.assertEq(_head(), head, "head");
        vm.assertEq(_root(0), ROOT, "root");
        vm.assertEq(_state().size, 256, "size");
    }

    function testFuzz_indices_are_gap_free_over_batches(uint16[6] memory counts) public {
        uint64 size = 0;
        bytes32 head = _head();
        for (uint64 batch = 0; batch < counts.length; ++batch) {
            uint32 count = uint32(_within(counts[batch], 1, 1024));
            head = ReferenceHead.committed(head, batch + 1, 1, size, count, ROOT);
            _commit(count, ROOT);
            (uint64 firstIndex, uint32 found,,,) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, size, "first index");
            vm.assertEq(found, count, "count");
            size += count;
        }
        vm.assertEq(_head(), head, "head");
    }

    function test_a_leaf_is_verified_under_a_committed_root() public {
        bytes32[] memory leaves = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            leaves[i] = keccak256(abi.encode(i));
        }
        _commit(5, ReferenceTree.root(leaves));
        bytes32[] memory path = ReferenceTree.path(leaves, 3);
        vm.assertTrue(ledger.verify(logId, 0, 3, leaves[3], path), "its own place");
        vm.assertFalse(ledger.verify(logId, 0, 2, leaves[3], path), "another place");
    }

    function test_a_batch_of_1_to_1024_is_taken_and_others_refused() public {
        _commit(1, ROOT);
        _commit(1024, ROOT);
        bytes32 head = _head();
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.BadCount.selector, 0, 1024));
        ledger.commit(logId, head, 0, ROOT);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.BadCount.selector, 1025, 1024));
        ledger.commit(logId, head, 1025, ROOT);
    }

    function test_a_log_that_appends_takes_no_root() public {
        logId = _newLog(APPEND, SALT);
        _openEpoch(1);
        bytes32 head = _head();
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.WrongMode.selector, logId, APPEND));
        ledger.commit(logId, head, 1, ROOT);
    }

    function test_a_log_without_an_epoch_takes_no_root() public {
        logId = _newLog(COMMIT, 0);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.NoOpenEpoch.selector, logId));
        ledger.commit(logId, logId, 1, ROOT);
        _openEpoch(1);
        _commit(1, ROOT);
    }

    function testFuzz_nobody_but_the_writer_commits(address caller) public {
        vm.assume(caller != WRITER);
        bytes32 head = _head();
        _expectRefusal(caller, abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, caller));
        ledger.commit(logId, head, 1, ROOT);
        _commit(1, ROOT);
    }

    function test_a_root_sent_twice_is_refused_by_its_head() public {
        bytes32 before = _head();
        _commit(3, ROOT);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.StaleHead.selector, logId, _head(), before));
        ledger.commit(logId, before, 3, ROOT);
    }

    function test_an_unknown_log_takes_no_root() public {
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.commit(UNKNOWN_LOG, UNKNOWN_LOG, 1, ROOT);
    }
}
