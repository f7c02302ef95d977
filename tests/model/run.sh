#!/bin/sh
# SPDX-License-Identifier: MIT
# Check the models of the two protocols with Spin, and that each of their
# mutants is found out.  One line a run, with its count of states; the last
# line is "N passed, N failed".  About a minute.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
command -v spin >/dev/null 2>&1 || {
    echo "model: spin is not installed" >&2
    exit 77
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 states=0

# check MODEL EXPECTED FLAG...: EXPECTED is "holds" or "error".
check() {
    model=$1 expected=$2
    shift 2
    dir=$scratch/run
    rm -rf "$dir"
    mkdir "$dir"
    (
        cd "$dir"
        flags=
        for flag in "$@"; do flags="$flags -D$flag"; done
        # Word splitting is meant: $flags is a list.
        # shellcheck disable=SC2086
        spin $flags -a "$here/$model.pml" >spin.out 2>&1
        case $expected in holds) speed=-O1 ;; *) speed=-O0 ;; esac
        "${CC:-cc}" "$speed" -w -DSAFETY -DCOLLAPSE -DMEMLIM=2000 \
            -o pan pan.c
        ./pan -m100000 -n >pan.out 2>&1 || true
    ) || {
        cat "$dir/spin.out"
        failed=$((failed + 1))
        return 0
    }
    count=$(sed -n 's/ *\([0-9][0-9]*\) states, stored.*/\1/p' "$dir/pan.out")
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$dir/pan.out")
    found=broken
    if grep -q 'depth too small\|out of memory\|: invalid end state' \
        "$dir/pan.out"; then
        found=incomplete
    elif [ "$errors" = 0 ]; then
        found=holds
    elif grep -q 'assertion violated' "$dir/pan.out"; then
        found=error
    fi
    states=$((states + ${count:-0}))
    verdict=ok
    if [ "$found" = "$expected" ]; then
        passed=$((passed + 1))
    else
        verdict="FAILED, $expected was expected"
        failed=$((failed + 1))
    fi
    printf '%-8s %-58s %9s states  %-6s %s\n' "$model" "$*" "${count:--}" \
        "$found" "$verdict"
}

check family holds COUNT=3 WITH_SWEEPERS
check family holds COUNT=4 WITH_SWEEPERS WITH_JOINER
check family holds COUNT=4 WITH_SWEEPERS WITH_FOREIGNER
check family holds COUNT=5 WITH_SWEEPERS WITH_FOREIGNER WITH_JOINER
check family holds COUNT=4 WITH_CREATOR WITH_SWEEPERS
check family holds COUNT=4 WITH_CREATOR WITH_SWEEPER WITH_FOREIGNER
check family holds COUNT=4 WITH_CREATOR WITH_SWEEPER WITH_SCRUBBER
check family holds COUNT=4 WITH_CREATOR WITH_UNLINKERS
check family holds COUNT=4 WITH_SWEEPER WITH_FOREIGNER WITH_UNLINKER
check family holds COUNT=4 WITH_SWEEPER WITH_JOINER WITH_UNLINKER

check family error COUNT=3 WITH_SWEEPERS MUTANT_WORD_AFTER_LINK
check family error COUNT=3 WITH_SWEEPERS MUTANT_NAME_BEFORE_LOCK
check family error COUNT=4 WITH_SWEEPERS WITH_JOINER MUTANT_NO_DEAD
check family error COUNT=4 WITH_SWEEPERS WITH_FOREIGNER \
    MUTANT_FOREIGN_WITHOUT_LOCK
check family error COUNT=4 WITH_SWEEPERS WITH_FOREIGNER MUTANT_FILE_FIRST
check family error COUNT=4 WITH_CREATOR WITH_UNLINKERS \
    MUTANT_UNLINK_BY_COMPARING
check family error COUNT=4 WITH_CREATOR WITH_SWEEPER WITH_SCRUBBER \
    MUTANT_SCRUB_DROPS_PENDING

check holders holds COUNT=4 WITH_MAKERS WITH_FINDER WITH_SWEEPER
check holders holds COUNT=4 WITH_PARENT WITH_FINDER WITH_SWEEPER
check holders holds COUNT=4 WITH_PARENT WITH_UNLINKERS
check holders holds COUNT=3 WITH_MAKERS WITH_UNLINKER
check holders holds PEACE COUNT=3 WITH_MAKERS WITH_FINDER
check holders holds PEACE COUNT=4 WITH_PARENT WITH_FINDERS
check holders holds PEACE COUNT=4 WITH_PARENT WITH_FINDER WITH_UNLINKER

check holders error COUNT=4 WITH_MAKERS WITH_FINDER WITH_SWEEPER \
    MUTANT_NAME_BEFORE_LOCK
check holders error COUNT=4 WITH_MAKERS WITH_FINDER WITH_SWEEPER \
    MUTANT_REAP_WITHOUT_LOCK
check holders error COUNT=4 WITH_MAKERS WITH_FINDER WITH_SWEEPER \
    MUTANT_REAP_IGNORES_NAME
check holders error COUNT=4 WITH_MAKERS WITH_FINDER WITH_SWEEPER \
    MUTANT_ATTACH_IGNORES_NAME
check holders error COUNT=3 WITH_PARENT WITH_FINDER MUTANT_UPGRADE_IN_PLACE
check holders error PEACE COUNT=3 WITH_MAKERS WITH_FINDER MUTANT_NO_LOOK

echo "$states states in all"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
