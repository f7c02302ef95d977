#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh SECONDS [TARGET...]: fuzz for SECONDS in all, shared by the targets
# (names, file, family, race, arena, ndarray,
# shareable).
#
# Builds with clang directly, since only clang has libFuzzer, into build-fuzz/,
# where the growing corpus stays too.  Each target runs in a mount namespace of
# its own with an empty /dev/shm.  A finding is written to build-fuzz/ and ends
# the run with status 1; `build-fuzz/fuzz_TARGET FILE` (in such a namespace)
# shows it again.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
root=$(CDPATH='' cd -- "$here/../.." && pwd -P)
build=${BUILD:-$root/build-fuzz}
clang=${CLANG:-clang}

case ${1-} in
'' | *[!0-9]*)
    echo "usage: run.sh SECONDS [TARGET...]" >&2
    exit 2
    ;;
esac
seconds=$1
shift
[ $# -gt 0 ] || set -- names file family race arena ndarray shareable

# Needs a mount namespace; 77 says "skipped" to whoever asks.
if [ "$(id -u)" = 0 ]; then
    namespace='unshare --mount --propagation private'
else
    namespace='unshare --user --map-root-user --mount --propagation private'
fi
if ! $namespace mount -t tmpfs -o size=256m tmpfs /dev/shm 2>/dev/null; then
    echo "run.sh: no mount namespace here" >&2
    exit 77
fi

compile() {
    # Word splitting is meant: a list of files without blanks in them.
    # shellcheck disable=SC2086
    "$clang" -std=c17 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer \
        -fno-strict-aliasing -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=all -pthread \
        -I"$root/include" -I"$root/src" -I"$root/tests/support" \
        -o "$build/fuzz_$1" "$here/fuzz_$1.c" "$here/fuzz.c" \
        "$root"/tests/support/*.c $library
}

library=$(find "$root/src" -name '*.c' | LC_ALL=C sort)
mkdir -p "$build"
each=$((seconds / $#))
[ "$each" -gt 0 ] || each=1

for target; do
    compile "$target"
    mkdir -p "$build/corpus/$target"
    echo "fuzz_$target: $each s"
    # shellcheck disable=SC2016
    $namespace sh -c '
        mount -t tmpfs -o size=256m,mode=1777 tmpfs /dev/shm
        exec "$@"' fuzz "$build/fuzz_$target" \
        -max_total_time="$each" -timeout=30 -rss_limit_mb=2048 -max_len=16384 \
        -artifact_prefix="$build/$target-" -print_final_stats=1 -verbosity=0 \
        "$build/corpus/$target" "$here/seeds/$target" 2>&1 |
        tee "$build/$target.log" |
        grep -E 'ERROR|claim|SUMMARY|stat::(number|peak)' || true
    if grep -qE 'ERROR|SUMMARY' "$build/$target.log"; then
        tail -n 60 "$build/$target.log"
        exit 1
    fi
    if ! grep -q 'stat::number_of_executed_units' "$build/$target.log"; then
        tail -n 20 "$build/$target.log"
        exit 1
    fi
done
