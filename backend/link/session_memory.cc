#include "backend/link/session_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace virtfs::link {
namespace {

// By calls that a locked server may make.
Result<void> WriteAll(int fd, std::span<const uint8_t> bytes, off_t at) {
  while (!bytes.empty()) {
    const iovec piece = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
    const ssize_t written = pwritev2(fd, &piece, 1, at, 0);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? Errno::Last() : Errno(EIO);
    bytes = bytes.subspan(static_cast<size_t>(written));
    at += written;
  }
  return {};
}

Result<void> ReadAll(int fd, std::span<uint8_t> bytes, off_t at) {
  while (!bytes.empty()) {
    const iovec piece = {bytes.data(), bytes.size()};
    const ssize_t got = preadv2(fd, &piece, 1, at, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? Errno::Last() : Errno(EPROTO);
    bytes = bytes.subspan(static_cast<size_t>(got));
    at += got;
  }
  return {};
}

}  // namespace

Result<UniqueFd> MakeSessionMemory() {
  UniqueFd memory(memfd_create("xen-virtfs-session", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.ok() || ftruncate(memory.get(), kSessionMemory) != 0 ||
      fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Errno::Last();
  }
  return memory;
}

Result<void> WriteSession(int memory, std::span<const host::HandleToken> tokens, std::span<const uint8_t> image) {
  if (tokens.size_bytes() > kSessionMemory || image.size() > kSessionMemory - tokens.size_bytes()) return Errno(EFBIG);
  const std::span<const uint8_t> bytes = {reinterpret_cast<const uint8_t*>(tokens.data()), tokens.size_bytes()};
  if (Result<void> written = WriteAll(memory, bytes, 0); !written.ok()) return written;
  return WriteAll(memory, image, static_cast<off_t>(bytes.size()));
}

Result<SessionBytes> ReadSession(int memory, uint64_t tokens, uint64_t image) {
  if (tokens > kSessionMemory / sizeof(host::HandleToken) ||
      image > kSessionMemory - tokens * sizeof(host::HandleToken)) {
    return Errno(EPROTO);
  }
  SessionBytes session;
  session.tokens.resize(tokens);
  session.image.resize(image);
  const std::span<uint8_t> bytes = {reinterpret_cast<uint8_t*>(session.tokens.data()),
                                    tokens * sizeof(host::HandleToken)};
  if (Result<void> read = ReadAll(memory, bytes, 0); !read.ok()) return read.error();
  if (Result<void> read = ReadAll(memory, session.image, static_cast<off_t>(bytes.size())); !read.ok()) {
    return read.error();
  }
  return session;
}

}  // namespace virtfs::link
