#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 10,000 addresses with inlined functions in a program of 40,000 functions with debug information: beside llvm-symbolizer and addr2line
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
build=${FATHOM_BUILD:-build}
runs=${1:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ninja -C "$build" --quiet bench/inlines >&2
bench/symbols_generate.py "$work/src" 40000 40 inline
for file in "$work"/src/*.c; do echo "$file"; done | xargs -P "$(nproc)" -I{} gcc -O1 -g -w -c {} -o {}.o
gcc -g -o "$work/program" "$work"/src/*.o
# the middle of each function, not only its first instruction; sorted, as fathom asks
nm -S -t d "$work/program" | awk '/ [tT] module_/ { printf "%d\n", $1 + int($2 / 2) }' |
	shuf --random-source=<(yes) -n 10000 | sort -n | xargs printf '0x%x\n' >"$work/addresses"

measure() { # label, command…
	local label=$1
	shift
	/usr/bin/time -a -o "$work/time.$label" -f '%U %S %M' "$@" <"$work/addresses" >"$work/out.$label"
}

for ((i = 0; i < runs; i++)); do # interleaved
	measure fathom "$build/bench/inlines" "$work/program"
	measure llvm-symbolizer llvm-symbolizer -e "$work/program" --no-demangle
	measure addr2line addr2line -f -i -e "$work/program"
done
printf '%-18s %12s %10s %8s\n' "10,000 of 40,000" "CPU seconds" MiB "of ours"
for tool in fathom llvm-symbolizer addr2line; do
	read -r s kib < <(awk '{ printf "%.3f %d\n", $1 + $2, $3 }' "$work/time.$tool" | sort -n | sed -n "$((runs / 2 + 1))p")
	[ "$tool" = fathom ] && ours=$s
	awk -v name="$tool" -v s="$s" -v kib="$kib" -v ours="$ours" \
		'BEGIN { printf "%-18s %12.2f %10.1f %7.1fx\n", name, s, kib / 1024, s / ours }'
done
# The same frames as llvm-symbolizer (which adds columns and the directory of the compilation), or the figures mean nothing.
if sed 's/\(:[0-9]*\):[0-9]*$/\1/; s#^.*/##' "$work/out.llvm-symbolizer" | cmp -s - <(sed 's#^.*/##' "$work/out.fathom"); then
	echo "all frames of the 10,000 addresses equal llvm-symbolizer's"
else
	echo "frames differ from llvm-symbolizer's" >&2
	exit 1
fi
