#!/usr/bin/env bash
# Runs every fuzz target of the repository: those that read what strangers send
# (signatures, wire formats, policies, image layers, task definitions, agent
# frames) for the time given, the others for two seconds.
set -euo pipefail
time=${1:-20s}
long='^(\./internal/sigv4|\./internal/wire|\./policy|\./internal/agent/runtime/image|\./internal/agent/acs|\./internal/service/ecs|\./internal/service/ecs/hosts) (FuzzParse|FuzzCondition|FuzzVariables|FuzzBody|FuzzDecode.*|FuzzRecognise|FuzzLayer|FuzzTaskDefinition|FuzzRegisterTaskDefinition|FuzzFrames?)$'
count=0
while IFS=: read -r file target; do
	dir=./$(dirname "$file")
	for=2s
	[[ "$dir $target" =~ $long ]] && for=$time
	printf '%s %s: ' "$dir" "$target"
	out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$for" -fuzzminimizetime 1x "$dir" 2>&1) || {
		# Where the time ends while a worker is being told what to do next, go
		# test may say no more than this (https://go.dev/issue/75804): no input
		# failed, for it names the file of one that did.
		if grep -q '^    context deadline exceeded$' <<<"$out" && ! grep -qE 'Failing input|panic|Fuzz[A-Za-z]+/|fuzzing process' <<<"$out"; then
			printf '(ended late) '
		else
			echo; echo "$out"; exit 1
		fi
	}
	grep -oE 'execs: [0-9]+' <<<"$out" | tail -n 1 || echo "seeds only"
	count=$((count + 1))
done < <(git ls-files '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //')
echo "$count fuzz targets"
