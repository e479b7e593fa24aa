#!/bin/sh
# The compiler for the project's own crates while fuzz targets are built (RUSTC_WORKSPACE_WRAPPER): SanitizerCoverage in
# every library and target, which stable Rust has as an LLVM pass. Cargo keeps what it makes apart from the ordinary
# build's, and dependencies, libtorch's wrapper above all, are shared with it. Build scripts stay as they are.
rustc=$1
shift
case " $* " in
*" --crate-name build_script_build "* | *" --crate-type proc-macro "*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" --cfg fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
