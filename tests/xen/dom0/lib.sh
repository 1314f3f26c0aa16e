# What cases are written with. A case is a function case_NAME of cases/*/*.sh; its output is shown when it fails. Behind
# the brace may stand how long it may take, as in "# 90 s"; 180 s otherwise.
#
# Guests have names; what is known of guest NAME is in $STATE/guest/NAME/: domid, keeper (its process), tty (its
# console), job, the number of the last command given to it, and output, what that printed.
# shellcheck shell=dash disable=SC3045
STATE=/run/test
NEWLINE='
'
RETURN=$(printf '\r')
read -r FAST </test/fast # for guests' kernels

# --- Saying what happens ---------------------------------------------------------------------------------------------

# Sets NOW to the hundredths of a second since the boot; without a fork, which takes emulation 10 ms.
now() {
  read -r NOW _ </proc/uptime
  NOW=${NOW%.*}${NOW#*.}
}
seconds_since() {
  now
  printf '%d.%02d' $(((NOW - $1) / 100)) $(((NOW - $1) % 100))
}
# On standard error, so that functions whose output is a result can say what they do.
log() {
  read -r up _ </proc/uptime
  echo "$up $*" >&2
}
# Printed by run.py beneath the case, passed or not.
note() { echo "note: $*" >&2; }
fail() {
  log "FAILED: $*"
  exit 1
}

# --- Waiting ---------------------------------------------------------------------------------------------------------

# wait_until SECONDS WHAT COMMAND...: until the command succeeds.
wait_until() {
  local limit=$1 what=$2 deadline
  shift 2
  now
  deadline=$((NOW + limit * 100))
  until "$@" >/dev/null 2>&1; do
    now
    [ "$NOW" -lt $deadline ] || fail "waited $limit s for $what ($*)"
    sleep 0.1
  done
}
node_is() { [ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ]; }
fails() { ! "$@"; }

# --- Guests ----------------------------------------------------------------------------------------------------------

domid() {
  local id
  [ -e "$STATE/guest/$1/domid" ] || fail "guest $1 is not there: see the case that was to start it"
  read -r id <"$STATE/guest/$1/domid"
  echo "$id"
}
console() { echo "/var/log/xen/guest-$1.log"; }

# configure NAME pv|pvh MIB [line of xl.cfg]...
configure() {
  local name=$1 type=$2 memory=$3
  shift 3
  mkdir -p "$STATE/guest/$name"
  {
    printf '%s\n' "name=\"$name\"" "type=\"$type\"" "memory=$memory" 'vcpus=1' 'kernel="/guest/vmlinux"' \
      'ramdisk="/guest/initramfs"' \
      "extra=\"console=hvc0 quiet loglevel=4 panic=-1 hostname=$name $FAST\"" \
      'tsc_mode="native"' 'on_poweroff="destroy"' 'on_crash="destroy"' 'on_reboot="destroy"'
    [ $# = 0 ] || printf '%s\n' "$@"
  } >"$STATE/guest/$name/cfg"
}

# made NAME COMMAND...: a guest that this command makes.
made() {
  local name=$1 started id newest=0
  shift
  now
  started=$NOW
  rm -f "$(console "$name")" "$STATE/guest/$name/tty"
  "$@" >"$STATE/xl.log" 2>&1 || { cat "$STATE/xl.log"; fail "$*"; }
  # The newest has the highest number; xl would take five times as long to say it.
  for id in $(xenstore-list /local/domain); do [ "$id" -lt "$newest" ] || newest=$id; done
  echo "$newest" >"$STATE/guest/$name/domid"
  echo 0 >"$STATE/guest/$name/job"
  log "guest $name is domain $newest, made in $(seconds_since "$started") s"
}
# A guest, paused, and its keeper.
create() {
  configure "$@"
  made "$1" xl create -p -q "$STATE/guest/$1/cfg"
  keeper "$1"
}
# restore NAME FILE: the guest that was saved to FILE, under this name, and its keeper. It runs.
restore() {
  made "$1" xl restore -e "$STATE/guest/$1/cfg" "$2"
  keeper "$1"
}
keeper() {
  ulimit -n 65536
  xen-virtfsd --domid "$(domid "$1")" </dev/null >>"/var/log/virtfs/$1.log" 2>&1 &
  echo $! >"$STATE/guest/$1/keeper"
}

# attach NAME SPEC: prints the device id.
attach() {
  local devid
  devid=$(virtfs-attach --domid "$(domid "$1")" "$2") || fail "virtfs-attach $2"
  log "guest $1: share $devid attached: $2"
  echo "$devid"
}
detach() { virtfs-attach --domid "$(domid "$1")" --detach "$2" || fail "virtfs-attach --detach $2"; }

# connected_9pfs NAME DEVID: until the guest's kernel has connected, before which it knows no such share (EINVAL).
connected_9pfs() {
  wait_until 60 "guest $1 to connect" node_is "/local/domain/0/backend/9pfs/$(domid "$1")/$2/state" 4
}

unpause() { xl unpause "$1" || fail "xl unpause $1"; }
wait_booted() { await "$1" "${2:-120}" "guest $1 to boot" '@ready'; }

# Sets TTY to the guest's console; xenconsoled has made it when the guest is created.
tty() {
  local file=$STATE/guest/$1/tty
  [ -s "$file" ] || xenstore-read "/local/domain/$(domid "$1")/console/tty" >"$file" || fail "guest $1 has no console"
  read -r TTY <"$file"
}
# await NAME SECONDS WHAT TEXT: until the guest's console has a line that begins with the text. Sets LINE to it, and
# leaves what the guest's last command printed before it in $STATE/guest/NAME/output. Reads the console itself: to look
# at its log again and again would take a quarter of dom0's processor.
await() {
  local line deadline output=$STATE/guest/$1/output
  tty "$1"
  now
  deadline=$((NOW + $2 * 100))
  while [ "$NOW" -lt $deadline ]; do
    if read -r -t $(((deadline - NOW + 99) / 100)) line; then
      LINE=${line%"$RETURN"}
      case $LINE in
        "$4"*) return 0 ;;
        '@run '*) : >"$output" ;;
        *) echo "$LINE" >>"$output" ;;
      esac
    fi
    now
  done <"$TTY"
  fail "waited $2 s for $3"
}

