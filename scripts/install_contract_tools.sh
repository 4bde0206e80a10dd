#!/bin/sh
# Installs the contract's tools inside contracts/: compiler and forge from npm (package-lock.json), slither from PyPI (slither-requirements.txt).
set -eu
cd "$(dirname "$0")/../contracts"
if [ -n "${TALLYSTICK_NO_NODE:-}" ]; then exit 0; fi
limit_s=600

if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "The contract's tests need Node.js 20 or newer with npm. Install it, or set TALLYSTICK_NO_NODE=1 to leave them out." >&2
    exit 2
  fi
  echo "tallystick: installing the contract tools (solc, forge, anvil, cast)" >&2
  timeout "$limit_s" npm ci --silent --no-fund --no-audit --ignore-scripts
fi

# An environment of its own: slither's versions of the Ethereum packages are not the product's.
if ! [ .slither-venv/.stamp -nt slither-requirements.txt ]; then
  echo "tallystick: installing slither" >&2
  "${PYTHON:-python3}" -m venv .slither-venv
  pip() { timeout "$limit_s" .slither-venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
  pip install --upgrade pip
  pip install --requirement slither-requirements.txt
  touch .slither-venv/.stamp
fi
