// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The few of forge's cheatcodes that these tests use, by their signatures.
interface Vm {
    /// @notice A log as `getRecordedLogs` returns it.
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    /// @notice The next call comes from `caller`.
    function prank(address caller) external;

    /// @notice Sets an account's balance.
    function deal(address account, uint256 balance) external;

    /// @notice Sets block.timestamp.
    function warp(uint256 newTime) external;

    /// @notice Sets block.chainid.
    function chainId(uint256 newChainId) external;

    /// @notice Sets the rules of the chain by the name of a fork.
    function setEvmVersion(string calldata fork) external;

    /// @notice The next call must revert with exactly this data.
    function expectRevert(bytes calldata revertData) external;

    /// @notice The next call must make `emitter` emit the event that follows, topics and data alike.
    function expectEmit(address emitter) external;

    /// @notice From here on, logs are kept.
    function recordLogs() external;

    /// @notice The logs kept so far, which are then forgotten.
    function getRecordedLogs() external returns (Log[] memory logs);

    /// @notice Records the last call's gas under a name; with FORGE_SNAPSHOT_CHECK it must equal the committed figure.
    function snapshotGasLastCall(string calldata group, string calldata name) external returns (uint256 gasUsed);

    /// @notice Throws away a fuzz input that a condition rules out.
    function assume(bool condition) external pure;

    /// @notice Deploys a contract that forge has built, named by file and contract.
    function deployCode(string calldata artifact) external returns (address deployed);

    /// @notice The text of a file in a folder that foundry.toml opens.
    function readFile(string calldata path) external view returns (string memory text);

    function keyExistsJson(string calldata json, string calldata key) external view returns (bool);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function parseJsonStringArray(string calldata json, string calldata key) external pure returns (string[] memory);
    function parseBytes(string calldata text) external pure returns (bytes memory);
    function toString(uint256 value) external pure returns (string memory);

    function assertEq(uint256 left, uint256 right, string calldata what) external pure;
    function assertEq(address left, address right, string calldata what) external pure;
    function assertEq(bytes32 left, bytes32 right, string calldata what) external pure;
    function assertEq(bytes calldata left, bytes calldata right, string calldata what) external pure;
    function assertTrue(bool condition, string calldata what) external pure;
    function assertFalse(bool condition, string calldata what) external pure;
}
