# What cases are written with. A case is a function case_NAME of cases/*.sh; its output is shown when it fails. Behind
# the brace may stand how long it may take, as in "# 90 s"; 60 s otherwise.
#
# Guests have names; what is known of guest NAME is in $STATE/guest/NAME/: domid, keeper (its process), and job, the
# number of the last command given to it.
# shellcheck shell=dash disable=SC3045
STATE=/run/test
# For guests' kernels, as run.py has them for dom0's.
FAST='mitigations=off init_on_alloc=0 cryptomgr.notests audit=0 lsm=capability'

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
    [ $NOW -lt $deadline ] || fail "waited $limit s for $what ($*)"
    sleep 0.1
  done
}
node_is() { [ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ]; }
fails() { ! "$@"; }

# --- Guests ----------------------------------------------------------------------------------------------------------

domid() { cat "$STATE/guest/$1/domid" 2>/dev/null || fail "guest $1 is not there: see the case that was to start it"; }
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

# paused NAME COMMAND...: a paused guest with its keeper, made by that xl command.
paused() {
  local name=$1 started
  shift
  now
  started=$NOW
  rm -f "$(console "$name")"
  "$@" >"$STATE/xl.log" 2>&1 || { cat "$STATE/xl.log"; fail "$*"; }
  xl domid "$name" >"$STATE/guest/$name/domid"
  echo 0 >"$STATE/guest/$name/job"
  log "guest $name is domain $(domid "$name"), made in $(seconds_since "$started") s"
  keeper "$name"
}
create() {
  configure "$@"
  paused "$1" xl create -p -q "$STATE/guest/$1/cfg"
}
# restore NAME FILE: the guest that was saved to FILE, under this name.
restore() { paused "$1" xl restore -p -e "$STATE/guest/$1/cfg" "$2"; }
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

unpause() { xl unpause "$1" || fail "xl unpause $1"; }
wait_booted() { await "$1" "${2:-60}" "guest $1 to boot" '@ready'; }

tty() { xenstore-read "/local/domain/$(domid "$1")/console/tty" || fail "guest $1 has no console"; }
# await NAME SECONDS WHAT TEXT: until the guest's console has a line that begins with the text. Reads the console itself,
# since looking at its log again and again would take a quarter of dom0's processor.
await() {
  local line deadline tty
  tty=$(tty "$1")
  now
  deadline=$((NOW + $2 * 100))
  while [ $NOW -lt $deadline ]; do
    if read -r -t $(((deadline - NOW + 99) / 100)) line; then
      case $line in "$4"*) return 0 ;; esac
    fi
    now
  done <"$tty"
  fail "waited $2 s for $3"
}

# start NAME COMMAND: gives a command to the shell in the guest, over its console, and returns at once.
start() {
  local directory=$STATE/guest/$1 job tty
  tty=$(tty "$1")
  job=$(($(cat "$directory/job") + 1))
  echo $job >"$directory/job"
  log "guest $1 \$ $2"
  echo "$job $(echo "$2" | tr '\n' ' ')" >"$tty"
}
# finish NAME [SECONDS]: waits for that command; prints what it printed, and fails if it failed.
finish() {
  local name=$1 job status
  job=$(cat "$STATE/guest/$name/job")
  await "$name" "${2:-60}" "guest $name's command to end" "@done $job "
  status=$(sed -n "s/^@done $job \([0-9]*\).*/\1/p" "$(console "$name")")
  output "$name" | sed "s/^/      $name: /"
  [ "$status" = 0 ] || fail "the command in guest $name ended with $status"
}
# What the last command printed.
output() {
  local job
  job=$(cat "$STATE/guest/$1/job")
  tr -d '\r' <"$(console "$1")" | sed -n "/^@run $job\$/,/^@done $job /p" | grep -v '^@'
}
in_guest() {
  start "$1" "$2"
  finish "$1" "${3:-60}"
}

gone() { fails xl domid "$1"; }
wait_gone() { wait_until "${2:-30}" "guest $1 to be gone" gone "$1"; }

# processes PATTERN: the ids of those whose command line begins with what the pattern of the shell matches.
processes() {
  local directory command
  for directory in /proc/[0-9]*; do
    command=$(tr '\0' ' ' 2>/dev/null <"$directory/cmdline") || continue
    # shellcheck disable=SC2254
    case $command in $1*) echo "${directory#/proc/}" ;; esac
  done
}

# --- What is left in dom0 --------------------------------------------------------------------------------------------

# A listing of all that guests and their shares can leave behind in dom0.
listing() {
  echo "--- processes"
  # Kernel threads have no command line, and this shell's own children come and go.
  for directory in /proc/[0-9]*; do
    command=$(tr '\0' ' ' 2>/dev/null <"$directory/cmdline") || continue
    case $command in
      '' | /bin/sh\ /init* | sh\ * | timeout\ * | tr\ * | sed\ *) ;;
      *) echo "$command" ;;
    esac
  done | sort
  echo "--- domains"
  xl list | awk 'NR > 1 {print $1, $2}' # one that cannot die, for a mapping that is left, is "(null)"
  echo "--- xenstore"
  for directory in /local/domain/0/backend /local/domain/0/virtfs /local/domain/0/device-model /libxl /vm; do
    # The directory of a kind of device stays once made, and is no guest's.
    xenstore-ls -f $directory 2>/dev/null | sed '/^\/local\/domain\/0\/[a-z-]*\(\/[a-z0-9]*\)\? = ""/d'
  done
  xenstore-list /local/domain
  echo "--- mounts"
  awk '{print $2, $3}' /proc/mounts
  echo "--- event channels"
  lsevtchn 0 | sed 's/^ *[0-9]*: //' | sort
  echo "--- grants of guests that dom0 has mapped"
  xl dmesg -c >/dev/null
  xl debug-keys g
  # Lines of active entries begin with the grant's number in brackets; dom0's own grants are not asked for.
  xl dmesg -c | sed -n '/d0 /d; /^(XEN) *\[0x/p'
  echo "--- descriptors of xenstored and xenconsoled"
  for daemon in xenstored xenconsoled; do
    find "/proc/$(cat /run/$daemon.pid)/fd" -type l 2>/dev/null | wc -l
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
    if [ $NOW -ge $deadline ]; then
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
  for file in $(logs); do echo "$(wc -c <"$file") $file"; done >"$STATE/marks"
  dmesg | wc -l >"$STATE/dmesg.mark"
}
new_logs() {
  for file in $(logs); do
    known=$(awk -v file="$file" '$2 == file {print $1}' "$STATE/marks")
    tail -c +$((${known:-0} + 1)) "$file" | tail -n 40 >"$STATE/new"
    [ -s "$STATE/new" ] || continue
    echo "--- $file"
    tr -d '\r' <"$STATE/new"
  done
  dmesg | tail -n +$(($(cat "$STATE/dmesg.mark") + 1)) | tail -n 15 >"$STATE/new"
  [ ! -s "$STATE/new" ] || { echo "--- dom0's kernel"; cat "$STATE/new"; }
  xl dmesg -c | tail -n 15 >"$STATE/new"
  [ ! -s "$STATE/new" ] || { echo "--- Xen"; cat "$STATE/new"; }
}
