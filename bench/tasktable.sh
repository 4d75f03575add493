#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Reading a table of 2,000 idle processes: fathom's iterator beside walks of /proc (bench/tasktable.c), in turns
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
build=${FATHOM_BUILD:-build}
rounds=${1:-20}
processes=${2:-2000}

ninja -C "$build" --quiet bench/tasktable >&2
sleepers=()
trap 'kill "${sleepers[@]}" 2>/dev/null' EXIT
for ((i = 0; i < processes; i++)); do
	sleep 300 &
	sleepers+=($!)
done
"$build/bench/tasktable" "$rounds"
