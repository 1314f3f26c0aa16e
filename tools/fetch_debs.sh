#!/bin/bash
# Unpacks Debian packages that only tests need (the real xenstored, above all) into a cache; installs nothing.
#
#   tools/fetch_debs.sh [PACKAGE...]     default: what the simulated Xen needs
#
# Result: $XEN_VIRTFS_CACHE/debs-root (default ~/.cache/xen-virtfs/debs-root), one stamp .have/PACKAGE for each package
# that is unpacked completely. Safe to run from several places at once; does nothing where nothing lacks.
set -euo pipefail

packages=("$@")
[ ${#packages[@]} -gt 0 ] || packages=(xen-utils-4.17 xenstore-utils)

home=$(getent passwd "$(id -u)" | cut -d: -f6)  # as tests find it, which have no HOME
cache=${XEN_VIRTFS_CACHE:-$home/.cache/xen-virtfs}
root=$cache/debs-root

fail() {
  echo "fetch_debs: $*" >&2
  exit 1
}

lacking() {
  local package
  for package in "${packages[@]}"; do
    [ -e "$root/.have/$package" ] || echo "$package"
  done
}

[ -n "$(lacking)" ] || exit 0
command -v dpkg-deb >/dev/null && command -v apt-get >/dev/null || fail "needs apt-get and dpkg-deb, that is, Debian."
mkdir -p "$root/.have" || fail "cannot create $root."
exec 9>"$cache/debs.lock"
flock -n 9 || { echo "fetch_debs: another run is at work, waiting for it" >&2; flock 9; }

mapfile -t packages < <(lacking)
work=$(mktemp -d "$cache/debs.XXXXXX")
trap 'rm -rf "$work"' EXIT
# All in one go: what apt-get does before its first download takes longer than most of the packages.
echo "fetch_debs: downloading ${#packages[@]} packages, ${packages[0]} first" >&2
# _apt, the user apt-get would download as, cannot write below a home directory.
(cd "$work" && apt-get -o APT::Sandbox::User="$(id -un)" download "${packages[@]}" >"$work/log" 2>&1) ||
  fail "cannot download: $(grep '^E:' "$work/log" | head -n1) (is there a network, and did 'apt-get update' run?)"
for package in "${packages[@]}"; do
  dpkg-deb -x "$work/$package"_*.deb "$work/unpacked" || fail "cannot unpack $package."
  # The stamp is written last: who sees it sees the whole package.
  cp -a --remove-destination "$work/unpacked/." "$root/" || fail "cannot write to $root."
  rm -rf "$work/unpacked" "$work/$package"_*.deb
  touch "$root/.have/$package"
done
