#!/bin/sh
# SPDX-License-Identifier: MIT
# Check the models of the protocols with Spin, and that each of their mutants
# is found out.  One line a run, with its count of states; the last line is
# "N passed, N failed".
#
#   run.sh [short|long] [MODEL...]
#
# short   every model and every mutant but one: about two minutes
# long    more kills, more processes: some minutes more, and up to 6 GB
#
# With MODELs, only these.
set -eu

form=${1:-short}
[ $# -eq 0 ] || shift
only=$*
case $form in
short) memory=2000 ;;
long) memory=6000 ;;
*)
    echo "usage: run.sh [short|long] [MODEL...]" >&2
    exit 2
    ;;
esac

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
    case " ${only:-$model} " in *" $model "*) ;; *) return 0 ;; esac
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
        "${CC:-cc}" "$speed" -w -DSAFETY -DCOLLAPSE "-DMEMLIM=$memory" \
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
    printf '%-9s %-57s %9s states  %-6s %s\n' "$model" "$*" "${count:--}" \
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

check lock holds KILLS=2
check lock holds KILLS=0 NO_TICK ROUNDS=2
check lock error KILLS=1 NO_TICK
check lock error KILLS=0 NO_TICK MUTANT_SLOW_WITHOUT_W
check lock error MUTANT_STEAL
check lock error MUTANT_NO_VERDICT
check lock error MUTANT_NOT_TOLD
check lock error MUTANT_NOT_STICKY

check semaphore holds KILLS=1
check semaphore holds KILLS=1 UNITS=2 OWNED=2 PLAIN=1
check semaphore holds KILLS=1 OWNED=1 PLAIN=1 RELEASERS=1
check semaphore holds KILLS=0 NO_TICK
check semaphore holds KILLS=0 NO_TICK UNITS=2 OWNED=0 PLAIN=3
check semaphore error KILLS=0 UNITS=2 OWNED=0 PLAIN=3 MUTANT_ONE_SCAN
check semaphore error KILLS=0 UNITS=2 OWNED=0 PLAIN=3 ROUNDS=2 \
    MUTANT_NO_THIRD_LOOK
check semaphore error MUTANT_DEAD_STAY
check semaphore error MUTANT_NO_VERDICT
check semaphore error MUTANT_TAKE_WITHOUT_COMPARING
check semaphore error KILLS=0 NO_TICK MUTANT_NO_SECOND_LOOK
check semaphore error KILLS=0 NO_TICK MUTANT_BIT_NOT_AGAIN

check rwlock holds KILLS=2
check rwlock holds KILLS=0 NO_TICK
check rwlock error MUTANT_LOOK_BEFORE_MARK
check rwlock error MUTANT_NO_REPAIR
check rwlock error MUTANT_REPAIR_THE_LIVING
check rwlock error KILLS=0 NO_TICK MUTANT_UNLOCK_WITHOUT_WAKE
check rwlock error KILLS=0 NO_TICK MUTANT_NO_SECOND_LOOK

check condition holds KILLS=0 NO_TICK
check condition holds KILLS=1
check condition holds KILLS=1 DEFER
check condition holds KILLS=2 WITH_JOINER ITEMS=1 CONSUMERS=1
check condition error MUTANT_NO_LOOK_AT_DEATHS
check condition error MUTANT_NO_LOOK_AT_ORPHANS WITH_JOINER ITEMS=1
check condition error MUTANT_ADOPT_WITHOUT_ORPHAN WITH_JOINER ITEMS=1
check condition error MUTANT_RECORD_CLEARED_EARLY
check condition error KILLS=0 NO_TICK MUTANT_NO_SEQ

check barrier holds KILLS=0 NO_TICK
check barrier holds KILLS=1
check barrier error MUTANT_NEWER
check barrier error MUTANT_NO_CLAIM
check barrier error MUTANT_NO_RUN_CHECK
check barrier error KILLS=0 TIMEOUTS=1 MUTANT_BREAK_RUN

check cohort holds KILLS=2
check cohort error MUTANT_NO_PIN_BEFORE_FORK
check cohort error MUTANT_NO_LOOK_AT_BYTE
check cohort error MUTANT_BYTE_FIRST
check cohort error MUTANT_NO_SERIAL
check cohort error MUTANT_SERIAL_BEFORE_LOCK
check cohort error MUTANT_ADOPT_WITHOUT_HEAP_LOCK
check cohort error MUTANT_FREE_PINNED_AT_ONCE

if [ "$form" = long ]; then
    check lock holds KILLS=2 PROCS=4
    check lock holds KILLS=2 ROUNDS=2
    check semaphore holds KILLS=2 UNITS=2 OWNED=1 PLAIN=2
    check semaphore holds KILLS=2 OWNED=2 PLAIN=1
    check rwlock holds KILLS=1 WRITERS=2
    check rwlock holds KILLS=2 ROUNDS=2
    check condition holds KILLS=2 DEFER
    check condition holds KILLS=1 ITEMS=1 WITH_JOINER
    check condition error KILLS=2 ITEMS=1 WITH_JOINER \
        MUTANT_RECORD_BEFORE_ORPHAN
    check barrier holds KILLS=2
    check barrier holds KILLS=1 TIMEOUTS=1
fi

echo "$states states in all"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
