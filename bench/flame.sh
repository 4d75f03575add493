#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# flame.sh [STACKS] [ROUNDS] : folded stacks → SVG and HTML, beside flamegraph.pl (of FLAMEGRAPH_DIR, PATH or Debian's libdevel-nytprof-perl).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
stacks=${1:-200000}
rounds=${2:-5}
fathom=${FATHOM_BINARY:-${FATHOM_BUILD:-build}/src/cli/fathom}
[ -x "$fathom" ] || { echo "$fathom does not exist: run ./dev build" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 bench/genfolded.py "$stacks" >"$folder/in.folded"
printf '%s different stacks, %s MB\n%-28s %9s %9s %9s %12s\n' "$stacks" \
	"$(($(stat -c %s "$folder/in.folded") / 1000000))" "" "s median" "s least" "MiB" "output kB"

# measure NAME OUTPUT COMMAND… : one line of the table
measure() {
	local name=$1 output=$2 i
	shift 2
	: >"$folder/times"
	for ((i = 0; i < rounds; i++)); do
		/usr/bin/time -f '%e %M' -a -o "$folder/times" "$@"
	done
	sort -n "$folder/times" | awk -v name="$name" -v size="$(stat -c %s "$output")" '
		{ seconds[NR] = $1; if ($2 > peak) peak = $2 }
		END { printf "%-28s %9.2f %9.2f %9.0f %12.0f\n", name, seconds[int((NR + 1) / 2)], seconds[1], peak / 1024, size / 1000 }'
}

measure "fathom flame, svg" "$folder/out.svg" "$fathom" flame "$folder/in.folded" -o "$folder/out.svg"
measure "fathom flame, html" "$folder/out.html" "$fathom" flame "$folder/in.folded" -o "$folder/out.html"
measure "fathom flame, summary" "$folder/out.txt" "$fathom" flame "$folder/in.folded" -o "$folder/out.txt"
peer=$(PATH=${FLAMEGRAPH_DIR:-/nonexistent}:$PATH:/usr/share/perl5/Devel/NYTProf command -v flamegraph.pl || true)
if [ -n "$peer" ]; then
	rounds=1
	# shellcheck disable=SC2016
	measure "flamegraph.pl" "$folder/peer.svg" sh -c 'perl "$1" "$2" >"$3"' sh "$peer" "$folder/in.folded" "$folder/peer.svg"
else
	echo "no flamegraph.pl: nothing to compare with (apt install libdevel-nytprof-perl)" >&2
fi
