#!/usr/bin/env bash
# Runs go test and closes with what was skipped and why, so that a green run
# never hides a test that could not run here.
set -uo pipefail
out=$(mktemp)
trap 'rm -f "$out"' EXIT
go test -count=1 -timeout 15m -json "$@" >"$out"
status=$?
go run ./tools/testreport <"$out" || status=$?
exit "$status"
