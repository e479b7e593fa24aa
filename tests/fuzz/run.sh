#!/usr/bin/env bash
# Replays each fuzz target's corpus and then looks for more for so many seconds (default 30) a target. What it finds new
# stays in target/fuzz/; a finding lies there too, as crash-*, timeout-* or oom-*, and the run fails.
#
#   run.sh [SECONDS] [TARGET]...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=${1:-30}
shift || true
all=(association assembler command header_scanner worker_protocol part10 pixels config report)
targets=("${@:-${all[@]}}")
export LD_LIBRARY_PATH=$root/.libtorch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
failed=()
for target in "${targets[@]}"; do
    kept=$root/target/fuzz/$target
    mkdir -p "$kept/new"
    log=$kept/log
    # An input that takes ten seconds, 1 GiB at once or 2 GiB in all is a finding.
    limits=(-timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=65536 -artifact_prefix="$kept/")
    if "$root/target/release/fuzz_$target" "${limits[@]}" -runs=0 "$here/corpus/$target" >"$log" 2>&1 &&
        "$root/target/release/fuzz_$target" "${limits[@]}" -max_total_time="$seconds" \
            "$kept/new" "$here/corpus/$target" >>"$log" 2>&1; then
        runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log" | tail -n 1)
        echo "fuzz $target: $(find "$here/corpus/$target" -type f | wc -l) inputs replayed, $runs runs in $seconds s, nothing found"
    else
        failed+=("$target")
        echo "fuzz $target: FOUND SOMETHING; its input lies in target/fuzz/$target/" >&2
        grep -v '^#' "$log" | tail -n 40 >&2
    fi
done
[ ${#failed[@]} -eq 0 ]
