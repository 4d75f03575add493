#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# 10,000 addresses in a program of 40,000 functions: fathom's tables beside llvm-symbolizer and addr2line, cold processes
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
build=${FATHOM_BUILD:-build}
runs=${1:-7}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "${FATHOM_SYMBOLS:-}" ]; then
	ninja -C "$build" --quiet bench/symbols >&2
fi
symbols=${FATHOM_SYMBOLS:-$build/bench/symbols}
bench/symbols_generate.py "$work/src" 40000 40
for file in "$work"/src/*.c; do echo "$file"; done | xargs -P "$(nproc)" -I{} gcc -O1 -w -c {} -o {}.o
gcc -o "$work/program" "$work"/src/*.o
nm "$work/program" | awk '/ [tT] module_/ { print "0x" $1 }' | shuf --random-source=<(yes) -n 10000 >"$work/addresses"
awk '{ print $1 }' "$work/addresses" | "$symbols" "$work/program" >"$work/ours"

measure() { # label, command…: seconds and KiB, the median of the runs by seconds
	local label=$1 times=()
	shift
	for ((i = 0; i < runs; i++)); do
		/usr/bin/time -a -o "$work/time.$label" -f '%e %U %S %M' "$@" <"$work/addresses" >"$work/out.$label"
	done
	mapfile -t times < <(awk '{ printf "%.3f %d\n", $2 + $3, $4 }' "$work/time.$label" | sort -n)
	echo "${times[$((runs / 2))]}"
}

# /usr/bin/time counts hundredths: ours is started a hundred times in one go.
measure_ours() {
	local start end
	start=$(date +%s%N)
	for ((i = 0; i < 100; i++)); do "$symbols" "$work/program" <"$work/addresses" >/dev/null; done
	end=$(date +%s%N)
	/usr/bin/time -o "$work/time.ours" -f '%M' "$symbols" "$work/program" <"$work/addresses" >/dev/null
	awk -v ns=$((end - start)) -v kib="$(cat "$work/time.ours")" 'BEGIN { printf "%.5f %d\n", ns / 1e11, kib }'
}

read -r ours_s ours_kib < <(measure_ours)
printf '%-18s %12s %10s %8s\n' "10,000 of 40,000" seconds MiB "of ours"
row() {
	awk -v name="$1" -v s="$2" -v kib="$3" -v ours="$ours_s" \
		'BEGIN { printf "%-18s %12.4f %10.1f %7.1fx\n", name, s, kib / 1024, s / ours }'
}
row fathom "$ours_s" "$ours_kib"
for tool in llvm-symbolizer addr2line; do
	case $tool in
	llvm-symbolizer) arguments=(-e "$work/program" --functions=linkage --no-inlines) ;;
	addr2line) arguments=(-f -e "$work/program") ;;
	esac
	command -v "$tool" >/dev/null || continue
	read -r s kib < <(measure "$tool" "$tool" "${arguments[@]}")
	row "$tool" "$s" "$kib"
done
# The same names as addr2line, or the figures mean nothing.
if awk 'NR % 2' "$work/out.addr2line" | cmp -s - "$work/ours"; then
	echo "all 10,000 names equal addr2line's"
else
	echo "names differ from addr2line's" >&2
	exit 1
fi
