#!/usr/bin/env bash
# Makes Debian packages of what `bazel build --config=opt` has made: one for each directory of packaging/, which has
#   control   the fields, with @VERSION@, @ARCHITECTURE@, @MAINTAINER@, @SIZE@ and @DEPENDS@ to be filled in
#   files     what is in it, and where that goes
#   postinst, prerm, postrm
#
#   tools/package.sh BAZEL-BIN DIRECTORY     prints the paths of the packages, which replace older ones in DIRECTORY
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tools/dev_lib.sh
binaries=$1 out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# Each commit is an upgrade of the one before.
version=$(sed -n 's/^constexpr char kVersion\[\] = "\(.*\)";$/\1/p' backend/main.cc)
if commits=$(git rev-list --count HEAD 2>/dev/null); then
  version+="+git$commits.$(git rev-parse --short=8 HEAD)"
fi
architecture=$(dpkg --print-architecture)
maintainer="xen-virtfs <root@$(hostname)>"

# lines PACKAGE: SOURCE DESTINATION, without comments.
lines() { sed '/^#/d; /^$/d' "packaging/$1/files"; }

# put PACKAGE ROOT SOURCE DESTINATION
put() {
  local package=$1 root=$2 source=$3 place=$4 path
  case $source in
    //*)
      path=${source#//}
      install -D -s -m 755 "$binaries/${path/://}" "$root$place"
      echo "$root$place" >>"$work/$package.programs"
      ;;
    *) install -D -m 644 "$source" "$root$place" ;;
  esac
  case $place in
    /usr/share/man/*) gzip -9n "$root$place" ;;
    /etc/*) echo "$place" >>"$root/DEBIAN/conffiles" ;;
  esac
}

# Those of other packages that hold the libraries of our programs, in the versions that these need.
depends() {
  mapfile -t programs <"$work/$1.programs"
  mkdir -p "$work/debian"
  printf 'Source: xen-virtfs\n\nPackage: %s\nArchitecture: any\n' "$1" >"$work/debian/control"
  (cd "$work" && dpkg-shlibdeps -O "${programs[@]}" 2>"$work/shlibdeps.log") | sed -n 's/^shlibs:Depends=//p'
}

mkdir -p "$out"
for directory in packaging/*/; do
  [ -e "${directory}control" ] || continue
  package=$(basename "$directory")
  root=$work/$package
  mkdir -p "$root/DEBIAN"
  while read -r source place; do put "$package" "$root" "$source" "$place"; done < <(lines "$package")
  needed=$(depends "$package")
  [ -n "$needed" ] || fail "dpkg-shlibdeps says: $(cat "$work/shlibdeps.log")"
  for script in postinst prerm postrm; do
    [ ! -e "$directory$script" ] || install -m 755 "$directory$script" "$root/DEBIAN/"
  done
  (cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z |
    xargs -0 md5sum >DEBIAN/md5sums)
  sed -e "s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@MAINTAINER@|$maintainer|" \
    -e "s|@SIZE@|$(du -sk --apparent-size "$root" | cut -f 1)|; s|@DEPENDS@|$needed|" "$directory/control" \
    >"$root/DEBIAN/control"
  rm -f "$out/${package}_"*.deb
  deb=$out/${package}_${version}_$architecture.deb
  dpkg-deb --root-owner-group --build "$root" "$deb" >/dev/null
  echo "$deb"
done