# start NAME COMMAND: gives a command to the shell in the guest, over its console, and returns at once.
start() {
  local job IFS=$NEWLINE
  tty "$1"
  read -r job <"$STATE/guest/$1/job"
  job=$((job + 1))
  echo $job >"$STATE/guest/$1/job"
  log "guest $1 \$ $2"
  # Unquoted: so that the lines of a command become one, with blanks between them.
  set -f
  # shellcheck disable=SC2086
  echo $job" "$2 >"$TTY"
  set +f
}
# ended NAME [SECONDS]: waits for that command; sets STATUS.
ended() {
  local job
  read -r job <"$STATE/guest/$1/job"
  await "$1" "${2:-120}" "guest $1's command to end" "@done $job "
  STATUS=${LINE##* }
}
# finish NAME [SECONDS]: waits for it, prints what it printed, and fails if it failed.
finish() {
  local line
  ended "$@"
  while read -r line; do echo "      $1: $line"; done <"$STATE/guest/$1/output"
  [ "$STATUS" = 0 ] || fail "the command in guest $1 ended with $STATUS"
}
# What the last command printed.
output() { cat "$STATE/guest/$1/output"; }
in_guest() {
  start "$1" "$2"
  finish "$1" "${3:-120}"
}

# 64 MiB in /srv/share/big, of what is there already: /dev/urandom would take emulation half a minute.
make_big() {
  cat /guest/vmlinux /guest/initramfs >/srv/share/big
  truncate -s 64M /srv/share/big
}

gone() { fails xenstore-exists "/local/domain/$(domid "$1")"; }
wait_gone() { wait_until "${2:-60}" "guest $1 to be gone" gone "$1"; }

# Each process with its command line; kernel threads have none. ps says "{name}" in front of what has another name.
command_lines() { ps -o pid,args | sed -n '/ \[.*\]$/!{s/{[^}]*} //; p}'; }
# processes PATTERN: the ids of those whose command line begins with what the pattern of the shell matches.
processes() {
  command_lines | while read -r pid command; do
    # shellcheck disable=SC2254
    case $command in $1*) echo "$pid" ;; esac
  done
}

