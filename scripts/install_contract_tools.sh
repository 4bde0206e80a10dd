#!/bin/sh
# Installs the contract's compiler and tools into contracts/node_modules at the versions of package-lock.json.
set -eu
cd "$(dirname "$0")/../contracts"
if [ -n "${TALLYSTICK_NO_NODE:-}" ]; then exit 0; fi
if [ node_modules/.package-lock.json -nt package-lock.json ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1; then
  echo "The contract's tests need Node.js 20 or newer with npm. Install it, or set TALLYSTICK_NO_NODE=1 to leave them out." >&2
  exit 2
fi
echo "tallystick: installing the contract tools (solc, forge, anvil, cast)" >&2
npm ci --silent --no-fund --no-audit --ignore-scripts
