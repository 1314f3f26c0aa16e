#!/usr/bin/env bash
# The whole product at work on a simulated Xen: a guest copies a directory of its host out of one share and into
# another, through the real ring, backend and xenstored; then both copies are compared with the source.
#
#   ./dev demo [DIR]        default /usr/include; DIR is only read. Needs root: a share is a mount of its own.
#
# BIN is where the binaries are. Leaves nothing behind, whatever happens; says what failed and shows the logs.
set -euo pipefail

fail() {
  printf '\ndemo: %s\n' "$*" >&2
  exit 1
}

[ $# -le 1 ] || fail "usage: ./dev demo [DIR]"
[ -n "${BIN:-}" ] || fail "BIN is not set; run this by ./dev demo"
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "needs root, since a share is a mount of its own"
  exec sudo BIN="$BIN" XEN_VIRTFS_CACHE="${XEN_VIRTFS_CACHE:-$HOME/.cache/xen-virtfs}" "$0" "$@"
fi
source_dir=$(readlink -e -- "${1:-/usr/include}") || fail "there is no directory ${1:-/usr/include}"
[ -d "$source_dir" ] || fail "$source_dir is not a directory"
case $source_dir in *,* | *=*) fail "$source_dir: a comma or an equals sign cannot be part of a share's path" ;; esac

work=$(mktemp -d "${TMPDIR:-/tmp}/virtfs-demo.XXXXXX")
case $work/ in "$source_dir"/*) rm -rf "$work"; fail "$source_dir contains the copies to be made of it in ${TMPDIR:-/tmp}" ;; esac
export XENSIM_DIR=$work/xen XEN_VIRTFS_RUN=$work/run
ctl=$BIN/xensim/xensim-ctl
backend=
step_name="starting"
step_pid=

clean_up() {
  local rc=$?
  trap - EXIT
  trap '' INT TERM HUP
  if [ "$rc" != 0 ]; then
    printf '\n\ndemo: failed while %s (exit status %s)\n' "$step_name" "$rc" >&2
    local log
    for log in "$work"/*.log; do
      [ -s "$log" ] || continue
      printf -- '--- %s\n' "${log##*/}" >&2
      tail -n 20 "$log" >&2
    done
  fi
  [ -z "$step_pid" ] || kill "$step_pid" 2>/dev/null || true
  [ ! -d "$XENSIM_DIR" ] || "$ctl" down >/dev/null 2>&1 || true
  [ -z "$backend" ] || wait "$backend" 2>/dev/null || true
  rm -rf "$work"
  exit "$rc"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# step TEXT LOG COMMAND...: one line, with the time it took. Both ends of a Ctrl-C are ours, so commands run behind us.
step() {
  step_name=$1
  local log=$work/$2.log start
  shift 2
  printf '  %-58s' "$step_name ..."
  start=$(date +%s%N)
  "$@" >>"$log" 2>&1 &
  step_pid=$!
  local rc=0
  wait "$step_pid" || rc=$?
  step_pid=
  [ "$rc" = 0 ] || exit "$rc"
  printf '%6.2f s\n' "$(( ($(date +%s%N) - start) / 10000000 ))e-2"
}

guest() { exec "$ctl" run 1 "$BIN/frontend/virtfs-client" --stats "$@"; }
host() { exec "$ctl" run 0 "$@"; }
attach() { host "$BIN/toolstack/virtfs-attach" --domid 1 "$@"; }
start_xen() { "$ctl" up && "$ctl" domain 1; }

# What --stats printed of one step: its second line.
rates() { sed -n 's/^\(.* operations\/s, .*\)$/\1/p' "$work/$1.log" | tail -n 1; }

printf 'virtfs demo: %s\n\n' "$source_dir"
step "start a simulated Xen with the real xenstored, and a guest" xen start_xen
"$ctl" run 0 "$BIN/backend/xen-virtfsd" --domid 1 >"$work/xen-virtfsd.log" 2>&1 &
backend=$!
mkdir "$work/share"
step "attach $source_dir read-only, as 'source'" attach attach "tag=source,path=$source_dir,security_model=passthrough,readonly"
step "attach an empty directory, as 'copy'" attach attach "tag=copy,path=$work/share,security_model=passthrough"
"$ctl" stats --reset >/dev/null
step "in the guest: copy all of 'source' to the guest's disk" out guest cp -r source:/ "$work/guest"
step "in the guest: copy that into 'copy'" in guest cp -r "$work/guest" copy:/tree
"$ctl" stats >"$work/calls"
step "compare the guest's copy with the source" compare-guest guest compare --skip-special "$source_dir" "$work/guest"
step "compare the share's copy with the source" compare-share guest compare --skip-special "$source_dir" "$work/share/tree"

same() { sed -n 's/^\([0-9]*\) files, \([0-9]*\) directories, \([0-9]*\) symlinks, \([0-9]*\) bytes: the same$/\1 \2 \3 \4/p' "$work/$1.log"; }
step_name="reading the results"
read -r files directories symlinks bytes <<<"$(same compare-guest)" || true
[ -n "${bytes:-}" ] && [ "$(same compare-guest)" = "$(same compare-share)" ] || exit 1

printf '\n  %s files, %s directories, %s symlinks, %s bytes each way\n' "$files" "$directories" "$symlinks" "$bytes"
printf '  out of the share   %s\n  into the share     %s\n\n' "$(rates out)" "$(rates in)"
printf '  Xen calls of both copies, by domain (0 the backend, 1 the guest) and kind:\n'
sed 's/^/  /' "$work/calls"
printf '\ndemo: %s files, %s bytes, verified\n' "$files" "$bytes"