# --- What is left in dom0 --------------------------------------------------------------------------------------------

# A listing of all that guests and their shares can leave behind in dom0.
listing() {
  echo "--- processes"
  # This shell's own children come and go.
  command_lines | awk '$2 !~ /^(sh|timeout|ps|sed|awk|sort)$/ && $0 !~ /init/ {sub(/^ *[0-9]+ /, ""); print}' | sort
  echo "--- domains"
  xl list | awk 'NR > 1 {print $1, $2}' # one that cannot die, for a mapping that is left, is "(null)"
  echo "--- xenstore"
  # The directories of all guests, and of a kind of device, stay once made, and are no guest's.
  xenstore-ls -f | awk '
    /^\/local\/domain\/0\/(backend|virtfs|device-model)|^\/libxl|^\/vm|^\/local\/domain\/[0-9]+ =/ && !/^\/(vm|libxl|local\/domain\/0\/[a-z-]*(\/[a-z0-9]*)?) = ""/'
  echo "--- mounts"
  while read -r _ place kind _; do echo "$place $kind"; done </proc/mounts
  echo "--- event channels"
  lsevtchn 0 | sed 's/^ *[0-9]*: //' | sort
  echo "--- grants of guests that dom0 has mapped"
  xl debug-keys g
  # What Xen said last. Lines of active entries begin with the grant's number in brackets; dom0's own are not asked for.
  xl dmesg -c | awk '/gnttab_usage_print_all \[/ {lines = ""} !/d0 / && /^\(XEN\) *\[0x/ {lines = lines $0 "\n"}
    END {printf "%s", lines}'
  echo "--- descriptors of xenstored and xenconsoled"
  for daemon in xenstored xenconsoled; do
    read -r pid <"/run/$daemon.pid"
    set -- "/proc/$pid/fd/"*
    echo $#
  done
}
# Both take a name, so that several guests' lives can be told apart.
remember() { listing >"$STATE/before.$1"; }
same_listing() {
  listing >"$STATE/after"
  cmp -s "$STATE/before.$1" "$STATE/after"
}
# nothing_left NAME: fails, with the difference, if the listing does not become what it was; ends are asynchronous.
nothing_left() {
  local deadline
  now
  deadline=$((NOW + 1000))
  until same_listing "$1"; do
    now
    if [ "$NOW" -ge $deadline ]; then
      diff "$STATE/before.$1" "$STATE/after" || :
      fail "this is left in dom0 (+), or missing (-)"
    fi
    sleep 0.2
  done
}

# --- Logs of a failure -----------------------------------------------------------------------------------------------

logs() { ls /var/log/xen/guest-*.log /var/log/virtfs/*.log /var/log/xen/qemu-dm-*.log 2>/dev/null; }
# Remembers how long each log is, so that new_logs prints only what a case added.
mark_logs() {
  # shellcheck disable=SC2046
  wc -c /dev/null $(logs) >"$STATE/marks"
  now
  MARKED=$NOW
}
new_logs() {
  for file in $(logs); do
    known=$(awk -v file="$file" '$2 == file {print $1}' "$STATE/marks")
    tail -c +$((${known:-0} + 1)) "$file" | tail -n 40 >"$STATE/new"
    [ -s "$STATE/new" ] || continue
    echo "--- $file"
    tr -d '\r' <"$STATE/new"
  done
  dmesg | awk -v marked="$MARKED" '{line = $0; sub(/^\[ */, "")} $1 * 100 >= marked {print line}' |
    tail -n 15 >"$STATE/new"
  [ ! -s "$STATE/new" ] || { echo "--- dom0's kernel"; cat "$STATE/new"; }
  xl dmesg -c | tail -n 15 >"$STATE/new"
  [ ! -s "$STATE/new" ] || { echo "--- Xen"; cat "$STATE/new"; }
}
