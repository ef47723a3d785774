#!/usr/bin/env bash
# Installs what `make run` installs, pinned, into .venv of this checkout, and puts it on the PATH of the job's later steps.
set -euo pipefail
cd "$(dirname "$0")/.."
make .venv/.installed
if [ -n "${GITHUB_PATH:-}" ]; then
    echo "$PWD/.venv/bin" >> "$GITHUB_PATH"
fi
