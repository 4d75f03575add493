#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ./dev fuzz [SECONDS [NAME...]]: each parser under libFuzzer with sanitizers for SECONDS (60), from the inputs in
# tests/fuzz/corpus/NAME if there are any. What it finds stays in the build directory; fails at the first crash.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
build=$(realpath -m "${FATHOM_BUILD:-build}-fuzz")
seconds=${1:-60}
shift || true

if [ ! -f "$build/build.ninja" ]; then
	CC=clang meson setup "$build" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args=-fsanitize=fuzzer-no-link >&2
fi
names=("$@")
if [ ${#names[@]} = 0 ]; then
	for file in tests/fuzz/fuzz_*.c; do
		name=${file##*/fuzz_}
		names+=("${name%.c}")
	done
fi
for name in "${names[@]}"; do
	ninja -C "$build" --quiet "tests/fuzz/fuzz_$name" >&2
	mkdir -p "$build/corpus/$name"
	[ ! -d "tests/fuzz/corpus/$name" ] || cp -n "tests/fuzz/corpus/$name"/* "$build/corpus/$name"/
	if [ "$name" = elf ]; then # a real file to start from, small enough to mutate well
		echo 'int f(int x) { return x; } int main(void) { return f(1); }' | gcc -O1 -x c -o "$build/corpus/elf/program" -
	fi
	echo "fuzz_$name: $seconds s" >&2
	(cd "$build" && "tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
		"corpus/$name" 2>&1 | tail -n 3)
done
