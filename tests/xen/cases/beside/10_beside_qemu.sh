# Debian's stock backend, QEMU's 9pfs, beside ours in one guest: how long until the guest is connected, memory, a tree
# and 64 MiB copied, and how often Xen is called. Figures are printed; asserted is that a guest of ours takes at most a
# fifth of QEMU's memory. Under emulation times say little, not even their ratios; calls are the same on hardware.
#
# One backend at a time: a QEMU takes every device of its guest below backend/9pfs as its own. libxl starts it for "p9"
# in the guest's configuration; it is killed before ours serve.
# shellcheck shell=dash disable=SC2153,SC3045

SHARE=/srv/share
FILES=100 # of the tree: one directory; a file out and back takes emulation half a second with QEMU
TRACING=/sys/kernel/tracing
FIGURES=$STATE/beside.figures # lines "ROW COLUMN NUMBER"; columns: virtfs, 9pfs, qemu
BACKENDS=/local/domain/0/backend

figure() { echo "$1 $2 $3" >>"$FIGURES"; }
# duration ROW COLUMN HUNDREDTHS of a second.
duration() { figure "$1" "$2" "$(printf '%d.%02d' $(($3 / 100)) $(($3 % 100)))"; }

# --- How long until the guest has it ----------------------------------------------------------------------------------

# follow NODE, and unfollow: in between descriptor 7 gives a line for each change below the node. Nothing polls, since
# there is one processor.
follow() {
  rm -f "$STATE/changes"
  mkfifo "$STATE/changes"
  xenstore-watch "$1" >"$STATE/changes" &
  watch=$!
  exec 7<"$STATE/changes"
  read -r -t 20 _ <&7 || fail "no watch on $1" # the line of the watch itself
}
unfollow() {
  exec 7<&-
  kill "$watch"
}

# attached TYPE DEVID COMMAND...: runs the command, which attaches this share, beside. Sets OFFERED and CONNECTED to when
# the backend was first seen in InitWait, and in Connected; BEGUN to when the command began.
attached() {
  local node state attaching
  node=$BACKENDS/$1/$(domid beside)/$2/state
  shift 2
  OFFERED='' CONNECTED=''
  follow "$node"
  now
  BEGUN=$NOW
  "$@" &
  attaching=$!
  while [ ! "$CONNECTED" ] && read -r -t 60 _ <&7; do
    now
    state=$(xenstore-read "$node" 2>/dev/null) || continue
    case $state in
      2) OFFERED=${OFFERED:-$NOW} ;;
      4) OFFERED=${OFFERED:-$NOW} CONNECTED=$NOW ;;
    esac
  done
  unfollow
  [ "$CONNECTED" ] || fail "not Connected: $node"
  wait $attaching || fail "$*"
}

# started_at PID: when a process started, in hundredths since the boot: the 22nd field, as no name of ours has a blank.
started_at() { cut -d ' ' -f 22 "/proc/$1/stat"; }

# ours COLUMN: a share by xl-virtfs, the keeper being started for it by the watch.
ours() {
  attached "$1" 1 xl-virtfs attach beside "tag=$1,path=$SHARE,security_model=passthrough,transport=$1"
  xenstore-read "/local/domain/0/virtfs/$(domid beside)/keeper" | cut -d ' ' -f 1 >"$STATE/guest/beside/keeper"
  duration start "$1" $((OFFERED - $(started_at "$(cat "$STATE/guest/beside/keeper")")))
  duration attach "$1" $((CONNECTED - BEGUN))
}

# QEMU's, of the nodes that its backend wants; xl attaches p9 only to a guest that it makes.
write_qemus_share() {
  local guest front back
  guest=$(domid beside)
  front=/local/domain/$guest/device/9pfs/$1 back=$BACKENDS/9pfs/$guest/$1
  # What is written in a node has its permissions. The rest is one transaction, as QEMU gives a share up that has no
  # state.
  xenstore-write "$front" ""
  xenstore-chmod "$front" "n$guest" r0
  xenstore-chmod "${back%/*}" n0 "r$guest"
  xenstore-write "$back/frontend" "$front" "$back/frontend-id" "$guest" "$back/online" 1 "$back/path" $SHARE \
    "$back/security_model" passthrough "$back/state" 1 \
    "$front/backend" "$back" "$front/backend-id" 0 "$front/tag" later "$front/state" 1
}
end_process() {
  kill -KILL "$1"
  wait_until 60 "process $1 to end" fails test -d "/proc/$1"
}
# --- What it costs ---------------------------------------------------------------------------------------------------

