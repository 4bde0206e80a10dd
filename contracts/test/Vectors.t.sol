// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";
import {ReferenceTree} from "./support/ReferenceTree.sol";

/// @notice The reference that the contract is held to in the other tests, held to the frozen vectors that every language reads.
contract VectorsTest is LedgerTest {
    string private constant FOLDER = "../tests/vectors/v2/";

    function test_roots_and_paths_equal_the_vectors() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "tree.json"));
        uint256 found = 0;
        for (; vm.keyExistsJson(json, _at(".valid", found)); ++found) {
            string memory key = _at(".valid", found);
            bytes32[] memory leaves = _hashes(json, string.concat(key, ".leaves"));
            vm.assertEq(leaves.length, vm.parseJsonUint(json, string.concat(key, ".size")), "size");
            vm.assertEq(ReferenceTree.root(leaves), _hash(json, string.concat(key, ".root")), "root");
            for (uint256 position = 0; position < leaves.length; ++position) {
                bytes32[] memory path = _hashes(json, _at(string.concat(key, ".paths"), position));
                bytes32[] memory computed = ReferenceTree.path(leaves, position);
                vm.assertEq(keccak256(abi.encode(computed)), keccak256(abi.encode(path)), "path");
            }
        }
        vm.assertTrue(found >= 10, "vectors are missing");
    }

    function test_leaves_equal_the_vectors() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "leaf.json"));
        bytes32 log = _hash(json, ".log_id");
        uint256 found = 0;
        for (; vm.keyExistsJson(json, _at(".leaves", found)); ++found) {
            string memory key = _at(".leaves", found);
            uint64 index = uint64(vm.parseJsonUint(json, string.concat(key, ".index")));
            bytes32 fieldsRoot = _hash(json, string.concat(key, ".fields_root"));
            (bytes memory header, bytes memory ciphertext) = _split(_bytes(json, string.concat(key, ".sealed")));
            bytes32 computed = ReferenceTree.leaf(log, index, fieldsRoot, header, ciphertext);
            vm.assertEq(computed, _hash(json, string.concat(key, ".leaf")), "leaf");
        }
        vm.assertTrue(found >= 5, "vectors are missing");
    }

    function test_heads_equal_the_vectors() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "head.json"));
        uint256 found = 0;
        for (; vm.keyExistsJson(json, _at(".entries", found)); ++found) {
            string memory key = _at(".entries", found);
            bytes32 computed = ReferenceHead.next(
                _hash(json, string.concat(key, ".previous")),
                bytes1(uint8(vm.parseJsonUint(json, string.concat(key, ".kind")))),
                uint64(vm.parseJsonUint(json, string.concat(key, ".entry"))),
                _bytes(json, string.concat(key, ".body"))
            );
            vm.assertEq(computed, _hash(json, string.concat(key, ".head")), "head");
        }
        vm.assertTrue(found >= 5, "vectors are missing");
    }

    function test_the_contract_takes_valid_packed_records_and_gives_their_root() public {
        string memory json = vm.readFile(string.concat(FOLDER, "packed.json"));
        bytes memory packed = _bytes(json, ".valid[0].packed");
        uint64 count = 0;
        bytes32[] memory leaves = new bytes32[](64);
        for (; vm.keyExistsJson(json, _at(".valid[0].records", count)); ++count) {
            string memory key = _at(".valid[0].records", count);
            bytes32 fieldsRoot = _hash(json, string.concat(key, ".fields_root"));
            (bytes memory header, bytes memory ciphertext) = _split(_bytes(json, string.concat(key, ".sealed")));
            leaves[count] = ReferenceTree.leaf(logId, count, fieldsRoot, header, ciphertext);
        }
        bytes32 head = _head();
        vm.prank(WRITER);
        ledger.append(logId, head, packed);
        vm.assertEq(_state().size, count, "records");
        vm.assertEq(_root(0), ReferenceTree.root(_first(leaves, count)), "root");
    }

    function test_the_contract_refuses_every_invalid_packing() public {
        string memory json = vm.readFile(string.concat(FOLDER, "packed.json"));
        bytes32 head = _head();
        uint256 found = 0;
        for (; vm.keyExistsJson(json, _at(".invalid", found)); ++found) {
            bytes memory packed = _bytes(json, string.concat(_at(".invalid", found), ".packed"));
            vm.prank(WRITER);
            (bool taken,) = address(ledger).call(abi.encodeCall(ledger.append, (logId, head, packed)));
            vm.assertFalse(taken, vm.parseJsonString(json, string.concat(_at(".invalid", found), ".fault")));
        }
        vm.assertTrue(found >= 5, "vectors are missing");
    }

    function _split(bytes memory sealed_) private pure returns (bytes memory header, bytes memory ciphertext) {
        header = new bytes(25);
        ciphertext = new bytes(sealed_.length - 25);
        for (uint256 i = 0; i < sealed_.length; ++i) {
            if (i < 25) header[i] = sealed_[i];
            else ciphertext[i - 25] = sealed_[i];
        }
    }

    function _first(bytes32[] memory list, uint256 count) private pure returns (bytes32[] memory part) {
        part = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            part[i] = list[i];
        }
    }

    function _at(string memory list, uint256 position) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(position), "]");
    }

    function _hash(string memory json, string memory key) private pure returns (bytes32) {
        return bytes32(_bytes(json, key));
    }

    /// @dev The vectors write hexadecimal without a prefix.
    function _bytes(string memory json, string memory key) private pure returns (bytes memory) {
        return vm.parseBytes(string.concat("0x", vm.parseJsonString(json, key)));
    }

    function _hashes(string memory json, string memory key) private pure returns (bytes32[] memory hashes) {
        string[] memory texts = vm.parseJsonStringArray(json, key);
        hashes = new bytes32[](texts.length);
        for (uint256 i = 0; i < texts.length; ++i) {
            hashes[i] = bytes32(vm.parseBytes(string.concat("0x", texts[i])));
        }
    }
}
