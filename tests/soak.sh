#!/usr/bin/env bash
# The long proofs of `make soak`. Each adds its row to tests/RELIABILITY.md, between the two marks; what is above and below
# stays. SONODE_SOAK_FUZZ_S: seconds a fuzz target (default 600).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
export SONODE_RELIABILITY=$rows
run() { cargo test --release --locked --workspace "$@"; }
row() { echo "| $1 | $2 | $3 | $4 |" >>"$rows"; }

SONODE_KILLS=${SONODE_KILLS:-100} run --test kills -- --nocapture
SONODE_LOAD_S=600 SONODE_STRESS_CLIPS=600 SONODE_STRESS_FRAMES=46 run --test load -- --test-threads=1 --nocapture
PROPTEST_CASES=20000 run --test spool durability
row 'power loss, a kill or a disk fault at a random call, over the spool' 20000 'nothing that was promised' 'with the next start'
SONODE_SIM_SCHEDULES=100000 run --test simulation nothing
row 'schedules of network, power loss, kills, disk faults and a lost queue, simulated' 100000 \
    'nothing; every study ends with one current report' 'with the next start'
PROPTEST_CASES=40000 run --lib engine::tests::properties
row 'random histories of arrivals, deaths of worker and node, a lost queue, peers that fail' 40000 \
    'nothing; every study ends with one current report' 'with the next start'
SONODE_HISTORY=1000000 run --lib queue -- --nocapture | tee /dev/stderr |
    sed -n 's/^\(.* in the history\): \(opened in .*\)$/| \1 | 1 | nothing | \2 |/p' >>"$rows"
seconds=${SONODE_SOAK_FUZZ_S:-600}
tests/fuzz/run.sh "$seconds" | tee /dev/stderr |
    sed -n 's/^fuzz \([a-z0-9_]*\): .* replayed, \([0-9]*\) runs in \(.*\), nothing found$/| fuzzing: `\1`, \3 | \2 | nothing found | — |/p' >>"$rows"

{
    sed '/^<!-- soak -->$/q' tests/RELIABILITY.md
    echo
    echo '| fault | how often | lost | healthy again |'
    echo '| --- | ---: | --- | --- |'
    cat "$rows"
    echo
    sed -n '/^<!-- end -->$/,$p' tests/RELIABILITY.md
} >"$rows.new"
mv "$rows.new" tests/RELIABILITY.md
