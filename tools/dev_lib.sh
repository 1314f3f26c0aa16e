# Shared by ./dev and the scripts it calls: steps, errors, and getting what is missing. Sourced from the top of the tree.

step() { printf '\n== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

BUILD_PACKAGES=(bazel-bootstrap g++ clang lld libclang-rt-14-dev python3 pkg-config libabsl-dev libgtest-dev libgmock-dev
  libbenchmark-dev libxen-dev libseccomp-dev libcap-ng-dev nlohmann-json3-dev)
PACKAGING_PACKAGES=(dpkg-dev)
LINT_PACKAGES=(clang-format clang-tidy npm)
# Unpacked, never installed: xen-utils would put a hypervisor and a boot entry on this machine.
TEST_PACKAGES=(xen-utils-4.17 xenstore-utils)
# The 9p server that ours is compared with, and the libraries that it is linked with.
TEST_PACKAGES+=(qemu-system-x86 qemu-system-common libaio1 libbpf1 libcapstone4 libdaxctl1 libelf1 libfdt1 libffi8
  libfuse3-3 libglib2.0-0 libgmp10 libgnutls30 libhogweed6 libibverbs1 libidn2-0 libjpeg62-turbo libkmod2 libndctl6 libnettle8 libnl-3-200
  libnl-route-3-200 libnuma1 libp11-kit0 libpixman-1-0 libpmem1 libpng16-16 librdmacm1 libsasl2-2 libseccomp2 libslirp0
  libssl3 libtasn1-6 libunistring2 liburing2 libvdeplug2)
# User-mode Linux and what runs in it, with the libraries that a small Debian lacks (tests/linux).
TEST_PACKAGES+=(user-mode-linux busybox-static e2fsprogs libext2fs2 libss2 libcom-err2 openssl git libpcre2-8-0 make sqlite3
  libsqlite3-0 libreadline8 rsync libpopt0 libxxhash0 liblz4-1 dbench fio libgfapi0 libglusterfs0 libgfrpc0 libgfxdr0
  libnbd0 libpmemblk1 librados2 librbd1 libboost-iostreams1.74.0 libboost-thread1.74.0 libfmt9 libcryptsetup12 libargon2-1
  libdevmapper1.02.1 libjson-c5 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libtirpc3 libxml2
  libicu72 stress-ng libapparmor1 libbsd0 libmd0 libegl1 libgles2 libglvnd0 libgbm1 libdrm2 libwayland-server0 libexpat1
  libipsec-mb1 libjudydebian1 libsctp1)
# What xfstests' own scripts call (./dev conformance xfstests).
XFSTESTS_PACKAGES=(xfsprogs libinih1 liburcu8 libedit2 attr acl bc)
# What tests/xen boots: hypervisor, kernel, toolstack, the stock backend, and the emulator's firmware.
XEN_TEST_PACKAGES=(xen-hypervisor-4.17-amd64 kmod qemu-system-data seabios qemu-system-xen libspice-server1 libusb-1.0-0
  libopus0 libgstreamer1.0-0 libgstreamer-plugins-base1.0-0 liborc-0.4-0 libudev1 libunwind8 libdw1 liblzma5 libbz2-1.0
  zlib1g xxhash)
# What makes a fresh Debian root on a disk (tests/administration).
ADMINISTRATION_PACKAGES=(debootstrap e2fsprogs dpkg-dev)

# Installs those of the named packages that are not there yet.
install_packages() {
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  step "apt-get install ${missing[*]}"
  local log
  log=$(mktemp)
  { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    "${missing[@]}"; } </dev/null >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    fail "could not install ${missing[*]} (above: the end of $log)"
  }
  rm -f "$log"
}

need_build_packages() { install_packages "${BUILD_PACKAGES[@]}"; }
need_lint_packages() {
  local packages=("${LINT_PACKAGES[@]}")
  ! command -v npm >/dev/null || packages=("${packages[@]/npm/}")
  # shellcheck disable=SC2068
  install_packages ${packages[@]}
}
need_test_packages() { tools/fetch_debs.sh "${TEST_PACKAGES[@]}"; }
need_xfstests_packages() { tools/fetch_debs.sh "${XFSTESTS_PACKAGES[@]}"; }
need_xen_packages() {
  local kernel
  kernel=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*-amd64\)$/\1/p;T;q')
  [ -n "$kernel" ] || fail "apt knows no linux-image-amd64: did 'apt-get update' run?"
  tools/fetch_debs.sh "${TEST_PACKAGES[@]}" "${XEN_TEST_PACKAGES[@]}" "$kernel"
}

# Bazel's targets of all programs that are installed somewhere.
shipped_programs() { sed -n 's,^\(//[^ ]*\) .*,\1,p' packaging/*/files; }
