#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ./dev bench NAME [ARG...]: runs bench/NAME.py or bench/NAME.sh; without a name says what each one measures.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

if [ $# = 0 ]; then
	echo "usage: sudo ./dev bench NAME"
	for file in bench/*.py bench/*.sh; do
		name=$(basename "${file%.*}")
		case $name in *gen*) continue ;; esac # makes input for others
		[ -x "$file" ] && printf '  %-16s %s\n' "$name" "$(sed -n '2,6{s/^# \|^"""//;/SPDX/d;p;q}' <(sed '/SPDX/d' "$file"))"
	done
	exit 0
fi
name=$1
shift
for file in "bench/$name.py" "bench/$name.sh"; do
	[ -x "$file" ] && exec "$file" "$@"
done
echo "there is no bench called $name: ./dev bench lists them" >&2
exit 2
