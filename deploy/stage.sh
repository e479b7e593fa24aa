#!/usr/bin/env bash
# Runs one stage of `make test` and says how long it took: deploy/stage.sh NAME COMMAND...
set -euo pipefail
name=$1
shift
printf '== %s: %s\n' "$name" "$*"
SECONDS=0
if "$@"; then
  printf '== %s: passed in %d s\n' "$name" "$SECONDS"
else
  code=$?
  printf '== %s: FAILED after %d s\n' "$name" "$SECONDS" >&2
  exit "$code"
fi
