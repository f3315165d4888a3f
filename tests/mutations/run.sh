#!/usr/bin/env bash
# Breaks a copy of the source on purpose, one way at a time, and demands that a checker notices each.
#
#   tests/mutations/run.sh                     all mutants
#   tests/mutations/run.sh durability 03 12    those of mutants/*.sed whose names begin so: the simulation of a failing device must notice
#   tests/mutations/run.sh delivery 02         those of delivery/*.sed: the chaos in virtual time must
#
# A checker gets so many seeds for a mutant, and must let the unbroken source pass with as many: MILLRACE_SIM_SEEDS (default 20,000) and
# MILLRACE_CHAOS_SEEDS (default 60). A mutant that shows seldom says "# seeds: N" when it needs more. A mutant is a sed script for one file, named in
# its first line, or several, each under its own "# file:". One that changes nothing any more, or does not compile, fails the run.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

prepare_durability() {
    mutants=mutants variable=MILLRACE_SIM_SEEDS seeds=${MILLRACE_SIM_SEEDS:-20000}
    test="*Store_on_a_failing_device_keeps_every_promise"
    cp tests/mutations/Simulation.csproj "$work/"
    cp -r src/Millrace.Streams src/Millrace.Embedded "$work/src/"
    cp -r tests/Millrace.Tests/Simulation "$work/"
}

prepare_delivery() {
    mutants=delivery variable=MILLRACE_CHAOS_SEEDS seeds=${MILLRACE_CHAOS_SEEDS:-60}
    test="*Hosts_in_virtual_chaos_keep_every_promise"
    cp tests/mutations/Delivery.csproj "$work/"
    cp -r src/Millrace src/Millrace.Streams src/Millrace.Embedded "$work/src/"
    cp -r tests/Millrace.ChaosWorker tests/Millrace.Tests/Simulation tests/Millrace.Tests/Chaos "$work/"
    # What needs processes or a server stays behind.
    rm "$work"/Millrace.ChaosWorker/{Millrace.ChaosWorker.csproj,Program.cs} "$work"/Chaos/{ChaosMonkey,ChaosRun,ChaosServer,ChaosTests,Signals,WorkerProcess}.cs
    rm "$work"/Chaos/{,Served,Virtual}PatternChaos.cs
    mkdir "$work/Fixtures"
    cp tests/Millrace.Tests/Fixtures/{ConsumerHost,Eventually,ManualTimeProvider}.cs src/Millrace.Testing/VirtualTimeProvider.cs "$work/Fixtures/"
}

build() {
    (cd "$work" && dotnet build -v quiet -clp:ErrorsOnly) >"$work/build.log" 2>&1 || { cat "$work/build.log"; return 1; }
}

check() { # seeds
    env "$variable=$1" timeout 900 "$work/bin/Debug/net10.0/Millrace.Tests" -noLogo -noColor -method "$test" >"$work/run.log" 2>&1
}

run_suite() { # suite [prefix...]
    local suite=$1 caught=0 total=0
    shift
    rm -rf "${work:?}"/*
    mkdir "$work/src"
    "prepare_$suite"
    find "$work/src" -name '*.csproj' -delete
    cp -r "$work/src" "$work/clean"
    printf '<Project><ItemGroup><Compile Remove="clean/**" /></ItemGroup></Project>\n' >"$work/Directory.Build.targets"

    echo "$suite: the source as it is, $seeds seeds"
    build || exit 1
    check "$seeds" || { cat "$work/run.log"; echo "it fails without a mutant"; exit 1; }
    for mutant in tests/mutations/"$mutants"/*.sed; do
        name=$(basename "$mutant" .sed)
        if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qx "${name%%-*}"; then
            continue
        fi
        total=$((total + 1))
        try_mutant && caught=$((caught + 1))
    done
    echo "$suite: caught $caught of $total"
    [ "$caught" -eq "$total" ]
}

try_mutant() { # true: caught
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
    local needed lives status=0
    needed=$(sed -n 's/^# seeds: //p' "$mutant")
    lives=$((${needed:-0} > seeds ? needed : seeds))
    if check "$lives"; then
        echo "$name: SURVIVED $lives seeds"
        status=1
    else
        echo "$name: caught, $(grep -m 1 -oE 'seed [0-9]+: .*' "$work/run.log" | sed -E 's/Millrace\.Tests\.Simulation\.SimulationException: //' | cut -c 1-150)"
    fi
    cp -r "$work/clean/." "$work/src/"
    return $status
}

case "${1:-}" in
    durability | delivery) run_suite "$@" ;;
    "") failed=0; for suite in durability delivery; do run_suite $suite || failed=1; done; exit $failed ;;
    *) echo "run.sh: unknown suite '$1'; there are durability and delivery" >&2; exit 2 ;;
esac
