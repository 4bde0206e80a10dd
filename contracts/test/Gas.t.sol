// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";

/// @notice Each figure must equal the committed one in snapshots/ (`gas_snapshot_check`); README.md tells how to renew them.
/// @dev Isolated calls are whole transactions: cold storage, with the intrinsic gas, and the floor price of calldata.
/// forge-config: default.isolate = true
contract GasTest is LedgerTest {
    string private constant GROUP = "InferenceLedger";

    function setUp() public override {
        vm.setEvmVersion("prague");
        super.setUp();
        // The next batch shares its slot with this one; the one after it opens a new slot.
        _appendNew(1, 0);
    }

    function test_gas_of_a_deployment() public {
        _deploy();
        vm.snapshotGasLastCall(GROUP, "deploy");
    }

    function test_gas_of_creating_a_log() public {
        _newLog(APPEND, 0);
        vm.snapshotGasLastCall(GROUP, "createLog");
    }

    function test_gas_of_opening_an_epoch_for_one_auditor() public {
        _openEpoch(2);
        vm.snapshotGasLastCall(GROUP, "openEpoch, 1 wrap");
    }

    function test_gas_of_rotating_the_writer() public {
        _rotate(NEXT, 1);
        vm.snapshotGasLastCall(GROUP, "rotateWriter");
    }

    function test_gas_of_voiding_numbers() public {
        bytes32 head = _head();
        vm.prank(WRITER);
        ledger.voidNumbers(logId, head, 2, 9);
        vm.snapshotGasLastCall(GROUP, "voidNumbers");
    }

    function test_gas_of_appending_1_record_of_1_kb() public {
        _snapshotAppend(1, 1024, "append 1 x 1024");
    }

    function test_gas_of_appending_to_a_new_slot_of_batches() public {
        _appendNew(1, 1);
        _snapshotAppend(1, 1024, "append 1 x 1024, every second batch");
    }

    function test_gas_of_appending_4_records_of_1_kb() public {
        _snapshotAppend(4, 1024, "append 4 x 1024");
    }

    function test_gas_of_appending_16_records_of_512_bytes() public {
        _snapshotAppend(16, 512, "append 16 x 512");
    }

    function test_gas_of_appending_16_records_of_1_kb() public {
        _snapshotAppend(16, 1024, "append 16 x 1024");
    }

    function test_gas_of_appending_64_records_of_1_kb() public {
        _snapshotAppend(64, 1024, "append 64 x 1024");
    }

    function test_gas_of_committing() public {
        logId = _newLog(COMMIT, 0);
        _openEpoch(1);
        _commit(1, ROOT);
        _commit(256, ROOT);
        vm.snapshotGasLastCall(GROUP, "commit");
        _commit(256, ROOT);
        vm.snapshotGasLastCall(GROUP, "commit, every second batch");
    }

    function test_gas_of_verifying_in_a_batch_of_64() public {
        Batch memory batch = _appendNew(64, 1);
        bytes32[] memory path = ReferenceTree.path(batch.leaves, 37);
        ledger.verify(logId, 1, batch.firstIndex + 37, batch.leaves[37], path);
        vm.snapshotGasLastCall(GROUP, "verify in 64");
    }

    function _snapshotAppend(uint256 count, uint256 sealedBytes, string memory name) private {
        _append(_makeExactBatch(count, sealedBytes));
        vm.snapshotGasLastCall(GROUP, name);
    }
}
