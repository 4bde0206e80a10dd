// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The tree as RFC 9162 section 2.1 defines it: recursive, slow, and written without a look at the contract.
library ReferenceTree {
    /// @notice MTH(D[n]) over leaves that are hashed already.
    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _root(leaves, 0, leaves.length);
    }

    /// @notice PATH(m, D[n]), nearest sibling first.
    function path(bytes32[] memory leaves, uint256 position) internal pure returns (bytes32[] memory) {
        return _path(leaves, position, 0, leaves.length);
    }

    /// @notice leaf_i of SPEC section 5.
    function leaf(bytes32 logId, uint64 index, bytes32 fieldsRoot, bytes memory header, bytes memory ciphertext)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(bytes.concat(hex"00", logId, bytes8(index), fieldsRoot, header, keccak256(ciphertext)));
    }

    function _root(bytes32[] memory leaves, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 middle = from + _split(to - from);
        return keccak256(bytes.concat(hex"01", _root(leaves, from, middle), _root(leaves, middle, to)));
    }

    function _path(bytes32[] memory leaves, uint256 position, uint256 from, uint256 to)
        private
        pure
        returns (bytes32[] memory)
    {
        if (to - from == 1) return new bytes32[](0);
        uint256 middle = from + _split(to - from);
        if (position < middle) return _extend(_path(leaves, position, from, middle), _root(leaves, middle, to));
        return _extend(_path(leaves, position, middle, to), _root(leaves, from, middle));
    }

    /// @dev The largest power of two below `size`.
    function _split(uint256 size) private pure returns (uint256 power) {
        power = 1;
        while (power * 2 < size) power *= 2;
    }

    function _extend(bytes32[] memory list, bytes32 last) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }
}
