#!/usr/bin/env bash
# The body of `./dev bench [FILTER]`: the codec, the session in process, then the ring between two processes on a
# simulated Xen. BIN is where the binaries are. Needs root: a share is a mount of its own.
set -euo pipefail

fail() {
  printf 'bench: %s\n' "$*" >&2
  exit 1
}

[ -n "${BIN:-}" ] || fail "BIN is not set; run this by ./dev bench"
[ "$(id -u)" = 0 ] || fail "needs root, since a share is a mount of its own: sudo ./dev bench"
filter=${1:-.}
work=$(mktemp -d "${TMPDIR:-/tmp}/virtfs-bench.XXXXXX")
export XENSIM_DIR=$work/xen XEN_VIRTFS_RUN=$work/run TEST_TMPDIR=$work
ctl=$BIN/xensim/xensim-ctl
backend=
clean_up() {
  "$ctl" down >/dev/null 2>&1 || true
  [ -z "$backend" ] || wait "$backend" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Debian builds libbenchmark without NDEBUG and it warns of that; our own code is optimised.
benchmark() { "$@" --benchmark_filter="$filter" --benchmark_counters_tabular=true 2>&1 | grep -v 'Library was built as DEBUG'; }

printf '== codec\n'
benchmark "$BIN/protocol/codec_benchmark"
printf '\n== session, in process, beside bare system calls\n'
benchmark "$BIN/bench/session_benchmark"

printf '\n== ring, guest and server in two processes, with Xen calls per operation\n'
mkdir "$work/share"
head -c $((64 << 20)) /dev/urandom >"$work/share/file"
"$ctl" up && "$ctl" domain 1
# Two 9pfs rings of the largest order take 1,026 pages beside the virtfs ring's.
"$ctl" limit 1 4000
"$ctl" run 0 "$BIN/backend/xen-virtfsd" --domid 1 >"$work/xen-virtfsd.log" 2>&1 &
backend=$!
for options in tag=bench tag=bench9,transport=9pfs; do
  "$ctl" run 0 "$BIN/toolstack/virtfs-attach" --domid 1 "$options,path=$work/share,security_model=passthrough" >/dev/null ||
    { cat "$work/xen-virtfsd.log" >&2; fail "the share could not be attached"; }
done
VIRTFS_BENCH_FILE=$work/share/file benchmark "$ctl" run 1 "$BIN/bench/ring_benchmark"
