#!/usr/bin/env bash
# The long proofs of `make soak`. Each puts its rows into tests/RELIABILITY.md, between the two marks, as it ends; what is above
# and below stays, and so do the other stages' rows. How often each fault is injected: SONODE_KILLS, SONODE_SOAK_SPOOL, SONODE_SOAK_SCHEDULES, SONODE_SOAK_HISTORIES;
# how long: SONODE_LOAD_S, with a rest of SONODE_LOAD_REST_MS after each object, and SONODE_SOAK_FUZZ_S (seconds a fuzz
# target); how much: SONODE_STRESS_CLIPS of SONODE_STRESS_FRAMES frames, SONODE_OPEN_INSTANCES instances, SONODE_HISTORY
# studies. The stages to run may be named; all, unless they are.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
rows=$(mktemp)
trap 'rm -f "$rows" "$rows.new"' EXIT
export SONODE_RELIABILITY=$rows
export SONODE_KILLS=${SONODE_KILLS:-100}
export SONODE_LOAD_S=${SONODE_LOAD_S:-600} SONODE_LOAD_REST_MS=${SONODE_LOAD_REST_MS:-3000}
export SONODE_STRESS_CLIPS=${SONODE_STRESS_CLIPS:-600} SONODE_STRESS_FRAMES=${SONODE_STRESS_FRAMES:-46}
spool=${SONODE_SOAK_SPOOL:-20000}
schedules=${SONODE_SOAK_SCHEDULES:-100000}
histories=${SONODE_SOAK_HISTORIES:-40000}
export SONODE_OPEN_INSTANCES=${SONODE_OPEN_INSTANCES:-100000}
export SONODE_HISTORY=${SONODE_HISTORY:-1000000}
seconds=${SONODE_SOAK_FUZZ_S:-600}

run() { cargo test --release --locked --workspace "$@"; }
row() { echo "| $1 | $2 | $3 | $4 |" >>"$rows"; }

kills() { run --test kills -- --nocapture; }
aborts() { SONODE_ABORTS=all run --test aborts -- --nocapture; }
load() { run --test load -- --test-threads=1 --nocapture; }
disk() {
    PROPTEST_CASES=$spool run --test spool durability
    row 'power loss, a kill or a disk fault at a random call, over the spool' "$spool" 'nothing that was promised' 'with the next start'
}
simulation() {
    SONODE_SIM_SCHEDULES=$schedules run --test simulation nothing
    row 'schedules of network, power loss, kills, disk faults and a lost queue, simulated' "$schedules" \
        'nothing; every study ends with one current report' 'with the next start'
}
histories() {
    PROPTEST_CASES=$histories run --lib engine::tests::properties
    row 'random histories of arrivals, deaths of worker and node, a queue that is lost or older than the files, peers that fail' "$histories" \
        'nothing; every study ends with one current report' 'with the next start'
}
history() {
    run --lib queue -- --nocapture | tee /dev/stderr |
        sed -n 's/^\(.* in the history\): \(opened in .*\)$/| \1 | 1 | nothing | \2 |/p' >>"$rows"
}
fuzz() {
    tests/fuzz/run.sh "$seconds" | tee /dev/stderr |
        sed -n 's/^fuzz \([a-z0-9_]*\): .* replayed, \([0-9]*\) runs in \(.*\), nothing found$/| fuzzing: `\1`, \3 | \2 | nothing found | — |/p' >>"$rows"
}

# The table's rows: what ran now in the place of the same fault's row, whose numbers don't count; the others as they were.
merged() {
    sed -n '/^<!-- soak -->$/,/^<!-- end -->$/p' tests/RELIABILITY.md | sed -n 's/^| /&/p' | tail -n +3 |
        awk 'function fault(row) { split(row, cells, " [|] "); gsub(/[0-9]/, "", cells[1]); return cells[1] }
            NR == FNR { rows[++ran] = $0; fresh[fault($0)] = $0; next }
            fault($0) in fresh { print fresh[fault($0)]; delete fresh[fault($0)]; next }
            { print }
            END { for (i = 1; i <= ran; i++) if (fault(rows[i]) in fresh) print rows[i] }' "$rows" -
}
publish() {
    {
        sed '/^<!-- soak -->$/q' tests/RELIABILITY.md
        echo
        echo '| fault | how often | lost | healthy again |'
        echo '| --- | ---: | --- | --- |'
        merged
        echo
        sed -n '/^<!-- end -->$/,$p' tests/RELIABILITY.md
    } >"$rows.new"
    cat "$rows.new" >tests/RELIABILITY.md
}

(($# > 0)) || set -- kills aborts load disk simulation histories history fuzz
for stage in "$@"; do
    "$stage"
    publish
done
