#!/usr/bin/env bash
# Known vulnerabilities of the pinned dependencies, asked with pip-audit in an environment of its own. Exit code 1 where there are any;
# 0 where there are none, or where nobody could be asked, which is said.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if "$PYTHON" -m venv "$folder/venv" && "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pip-audit; then
    # its exit code is 1 for findings and for a network that is down alike: what it has written tells them apart
    "$folder/venv/bin/pip-audit" --requirement constraints.lock --require-hashes --disable-pip --format json --output "$folder/found.json" || true
fi
"$PYTHON" ci/audited.py "$folder/found.json"