# backend COLUMN: the processes that serve the guest.
backend() {
  local keeper children
  if [ "$1" = qemu ]; then
    cat "$STATE/qemu.pid"
  else
    read -r keeper <"$STATE/guest/beside/keeper"
    read -r children <"/proc/$keeper/task/$keeper/children"
    [ "$children" ] || fail "no server of the share"
    echo "$keeper $children"
  fi
}

# memory ROW COLUMN: KiB: in all; anonymous; and what are pages of the guest, mapped. Keepers of other guests would share
# pages of ours and make it less.
memory() {
  local files='' process
  for process in $(backend "$2"); do files="$files /proc/$process/smaps_rollup /proc/$process/smaps"; done
  # A mapping is a line "FROM-TO RIGHTS OFFSET DEVICE INODE PATH", and what it has below.
  # shellcheck disable=SC2086
  awk -v row="$1" -v column="$2" '
    FILENAME ~ /rollup$/ && $1 == "Pss:" {all += $2}
    FILENAME ~ /rollup$/ && $1 == "Pss_Anon:" {anonymous += $2}
    FILENAME ~ /smaps$/ && $1 ~ /^[0-9a-f]+-/ {of_guest = $6 ~ /gntdev$/}
    FILENAME ~ /smaps$/ && $1 == "Pss:" && of_guest {guest += $2}
    END {print row, column, all; print row "_anonymous", column, anonymous; print row "_guest", column, guest + 0}
  ' $files >>"$FIGURES"
}

trace() { echo "$2" >>"$TRACING/events/syscalls/sys_enter_$1/trigger"; }
count_calls() {
  trace ioctl 'hist:keys=common_pid,cmd:size=4096'
  # An event channel is unmasked by writing its number to the device: 4 bytes.
  trace write 'hist:keys=common_pid,fd:size=4096 if count == 4'
}
# calls ROW COLUMN: how often the backend's threads called since count_calls, by kind.
calls() {
  local process thread
  for process in $(backend "$2"); do
    # Any thread of a process uses its descriptors.
    for thread in "/proc/$process/task"/*; do echo "thread ${thread##*/} $process"; done
    # shellcheck disable=SC2012
    ls -l "/proc/$process/fd" | sed -n "s,.* \([0-9]*\) -> .*evtchn\$,channel $process \1,p"
  done >"$STATE/threads"
  # A line is "{ common_pid: 104, cmd: 279812 } hitcount: 2". The numbers are those of Linux' <xen/gntdev.h> and
  # <xen/evtchn.h>.
  awk -v row="$1" -v column="$2" '
    BEGIN {split("map unmap copy notify unmask", kinds, " ")
      kind[1591040] = "map"; kind[1066753] = "unmap"; kind[1066760] = "copy"; kind[279812] = "notify"}
    $1 == "thread" {process[$2] = $3}
    $1 == "channel" {channel[$2 " " $3] = 1}
    /hitcount/ {
      gsub(/[{}:,]/, " ")
      if (!($2 in process)) next
      if ($3 == "cmd") count[kind[$4]] += $6
      if ($3 == "fd" && channel[process[$2] " " $4]) count["unmask"] += $6
    }
    END {for (i = 1; i <= 5; i++) print row "_" kinds[i], column, count[kinds[i]] + 0}
  ' "$STATE/threads" "$TRACING/events/syscalls/sys_enter_ioctl/hist" "$TRACING/events/syscalls/sys_enter_write/hist" \
    >>"$FIGURES"
  trace ioctl '!hist:keys=common_pid,cmd:size=4096'
  trace write '!hist:keys=common_pid,fd:size=4096 if count == 4'
}

# In the guest: prints "took WHAT SECONDS" of a command.
# shellcheck disable=SC2016
IN_GUEST='took() { what=$1; shift; read -r begun _ </proc/uptime; "$@" || return 1; read -r ended _ </proc/uptime;
  echo "took $what $begun $ended"; };
  back() { cp -r /tmp/tree /mnt/a/back && sync; }; '
# record_times COLUMN: of what the last command in the guest printed.
record_times() {
  output beside | awk -v column="$1" '$1 == "took" {printf "%s %s %.2f\n", $2, column, $4 - $3}' >>"$FIGURES"
}

