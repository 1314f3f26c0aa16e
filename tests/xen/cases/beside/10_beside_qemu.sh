# Debian's stock backend, QEMU's 9pfs, beside ours in one guest: how long until a share is offered, memory, a tree and
# 64 MiB copied, and how often Xen is called. Figures are printed, not asserted. Under emulation times say little, not
# even their ratios; calls are the same on hardware.
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

# --- How long until InitWait -----------------------------------------------------------------------------------------

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

# offered ROW COLUMN COMMAND...: the time from the command, which starts something in the background, until share 1, as
# 0 is QEMU's, shows InitWait.
offered() {
  local row=$1 column=$2 node started
  node=$BACKENDS/$column/$(domid beside)/1/state
  shift 2
  follow "$node"
  now
  started=$NOW
  "$@"
  while read -r -t 30 _ <&7; do
    now
    node_is "$node" 2 && break
  done
  unfollow
  node_is "$node" 2 || fail "no InitWait in $node"
  duration "$row" "$column" $((NOW - started))
}

attach_later() {
  virtfs-attach --domid "$(domid beside)" "tag=$1,path=$SHARE,security_model=passthrough,transport=$1" >/dev/null &
  attaching=$!
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

# memory ROW COLUMN: KiB, in all and anonymous. Keepers of other guests would share pages of ours and make it less.
memory() {
  local files='' process
  for process in $(backend "$2"); do files="$files /proc/$process/smaps_rollup"; done
  # shellcheck disable=SC2086
  awk -v row="$1" -v column="$2" '
    $1 == "Pss:" {all += $2}
    $1 == "Pss_Anon:" {anonymous += $2}
    END {print row, column, all; print row "_anonymous", column, anonymous}' $files >>"$FIGURES"
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

# serves COLUMN MOUNT: everything that is measured of a backend, once the guest has mounted its share by that command.
serves() {
  count_calls
  in_guest beside "$2 && grep /mnt/a /proc/mounts" 120
  calls mount "$1"
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
  create beside pv 256 "p9=[\"tag=qemu,path=$SHARE,security_model=passthrough,backend=0\"]"
  unfollow
  node=$BACKENDS/9pfs/$(domid beside)/0/state
  node_is "$node" 2 || fail "QEMU offers no share: $node"
  qemu=$(xenstore-read "/local/domain/$(domid beside)/image/device-model-pid") || fail "libxl started no QEMU"
  echo "$qemu" >"$STATE/qemu.pid"
  # The 22nd field is when a process started, in hundredths since the boot; the words of its name have none.
  started=$(cut -d ' ' -f 22 "/proc/$qemu/stat")
  offered=$(awk -v node="$node" '$2 == node {last = $1} END {print last}' "$STATE/states")
  duration start qemu $((offered - started))
  unpause beside
  wait_booted beside 200
}

case_its_9pfs() { # 300 s
  grep -q " $TRACING " /proc/mounts || mount -t tracefs tracefs $TRACING
  serves qemu "mount -t 9p -o trans=xen,version=9p2000.L,msize=524288,cache=loose qemu /mnt/a"
}
# Attached beside the keeper that runs since the guest was made. For the next it is started anew, when the share waits
# for it; it is the same keeper for both transports, so each is measured once.
case_our_9pfs() { # 300 s
  end_process "$(cat "$STATE/qemu.pid")"
  offered attach 9pfs attach_later 9pfs
  wait "$attaching" || fail "virtfs-attach"
  connected_9pfs beside 1
  serves 9pfs "mount -t 9p -o trans=xen,version=9p2000.L,msize=524288,cache=loose 9pfs /mnt/a"
  detach beside 1
}
case_our_virtfs() { # 300 s
  end_process "$(cat "$STATE/guest/beside/keeper")"
  attach_later virtfs
  wait_until 60 "a share that waits" node_is "$BACKENDS/virtfs/$(domid beside)/1/state" 1
  offered start virtfs keeper beside
  wait "$attaching" || fail "virtfs-attach"
  serves virtfs "mount.virtfs virtfs /mnt/a -o cache=loose"
}

case_the_table() {
  awk -v files=$FILES '
    {value[$1 " " $2] = $1 ~ /^tree_(out|back)$/ ? int($3 * 1000 / files) : $3}
    function measured(key) {return key !~ /^(attach (virtfs|qemu)|start 9pfs)$/}
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
      line("virtfs-attach beside a running keeper, s", "attach")
      line("PSS after the mount, KiB", "pss_idle")
      line("  of it anonymous", "pss_idle_anonymous")
      line("PSS after the load, KiB", "pss_after")
      line("  of it anonymous", "pss_after_anonymous")
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

case_nothing_is_left_of_guest_and_backends() {
  umount $TRACING
  xl destroy beside
  wait_gone beside
  nothing_left everything
}
