// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The tree over a batch's leaves, in the shape of RFC 9162 section 2.1 over keccak256
library BatchTree {
    bytes1 private constant NODE_PREFIX = 0x01;

    /// @dev The levels of a tree while its leaves arrive: a finished subtree of 2^level leaves for each set bit of their count.
    /// Eleven levels are enough for MAX_BATCH_RECORDS.
    function newTree() internal pure returns (bytes32[] memory) {
        return new bytes32[](11);
    }

    /// @dev Adds leaf number `count`. Two subtrees of one size become one of twice that size, as a binary counter carries.
    function add(bytes32[] memory subtrees, uint256 count, bytes32 leaf) internal pure {
        uint256 level = 0;
        for (; count % 2 == 1; count /= 2) {
            leaf = _node(subtrees[level++], leaf);
        }
        subtrees[level] = leaf;
    }

    /// @dev The root over `count` leaves: the smallest subtree stands rightmost, and each larger one to the left of it.
    function root(bytes32[] memory subtrees, uint256 count) internal pure returns (bytes32 top) {
        uint256 level = 0;
        for (; count % 2 == 0; count /= 2) {
            ++level;
        }
        top = subtrees[level];
        for (count /= 2; count > 0; count /= 2) {
            ++level;
            if (count % 2 == 1) top = _node(subtrees[level], top);
        }
    }

    /// @dev RFC 9162 section 2.1.3.2. The position and the count fix the path's length and every side, so an inner node
    /// cannot pass for a leaf.
    function isIncluded(bytes32 treeRoot, bytes32 leaf, uint256 position, uint256 count, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        uint256 last = count - 1;
        bytes32 node = leaf;
        for (uint256 i = 0; i < path.length; ++i) {
            if (last == 0) return false;
            if (position % 2 == 1 || position == last) {
                node = _node(path[i], node);
                // A node that was carried up has no sibling on the levels that it skipped.
                while (position % 2 == 0 && position != 0) {
                    position /= 2;
                    last /= 2;
                }
            } else {
                node = _node(node, path[i]);
            }
            position /= 2;
            last /= 2;
        }
        return last == 0 && node == treeRoot;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(NODE_PREFIX, left, right));
    }
}