# Eight of the 64 MiB: all of them take emulation 3 s, and the cases of mounts have looked at all.
part() { dd if="$1" bs=1M skip=28 count=8 2>/dev/null | md5sum; }

# serves COLUMN: everything that is measured of a backend, once the guest has mounted its share.
serves() {
  memory pss_idle "$1"

  count_calls
  in_guest beside "$IN_GUEST took tree_out cp -r /mnt/a/tree/d00 /tmp/tree && took tree_back back &&
    rm -r /tmp/tree" 250
  calls tree "$1"
  record_times "$1"
  cd "$SHARE/back" || fail "no directory"
  manifest . >"$STATE/copied"
  cmp -s "$STATE/beside.manifest" "$STATE/copied" || fail "$1: the tree that came back is another"

  count_calls
  in_guest beside "$IN_GUEST took big_out dd if=/mnt/a/big of=/tmp/big bs=256k iflag=direct 2>&1 &&
    took big_back dd if=/tmp/big of=/mnt/a/copy bs=256k oflag=direct 2>&1 && rm /tmp/big" 250
  calls big "$1"
  record_times "$1"
  part $SHARE/copy | cmp - "$STATE/beside.md5" || fail "$1: the 64 MiB that came back are others"

  memory pss_after "$1"
  in_guest beside "umount /mnt/a" 120
  rm -r $SHARE/back $SHARE/copy
}

# --- Cases -----------------------------------------------------------------------------------------------------------

case_what_is_there_before() {
  remember everything
  cd $SHARE/tree/d00 || fail "no directory"
  manifest . >"$STATE/beside.manifest"
  make_big
  part $SHARE/big >"$STATE/beside.md5"
  : >"$FIGURES"
}

# libxl starts QEMU and waits for it; nothing else runs while the guest is paused.
case_guest_is_created() { # 240 s
  follow $BACKENDS/9pfs
  # Writes down when each change was seen.
  while read -r node; do
    now
    echo "$NOW $node"
  done <&7 >"$STATE/states" &
  configure beside pv 256 "p9=[\"tag=qemu,path=$SHARE,security_model=passthrough,backend=0\"]"
  made beside xl create -p -q "$STATE/guest/beside/cfg"
  unfollow
  node=$BACKENDS/9pfs/$(domid beside)/0/state
  node_is "$node" 2 || fail "QEMU offers no share: $node"
  qemu=$(xenstore-read "/local/domain/$(domid beside)/image/device-model-pid") || fail "libxl started no QEMU"
  echo "$qemu" >"$STATE/qemu.pid"
  offered=$(awk -v node="$node" '$2 == node {last = $1} END {print last}' "$STATE/states")
  duration start qemu $((offered - $(started_at "$qemu")))
  unpause beside
  wait_booted beside 200
}

mount_9pfs() { in_guest beside "mount -t 9p -o trans=xen,version=9p2000.L,msize=524288,cache=loose $1 /mnt/a"; }

# What it takes to attach comes last, since each share of it has 4 MiB of rings.
case_its_9pfs() { # 300 s
  grep -q " $TRACING " /proc/mounts || mount -t tracefs tracefs $TRACING
  count_calls
  mount_9pfs qemu
  calls mount qemu
  serves qemu
  attached 9pfs 9 write_qemus_share 9
  duration attach qemu $((CONNECTED - BEGUN))
}
case_our_9pfs() { # 300 s
  end_process "$(cat "$STATE/qemu.pid")"
  xenstore-rm "/local/domain/$(domid beside)/device/9pfs/9"
  xenstore-rm "$BACKENDS/9pfs/$(domid beside)/9"
  ulimit -n 65536
  xl-virtfs watch </dev/null >/var/log/virtfs/watch.log 2>&1 &
  echo $! >"$STATE/watch"
  wait_until 20 "watch to run" test -e /run/xen-virtfs/watch.lock
  count_calls
  ours 9pfs
  mount_9pfs 9pfs
  calls mount 9pfs
  serves 9pfs
  xl-virtfs detach beside 9pfs || fail "xl-virtfs detach"
}
# The guest's mount.virtfs waits for the share, as its kernel's driver does over 9pfs; it waits once it has xenstore open.
case_our_virtfs() { # 300 s
  end_process "$(cat "$STATE/guest/beside/keeper")"
  # shellcheck disable=SC2016
  in_guest beside 'mount.virtfs virtfs /mnt/a -o cache=loose,wait=60 >/tmp/mount.log 2>&1 &
    until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q xenbus; do sleep 0.1; done'
  count_calls
  ours virtfs
  in_guest beside 'until grep /mnt/a /proc/mounts; do [ ! -s /tmp/mount.log ] || exit 1; sleep 0.1; done' 60
  calls mount virtfs
  serves virtfs
  awk '$1 == "Pss:" {print "watch virtfs", $2}' "/proc/$(cat "$STATE/watch")/smaps_rollup" >>"$FIGURES"
}

