# For scripts that run in the guest, and for the host where it looks at the same files. Sourced.
#
# What a script prints on stdout is its result, the same on every file system; what it says besides goes to stderr.
set -euo pipefail

# mount_share TAG WHERE OPTIONS
mount_share() {
  mkdir -p "$2"
  mount -t 9p -o "trans=tcp,port=$(cat "/virtfs/work/port.$1"),version=9p2000.L,$3" 10.77.0.1 "$2"
}

# Every name beneath a directory with its kind, permissions, links, size and content. Not times: a program may not set
# them.
tree_hash() {
  (
    cd "$1"
    find . -mindepth 1 \( -type f -printf '%y %m %n %s %p\n' -o -type l -printf '%y %l %p\n' -o -printf '%y %m %p\n' \) |
      LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
  ) | sha256sum | cut -d' ' -f1
}

# quietly COMMAND...: what it prints is no result.
quietly() { "$@" >&2; }
