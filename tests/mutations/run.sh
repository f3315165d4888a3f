#!/usr/bin/env bash
# Breaks the durability of a copy of the source on purpose, one way at a time, and demands that the simulation notices each.
#
#   tests/mutations/run.sh              all of mutants/*.sed
#   tests/mutations/run.sh 03 12        those whose names begin so
#
# MILLRACE_SIM_SEEDS says how many seeds a mutant may survive (default 20,000); the unbroken source must survive them, too. A mutant that shows
# seldom says "# seeds: N" when it needs more. A mutant is a sed script for one file, named in its first line, or several, each under its own
# "# file:". One that changes nothing any more, or does not compile, fails the run.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${MILLRACE_SIM_SEEDS:-20000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp tests/mutations/Simulation.csproj "$work/"
mkdir -p "$work/src"
cp -r src/Millrace.Streams src/Millrace.Embedded "$work/src/"
cp -r tests/Millrace.Tests/Simulation "$work/"
find "$work/src" -name '*.csproj' -delete
cp -r "$work/src" "$work/clean"
printf '<Project><ItemGroup><Compile Remove="clean/**" /></ItemGroup></Project>\n' >"$work/Directory.Build.targets"

build() {
    (cd "$work" && dotnet build -v quiet -clp:ErrorsOnly) >"$work/build.log" 2>&1 || { cat "$work/build.log"; return 1; }
}

simulate() { # seeds
    MILLRACE_SIM_SEEDS=$1 timeout 900 "$work/bin/Debug/net10.0/Millrace.Tests" -noLogo -noColor \
        -method "*Store_on_a_failing_device_keeps_every_promise" >"$work/run.log" 2>&1
}

echo "the source as it is, $seeds seeds"
build
simulate "$seeds" || { cat "$work/run.log"; echo "it fails without a mutant"; exit 1; }

caught=0
total=0
for mutant in tests/mutations/mutants/*.sed; do
    name=$(basename "$mutant" .sed)
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qx "${name%%-*}"; then
        continue
    fi
    total=$((total + 1))
    rm -f "$work"/rules.*
    awk -v out="$work/rules." '/^# file: /{n++} {print > (out n)}' "$mutant"
    for rules in "$work"/rules.*; do
        file=$(sed -n '1s/^# file: src/clean/p' "$rules")
        sed -E -z -f "$rules" "$work/$file" >"$work/src${file#clean}"
        if cmp -s "$work/$file" "$work/src${file#clean}"; then
            echo "$name: changes nothing in ${file#clean/} any more"
            exit 1
        fi
    done
    build || { echo "$name: does not compile"; exit 1; }
    needed=$(sed -n 's/^# seeds: //p' "$mutant")
    lives=$((${needed:-0} > seeds ? needed : seeds))
    if simulate "$lives"; then
        echo "$name: SURVIVED $lives seeds"
    else
        caught=$((caught + 1))
        echo "$name: caught, $(grep -m 1 -oE 'seed [0-9]+: .*' "$work/run.log" | sed -E 's/Millrace\.Tests\.Simulation\.SimulationException: //' | cut -c 1-150)"
    fi
    cp -r "$work/clean/." "$work/src/"
done

echo "caught $caught of $total"
[ "$caught" -eq "$total" ]
