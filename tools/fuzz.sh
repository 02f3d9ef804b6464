#!/usr/bin/env bash
# Runs every fuzz target of the repository, each for the time given.
set -euo pipefail
time=${1:-20s}
count=0
while IFS=: read -r file target; do
	dir=./$(dirname "$file")
	echo "fuzz $dir $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" | tail -n 1
	count=$((count + 1))
done < <(git ls-files '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
echo "$count fuzz targets"
