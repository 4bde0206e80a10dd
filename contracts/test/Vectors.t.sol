// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReferenceTree} from "./support/ReferenceTree.sol";
import {Vm} from "./support/Vm.sol";

/// @notice The reference that the contract is held to in the other tests, held to the frozen vectors that every language reads.
contract VectorsTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    string private constant FOLDER = "../tests/vectors/v1/";

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
        bytes32 logId = _hash(json, ".log_id");
        uint256 found = 0;
        for (; vm.keyExistsJson(json, _at(".leaves", found)); ++found) {
            string memory key = _at(".leaves", found);
            uint64 index = uint64(vm.parseJsonUint(json, string.concat(key, ".index")));
            bytes32 fieldsRoot = _hash(json, string.concat(key, ".fields_root"));
            bytes memory sealed_ = _bytes(json, string.concat(key, ".sealed"));
            vm.assertEq(
                ReferenceTree.leaf(logId, index, fieldsRoot, sealed_), _hash(json, string.concat(key, ".leaf")), "leaf"
            );
        }
        vm.assertTrue(found >= 5, "vectors are missing");
    }

    function test_heads_equal_the_vectors() public view {
        string memory json = vm.readFile(string.concat(FOLDER, "leaf.json"));
        uint256 found = 0;
        for (; vm.keyExistsJson(json, _at(".heads", found)); ++found) {
            string memory key = _at(".heads", found);
            bytes32 computed = ReferenceTree.head(
                _hash(json, string.concat(key, ".previous")),
                _hash(json, string.concat(key, ".root")),
                uint64(vm.parseJsonUint(json, string.concat(key, ".first_index"))),
                uint32(vm.parseJsonUint(json, string.concat(key, ".count")))
            );
            vm.assertEq(computed, _hash(json, string.concat(key, ".head")), "head");
        }
        vm.assertTrue(found >= 3, "vectors are missing");
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