case_the_table() {
  awk -v files=$FILES '
    {value[$1 " " $2] = $1 ~ /^tree_(out|back)$/ ? int($3 * 1000 / files) : $3}
    function measured(key) {return key !~ /^watch (9pfs|qemu)$/}
    function line(text, row,   key, column, number, out) {
      out = sprintf("%-44s", text)
      for (number = 1; number <= 3; number++) {
        key = row " " columns[number]
        if (measured(key) && value[key] !~ /^[0-9]+(\.[0-9]+)?$/) bad = bad " " row "/" columns[number]
        out = out sprintf(" %12s", measured(key) ? value[key] : "-")
      }
      print out
    }
    END {
      split("virtfs 9pfs qemu", columns, " ")
      printf "%-44s %12s %12s %12s\n", "", "our virtfs", "our 9pfs", "QEMU 9pfs"
      line("process start to InitWait, s (ours: keeper)", "start")
      line("attach to Connected, s (ours: xl-virtfs)", "attach")
      line("PSS after the mount, KiB", "pss_idle")
      line("  of it anonymous", "pss_idle_anonymous")
      line("  of it pages of the guest", "pss_idle_guest")
      line("PSS after the load, KiB", "pss_after")
      line("  of it anonymous", "pss_after_anonymous")
      line("  of it pages of the guest", "pss_after_guest")
      line("PSS of xl-virtfs watch, for all guests, KiB", "watch")
      line("a file of the tree read, ms", "tree_out")
      line("a file of the tree written, ms", "tree_back")
      line("64 MiB read, s", "big_out")
      line("64 MiB written, s", "big_back")
      split("map unmap copy notify unmask", kinds, " ")
      for (kind = 1; kind <= 5; kind++) line("Xen calls, mount: " kinds[kind], "mount_" kinds[kind])
      for (kind = 1; kind <= 5; kind++)
        line("Xen calls, " files " files out and back: " kinds[kind], "tree_" kinds[kind])
      for (kind = 1; kind <= 5; kind++) line("Xen calls, 64 MiB out and back: " kinds[kind], "big_" kinds[kind])
      if (bad) print "missing:" bad
    }' "$FIGURES" >"$STATE/table"
  while IFS= read -r line; do note "$line"; done <"$STATE/table"
  ! grep '^missing:' "$STATE/table" || fail "the table is not complete"
}

# Of what dom0 gives: the rings of 9pfs are pages of the guest, and as large whoever serves them.
case_a_guest_takes_a_fifth_of_qemus_memory() {
  awk '
    {value[$1 " " $2] = $3}
    function own(row, column) {
      if (!((row " " column) in value)) bad = 1
      return value[row " " column] - value[row "_guest " column]
    }
    function percent(part, whole) {return sprintf("%.1f %%", 100 * part / whole)}
    BEGIN {split("pss_idle pss_after", rows, " "); split("virtfs 9pfs", columns, " ")}
    END {
      for (row = 1; row <= 2; row++) for (column = 1; column <= 2; column++) {
        ours = own(rows[row], columns[column]); qemus = own(rows[row], "qemu")
        print rows[row], columns[column] ":", percent(ours, qemus), "of QEMU", ours * 5 <= qemus ? "" : "TOO MUCH"
        if (ours * 5 > qemus) bad = 1
      }
      exit bad
    }' "$FIGURES" >"$STATE/shares_of_memory" || fail "$(cat "$STATE/shares_of_memory")"
  while IFS= read -r line; do note "$line"; done <"$STATE/shares_of_memory"
}

case_nothing_is_left_of_guest_and_backends() {
  umount $TRACING
  xl destroy beside
  wait_gone beside
  end_process "$(cat "$STATE/watch")"
  nothing_left everything
}
