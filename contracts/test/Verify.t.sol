// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";

contract VerifyTest is LedgerTest {
    function test_every_position_of_every_count_up_to_33_verifies() public {
        for (uint64 batch = 0; batch < 33; ++batch) {
            Batch memory appended = _appendNew(batch + 1, batch);
            for (uint64 position = 0; position <= batch; ++position) {
                _assertVerified(batch, appended, position);
            }
        }
    }

    function testFuzz_larger_batches_verify_at_any_position(uint256 countSeed, uint256 positionSeed) public {
        uint256 count = _within(countSeed, 34, 300);
        Batch memory appended = _appendNew(count, countSeed);
        _assertVerified(0, appended, uint64(_within(positionSeed, 0, count - 1)));
    }

    function testFuzz_another_leaf_fails(uint256 countSeed, uint256 positionSeed, bytes32 leaf) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        vm.assume(leaf != appended.leaves[position]);
        _assertRefused(appended.firstIndex + position, leaf, path, "leaf");
    }

    function testFuzz_a_flipped_bit_of_the_leaf_fails(uint256 countSeed, uint256 positionSeed, uint8 bit) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        bytes32 leaf = appended.leaves[position] ^ bytes32(uint256(1) << bit);
        _assertRefused(appended.firstIndex + position, leaf, path, "leaf");
    }

    function testFuzz_every_other_position_fails(uint256 countSeed, uint256 positionSeed) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        // From before the batch to beyond its end.
        for (uint64 index = 0; index < appended.firstIndex + appended.leaves.length + 3; ++index) {
            if (index == appended.firstIndex + position) continue;
            _assertRefused(index, appended.leaves[position], path, "position");
        }
        _assertRefused(type(uint64).max, appended.leaves[position], path, "position");
    }

    function testFuzz_a_flipped_bit_of_the_path_fails(uint256 countSeed, uint256 positionSeed, uint8 bit) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        for (uint256 step = 0; step < path.length; ++step) {
            path[step] ^= bytes32(uint256(1) << bit);
            _assertRefused(appended.firstIndex + position, appended.leaves[position], path, "path");
            path[step] ^= bytes32(uint256(1) << bit);
        }
    }

    function testFuzz_a_shorter_path_fails(uint256 countSeed, uint256 positionSeed) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        for (uint256 length = 0; length < path.length; ++length) {
            _assertRefused(appended.firstIndex + position, appended.leaves[position], _resized(path, length), "length");
        }
    }

    function testFuzz_a_longer_path_fails(uint256 countSeed, uint256 positionSeed, bytes32 extra) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        bytes32[] memory longer = _resized(path, path.length + 1);
        longer[path.length] = extra;
        _assertRefused(appended.firstIndex + position, appended.leaves[position], longer, "length");
    }

    function testFuzz_a_swapped_path_fails(uint256 countSeed, uint256 positionSeed) public {
        (Batch memory appended, uint64 position, bytes32[] memory path) = _appendAndPick(countSeed, positionSeed);
        for (uint256 step = 1; step < path.length; ++step) {
            (path[step - 1], path[step]) = (path[step], path[step - 1]);
            _assertRefused(appended.firstIndex + position, appended.leaves[position], path, "order");
            (path[step - 1], path[step]) = (path[step], path[step - 1]);
        }
    }

    function test_an_inner_node_does_not_pass_for_a_leaf() public {
        Batch memory appended = _appendNew(4, 1);
        bytes32[] memory path = new bytes32[](1);
        path[0] = _node(appended.leaves[2], appended.leaves[3]);
        bytes32 inner = _node(appended.leaves[0], appended.leaves[1]);
        bytes32 root = _root(0);
        vm.assertEq(_node(inner, path[0]), root, "the path does lead to the root");
        for (uint64 index = 0; index < 4; ++index) {
            vm.assertFalse(ledger.verify(logId, 0, index, inner, path), "inner node");
        }
    }

    function test_the_root_does_not_pass_for_a_leaf() public {
        _appendNew(4, 1);
        bytes32 root = _root(0);
        for (uint64 index = 0; index < 4; ++index) {
            vm.assertFalse(ledger.verify(logId, 0, index, root, new bytes32[](0)), "root");
        }
    }

    function test_a_proof_holds_in_its_own_batch_only() public {
        Batch memory first = _appendNew(4, 1);
        Batch memory second = _appendNew(4, 2);
        bytes32[] memory path = ReferenceTree.path(first.leaves, 1);
        vm.assertTrue(ledger.verify(logId, 0, 1, first.leaves[1], path), "own batch");
        vm.assertFalse(ledger.verify(logId, 1, 1, first.leaves[1], path), "next batch, own index");
        vm.assertFalse(ledger.verify(logId, 1, 5, first.leaves[1], path), "next batch, same position");
        path = ReferenceTree.path(second.leaves, 1);
        vm.assertTrue(ledger.verify(logId, 1, 5, second.leaves[1], path), "own batch");
        vm.assertFalse(ledger.verify(logId, 0, 5, second.leaves[1], path), "batch before, own index");
    }

    function testFuzz_an_unknown_batch_reverts(uint64 batch) public {
        _appendNew(2, 1);
        _appendNew(2, 2);
        vm.assume(batch > 1);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownBatch.selector, logId, batch));
        ledger.verify(logId, batch, 0, bytes32(0), new bytes32[](0));
    }

    function test_an_unknown_log_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.verify(UNKNOWN_LOG, 0, 0, bytes32(0), new bytes32[](0));
    }

    /// @dev Two batches stand before the one that is picked from, so that index and position differ.
    function _appendAndPick(uint256 countSeed, uint256 positionSeed)
        private
        returns (Batch memory appended, uint64 position, bytes32[] memory path)
    {
        _appendNew(3, 1);
        _appendNew(1, 2);
        uint256 count = _within(countSeed, 1, 40);
        appended = _appendNew(count, countSeed);
        position = uint64(_within(positionSeed, 0, count - 1));
        path = ReferenceTree.path(appended.leaves, position);
        _assertVerified(2, appended, position);
    }

    function _assertVerified(uint64 batch, Batch memory appended, uint64 position) private view {
        bytes32[] memory path = ReferenceTree.path(appended.leaves, position);
        uint64 index = appended.firstIndex + position;
        vm.assertTrue(ledger.verify(logId, batch, index, appended.leaves[position], path), "not verified");
    }

    function _assertRefused(uint64 index, bytes32 leaf, bytes32[] memory path, string memory what) private view {
        vm.assertFalse(ledger.verify(logId, 2, index, leaf, path), what);
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        bytes32[] memory pair = new bytes32[](2);
        (pair[0], pair[1]) = (left, right);
        return ReferenceTree.root(pair);
    }

    function _resized(bytes32[] memory list, uint256 length) private pure returns (bytes32[] memory resized) {
        resized = new bytes32[](length);
        for (uint256 i = 0; i < length && i < list.length; ++i) {
            resized[i] = list[i];
        }
    }
}
