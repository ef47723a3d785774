#!/usr/bin/env bash
# One night: what works here, the run, its place in the history, and the comparison with the baseline. Called by .github/workflows/nightly-gpu.yml,
# GitLab and cron alike (docs/ci.md). Settings are environment variables:
#
#   SUITE      a suite file or name (required)          PROFILE   its profile
#   OUT        the run directory; default results/nightly/<UTC time>
#   DEVICE     auto (default), cpu or cuda              BASELINE  a run directory or the name of a saved baseline; without one nothing is compared
#   HISTORY    a history file to add the run to         HARNESS   the command; default harness
#   SUMMARY    where the Markdown summary goes; default GitHub's job summary, else <OUT>/summary.md
#
# Exit code: 2 where the request is wrong, 1 where a cell failed or the gate did not hold, else 0.
set -euo pipefail

: "${SUITE:?name a suite: SUITE=suites/quickstart.yaml ci/nightly.sh}"
HARNESS=${HARNESS:-harness}
DEVICE=${DEVICE:-auto}
OUT=${OUT:-results/nightly/$(date -u +%Y-%m-%dT%H-%M-%SZ)}
SUMMARY=${SUMMARY:-${GITHUB_STEP_SUMMARY:-$OUT/summary.md}}

suite=("$SUITE")
if [ -n "${PROFILE:-}" ]; then suite+=(--profile "$PROFILE"); fi
history=()
if [ -n "${HISTORY:-}" ]; then history=(--history "$HISTORY"); fi

code=0
# keeps the worst exit code; 2 ends the night, because then nothing that follows would mean anything
noted() {
    if [ "$1" -gt "$code" ]; then code=$1; fi
    if [ "$1" -ge 2 ]; then exit "$1"; fi
}

status=0
doctor=$("$HARNESS" doctor "${suite[@]}" --device "$DEVICE" --plain) || status=$?
printf '%s\n' "$doctor"
if [ "$status" -eq 1 ]; then echo "some cells of $SUITE cannot run here: they will be recorded as unsupported"; else noted "$status"; fi

status=0
"$HARNESS" run "${suite[@]}" --device "$DEVICE" --out "$OUT" ${history[@]+"${history[@]}"} || status=$?
noted "$status"
printf '%s\n' "$doctor" > "$OUT/doctor.txt" # a run directory is new or empty when a run begins

"$HARNESS" report "$OUT" --format md --format csv --format html --format json ${history[@]+"${history[@]}"}

if [ "$code" -eq 1 ]; then printf 'Some cells failed: `%s/report.md` says which, and why.\n\n' "$OUT" >> "$SUMMARY"; fi
if [ -z "${BASELINE:-}" ]; then
    printf 'No BASELINE is set: `%s` was run and not compared. To promote it: `harness baseline save %s NAME`.\n' "$SUITE" "$OUT" >> "$SUMMARY"
    exit "$code"
fi

status=0
"$HARNESS" compare "$BASELINE" "$OUT" --format md > "$OUT/compare.md" 2> "$OUT/compare.log" || status=$?
cat "$OUT/compare.log" >&2
cat "$OUT/compare.md" "$OUT/compare.log" >> "$SUMMARY" # a baseline that is not there is told on stderr alone
# the verdict is known: these say it again in other forms, also what does not compare, and their exit code is the same one
"$HARNESS" compare "$BASELINE" "$OUT" --format json --out "$OUT/compare.json" 2> /dev/null || true
"$HARNESS" compare "$BASELINE" "$OUT" --format junit --out "$OUT/compare.xml" 2> /dev/null || true
if [ -n "${GITHUB_ACTIONS:-}" ]; then "$HARNESS" compare "$BASELINE" "$OUT" --format github || true; fi
noted "$status"
exit "$code"
