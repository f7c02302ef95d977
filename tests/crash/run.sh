#!/bin/sh
# SPDX-License-Identifier: MIT
# Kill processes at random and at every place, and count what that broke.
#
#   run.sh [short|long]
#
# short   for every change: a few minutes
# long    more than 20,000 kills of processes with blocks of lifetime holders
#         and as many of families, 5,000 of each primitive's users, all places
#         held, all mutants, and every Python that is found: about an hour
#
# Programs are taken from SHMKIT_BUILD (default: the build folder at the root),
# the Python package for PYTHON (default /usr/bin/python3) from its python
# folder.  SEED repeats a run as far as the machine lets it be repeated.  The
# last line is "N passed, N failed".
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${SHMKIT_BUILD:-$root/build}
bin=$build/tests/crash
python=${PYTHON:-/usr/bin/python3}
form=${1:-short}
seed=${SEED:-$(date +%s)}
passed=0 failed=0 skipped=0

[ -x "$bin/crash-storm" ] || {
    echo "crash: no programs in $bin; build first" >&2
    exit 2
}

# run WHAT COMMAND...
run() {
    printf '\n-- %s\n' "$*"
    shift
    status=0
    "$@" || status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
    esac
}

# storm NAME KILLS OPTION...
storm() {
    name=$1 kills=$2
    shift 2
    seed=$((seed + 1))
    run "$name" "$bin/crash-$name" --kills "$kills" --seed "$seed" "$@"
}

# The same where the kernel refuses 2 MiB pages.
storm_refused() {
    name=$1 kills=$2
    shift 2
    seed=$((seed + 1))
    run "$name, 2 MiB pages refused" env SHMKIT_REFUSE=collapse \
        "$bin/crash-$name" --kills "$kills" --seed "$seed" "$@"
}

# Each interpreter once: "VERSION PATH".
find_pythons() {
    for candidate in "$python" /usr/bin/python3.[0-9]* \
        /usr/local/bin/python3.[0-9]* "$HOME"/.pyenv/versions/*/bin/python3; do
        case $candidate in *config) continue ;; esac
        [ -x "$candidate" ] || continue
        "$candidate" - "$candidate" <<'END' || true
import os, sys, sysconfig
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
if sys.version_info >= (3, 9) and os.path.exists(header):
    print("%d.%d" % sys.version_info[:2], sys.argv[1])
END
    done 2>/dev/null | sort -u -k1,1
}

# The package for one more interpreter; prints its PYTHONPATH.
build_package() {
    dir=$root/build-python-$1
    meson=meson
    [ ! -x /usr/bin/meson ] || meson=/usr/bin/meson
    [ -f "$dir/build.ninja" ] ||
        "$meson" setup -Dpython="$2" -Dtool=false -Dtests=false \
            "$dir" "$root" >"$dir.log" 2>&1 || return 1
    ninja -C "$dir" >"$dir.log" 2>&1 || return 1
    rm -f "$dir.log"
    echo "$dir/python"
}

# propagate REPEAT PAIR...
propagate() {
    repeat=$1
    shift
    if [ ! -d "${1#*=}/shmkit" ]; then
        echo "crash: built without the Python package: no propagation"
        skipped=$((skipped + 1))
        return
    fi
    run propagation "$python" "$root/tests/crash/propagation.py" \
        --repeat "$repeat" "$@"
}

propagate_everywhere() {
    pairs=
    found=$(find_pythons)
    while read -r version interpreter; do
        if path=$(build_package "$version" "$interpreter"); then
            pairs="$pairs $interpreter=$path"
        else
            echo "crash: no package for $interpreter, see build-python-*.log"
            failed=$((failed + 1))
        fi
    done <<END
$found
END
    # Word splitting is meant: $pairs is a list.
    # shellcheck disable=SC2086
    propagate 5 ${pairs:-none}
}

case $form in
short)
    storm storm 3000 --procs 8 --names 12 --unlink
    storm storm 2000 --procs 16 --names 6
    storm family_storm 3000 --unlink
    storm family_storm_tiny 2000 --unlink
    storm storm 1000 --procs 8 --names 8 --unlink --big
    storm family_storm 1000 --unlink --big
    storm_refused storm 400 --procs 8 --names 8 --unlink --big
    storm_refused family_storm 400 --unlink --big
    run faults "$bin/crash-faults" --kill-only --no-cover
    run faults_tiny "$bin/crash-faults_tiny"
    run pairs "$bin/crash-pairs" --every 12 --offset "$seed"
    run pairs_tiny "$bin/crash-pairs_tiny" --every 40 --offset "$seed"
    storm sync_storm 200
    run sync_points "$bin/crash-sync_storm" --points
    run scenarios "$bin/crash-scenarios"
    run mutants "$python" "$root/tests/crash/mutants.py" \
        --only foreign-without-lock --only word-after-link \
        --only no-look-after-close --only sync-deaths-unseen \
        --only sync-repair-leaves-no-orphan --only sync-death-uncounted \
        --only sync-dead-readers-stay --only sync-dead-units-stay \
        --only sync-dead-runner-unseen
    propagate 2 "$python=$build/python"
    ;;
long)
    storm storm 7000 --procs 8 --names 12 --unlink
    storm storm 5000 --procs 8 --names 12
    storm storm 5000 --procs 24 --names 40 --unlink
    storm storm 4000 --procs 16 --names 1 --unlink
    storm family_storm 7000 --unlink
    storm family_storm 3000 --families 2 --names 2 --unlink
    storm family_storm 3000 --families 6 --names 40
    storm family_storm_tiny 5000 --unlink
    storm family_storm_tiny 3000 --families 2 --names 4
    storm storm 5000 --procs 8 --names 8 --unlink --big
    storm storm 2000 --procs 16 --names 1 --unlink --big
    storm family_storm 5000 --unlink --big
    storm family_storm_tiny 2000 --families 2 --names 4 --big
    storm_refused storm 2000 --procs 8 --names 8 --unlink --big
    storm_refused family_storm 2000 --unlink --big
    run faults "$bin/crash-faults" --all --no-cover
    run faults_tiny "$bin/crash-faults_tiny" --all
    run pairs "$bin/crash-pairs" --all --every 3 --offset "$seed"
    run pairs_tiny "$bin/crash-pairs_tiny"
    storm sync_storm 5000
    run sync_points "$bin/crash-sync_storm" --points
    run scenarios "$bin/crash-scenarios"
    run mutants "$python" "$root/tests/crash/mutants.py"
    propagate_everywhere
    ;;
*)
    echo "usage: run.sh [short|long]" >&2
    exit 2
    ;;
esac

echo
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
