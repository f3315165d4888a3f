#!/usr/bin/env bash
# Builds everything and runs every test. Installs what is missing. Ends with a line "N passed, N failed".
#
#   ./test.sh            everything: unit, conformance on every store, processes, Node, a real browser
#   ./test.sh --quick    the inner loop: no browser
#
# Tests that mount file systems need root and a loop device. Without those they are not run, and counted on a line of their own.
# MILLRACE_SLICE_SECONDS bounds each seeded slice (default 30). A test program that has not ended after MILLRACE_TEST_SECONDS (default 600) is
# ended and counts as failed; which tests take long is told while they run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export MILLRACE_SLICE_SECONDS="${MILLRACE_SLICE_SECONDS:-30}"
test_seconds="${MILLRACE_TEST_SECONDS:-600}"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
# Build helpers that outlive the run would hold CI's pipes open.
export MSBUILDDISABLENODEREUSE=1

quick=false
case "${1:-}" in
  "") ;;
  --quick) quick=true ;;
  *) echo "test.sh: unknown option '$1'; the only one is --quick" >&2; exit 2 ;;
esac

fail() { # says why on stderr and closes with the line that test readers look for
  echo "test.sh: $*" >&2
  echo "0 passed, 1 failed"
  exit 1
}

command -v dotnet >/dev/null || fail "the .NET 10 SDK is missing: see https://dotnet.microsoft.com/download"

# command on PATH -> Debian package
need=()
command -v redis-server >/dev/null || need+=(redis-server)
command -v redis-cli >/dev/null || need+=(redis-tools)
command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || need+=(postgresql)
command -v node >/dev/null || need+=(nodejs)
command -v npm >/dev/null || need+=(npm)
command -v strace >/dev/null || need+=(strace)
command -v faketime >/dev/null || need+=(faketime)
$quick || command -v chromium >/dev/null || need+=(chromium)
if [ ${#need[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "please install: ${need[*]}"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo: please install ${need[*]}"
    as_root=(sudo)
  fi
  echo "Installing ${need[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${need[@]}"; } >/tmp/millrace-apt.log 2>&1 ||
    { tail -n 20 /tmp/millrace-apt.log >&2; fail "apt-get could not install: ${need[*]}"; }
fi

passed=0
failed=0
not_run=0

can_mount() { # as root, and not in a container without devices: an ext4 on a loop device, as the tests of power cuts mount it
  [ "$(id -u)" -eq 0 ] || return 1
  local folder status=1
  folder=$(mktemp -d)
  mkdir "$folder/mount"
  if truncate -s 4M "$folder/image" && mkfs.ext4 -q -F "$folder/image" && mount -o loop "$folder/image" "$folder/mount"; then
    umount "$folder/mount" && status=0
  fi
  rm -rf "$folder"
  return $status
} 2>/dev/null

# run NAME EXECUTABLE [ARGUMENTS]: runs a test program and adds its figures up
run() {
  local name=$1 log summary
  shift
  log=$(mktemp)
  timeout -k 10 "$test_seconds" "$@" -noColor -noLogo -longRunning 90 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]}
  summary=$(grep -Eo 'Total: [0-9]+, Errors: [0-9]+, Failed: [0-9]+, Skipped: [0-9]+, Not Run: [0-9]+' "$log" | tail -n 1)
  rm -f "$log"
  if [ -z "$summary" ]; then
    [ "$status" -ne 124 ] || echo "test.sh: $name was ended after $test_seconds seconds: see its long running tests above" >&2
    echo "test.sh: $name ended with status $status and no summary" >&2
    failed=$((failed + 1))
    return
  fi
  local total errors bad skipped explicit
  read -r total errors bad skipped explicit <<<"$(grep -Eo '[0-9]+' <<<"$summary" | tr '\n' ' ')"
  # A skipped test proves nothing: it counts as failed.
  failed=$((failed + errors + bad + skipped))
  passed=$((passed + total - bad - skipped - explicit))
  not_run=$((not_run + explicit))
  [ "$status" -eq 0 ] || [ $((errors + bad + skipped)) -gt 0 ] || { echo "test.sh: $name ended with status $status" >&2; failed=$((failed + 1)); }
}

dotnet build Millrace.slnx -v quiet || fail "the build failed"
# Tests marked as explicit are those that mount.
explicit=off
can_mount && explicit=on
run Millrace.Tests artifacts/bin/Millrace.Tests/debug/Millrace.Tests -explicit $explicit

if ! $quick && [ -d tests/Millrace.Browser ]; then
  if dotnet build tests/Millrace.Browser -v quiet; then
    run Millrace.Browser artifacts/bin/Millrace.Browser/debug/Millrace.Browser
  else
    failed=$((failed + 1))
  fi
fi

[ "$not_run" -eq 0 ] || echo "$not_run not run: they mount file systems, which needs root and a loop device"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
