#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every static check; runs all of them and fails when one does. `tools/lint.sh --fix` formats instead.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit
build=${FATHOM_BUILD:-build}
bad=0

mapfile -t sources < <(git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]')
if [ "${1:-}" = --fix ]; then
	exec clang-format -i "${sources[@]}"
fi

tidy() {
	local files
	# What is compiled for this machine; kernel halves have a compiler of their own with its own warnings.
	mapfile -t files < <(python3 -c 'import json, os, sys
root = os.getcwd()
for entry in json.load(open(sys.argv[1] + "/compile_commands.json")):
    path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
    if path.startswith("src/"): print(path)' "$build" | sort -u)
	printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p "$build" --quiet 2>/dev/null
}

# Suppressed by file: strings whose owner becomes an array, and the libraries of a child process that ends.
check() {
	cppcheck --quiet --inline-suppr --error-exitcode=1 --enable=warning,performance,portability --std=c11 \
		--suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=normalCheckLevelMaxBranches \
		--suppress=varFuncNullUB --suppress=readdirCalled --suppress=memleak:src/kernel/procfs.c --suppress=memleak:src/model/coverage.c \
		--suppress=memleak:src/model/events.c --suppress=memleak:src/cli/cmd_host.c --suppress=memleak:src/observe/expense.c --suppress=resourceLeak:src/symbol/debuginfod.c \
		--library=gtk --library=posix -I src -j "$(nproc)" src
}

shell_files() {
	git ls-files -co --exclude-standard | while read -r file; do
		[ -f "$file" ] && head -c 40 "$file" | head -1 | tr -d '\0' | grep -qE '^#!.*\b(ba)?sh$' && echo "$file"
	done
}

failed() {
	echo "$1: failed" >&2
	bad=1
}

clang-format --dry-run -Werror "${sources[@]}" || failed clang-format
python3 tools/layering.py || failed layering
mapfile -t scripts < <(shell_files)
shellcheck "${scripts[@]}" || failed shellcheck
check || failed cppcheck
tidy || failed clang-tidy
[ "$bad" != 0 ] || echo "lint: nothing to say"
exit "$bad"
