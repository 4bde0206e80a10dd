"""Test processes share the machine's cores; torch's threads must not spin on them (see worker/engines.py)."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
