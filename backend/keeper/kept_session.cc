#include "backend/keeper/kept_session.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace virtfs::backend {
namespace {

constexpr std::string_view kMagic = "xen-virtfs session 1\n";
// Twice what a server may hand over (link::kSessionMemory), for the handles.
constexpr off_t kMaxFile = off_t{128} << 20;

class Writer {
 public:
  template <typename T>
  void Number(T value) {
    for (size_t i = 0; i < sizeof value; ++i)
      bytes.push_back(static_cast<uint8_t>(static_cast<uint64_t>(value) >> 8 * i));
  }
  template <typename Size, typename Data>
  void Sized(const Data& data) {
    Number(static_cast<Size>(data.size()));
    bytes.insert(bytes.end(), data.begin(), data.end());
  }

  std::vector<uint8_t> bytes;
};

// After the first thing that is not there everything is empty and `whole` false.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest(bytes) {}

  template <typename T>
  T Number() {
    uint64_t value = 0;
    size_t i = 0;
    for (const uint8_t byte : Take(sizeof(T))) value |= uint64_t{byte} << 8 * i++;
    return static_cast<T>(value);
  }
  template <typename Size>
  std::span<const uint8_t> Sized() {
    return Take(Number<Size>());
  }
  std::span<const uint8_t> Take(uint64_t size) {
    whole = whole && size <= rest.size();
    const std::span<const uint8_t> taken = rest.first(whole ? size : 0);
    rest = rest.subspan(taken.size());
    return taken;
  }

  std::span<const uint8_t> rest;
  bool whole = true;
};

absl::Status Failed(const char* what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

absl::Status WriteAll(int fd, std::span<const uint8_t> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// All but the image itself.
std::vector<uint8_t> EncodeHead(const KeptSession& session) {
  Writer writer;
  writer.bytes.assign(kMagic.begin(), kMagic.end());
  writer.Sized<uint32_t>(session.id);
  writer.Sized<uint32_t>(session.place);
  writer.Number(static_cast<uint32_t>(session.files.size()));
  for (const host::FileHandle& file : session.files) {
    writer.Number(static_cast<uint32_t>(file.type));
    writer.Sized<uint32_t>(file.bytes);
  }
  writer.Number(uint64_t{session.image.size()});
  return std::move(writer.bytes);
}

}  // namespace

Result<std::string> PlaceOf(int root) {
  const Result<host::FileHandle> handle = host::HandleOf(root);
  if (!handle.ok()) return handle.error();
  struct statfs system;
  if (fstatfs(root, &system) != 0) return Errno::Last();
  const auto hex = [](const auto& bytes) {
    return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  std::vector<uint8_t> id(sizeof(system.f_fsid));
  memcpy(id.data(), &system.f_fsid, id.size());
  return absl::StrCat(system.f_type, ":", hex(id), ":", handle->type, ":", hex(handle->bytes));
}

std::vector<uint8_t> EncodeSession(const KeptSession& session) {
  std::vector<uint8_t> bytes = EncodeHead(session);
  bytes.insert(bytes.end(), session.image.begin(), session.image.end());
  return bytes;
}

absl::StatusOr<KeptSession> DecodeSession(std::span<const uint8_t> bytes) {
  Reader reader(bytes);
  const std::span<const uint8_t> magic = reader.Take(kMagic.size());
  if (!std::equal(magic.begin(), magic.end(), kMagic.begin(), kMagic.end())) {
    return absl::InvalidArgumentError("it does not begin like a session of this version of xen-virtfs");
  }
  KeptSession session;
  const auto text = [](std::span<const uint8_t> characters) {
    return std::string(characters.begin(), characters.end());
  };
  session.id = text(reader.Sized<uint32_t>());
  session.place = text(reader.Sized<uint32_t>());
  for (uint32_t left = reader.Number<uint32_t>(); left > 0 && reader.whole; --left) {
    host::FileHandle file;
    file.type = static_cast<int>(reader.Number<uint32_t>());
    const std::span<const uint8_t> handle = reader.Sized<uint32_t>();
    file.bytes.assign(handle.begin(), handle.end());
    session.files.push_back(std::move(file));
  }
  const std::span<const uint8_t> image = reader.Sized<uint64_t>();
  session.image.assign(image.begin(), image.end());
  if (!reader.whole) return absl::InvalidArgumentError("it ends too soon");
  if (!reader.rest.empty()) return absl::InvalidArgumentError("there is more in it than a session");
  // As docs/virtfs.md 11.3 has it.
  const auto fits = [](unsigned char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (session.id.size() != 32 || !std::all_of(session.id.begin(), session.id.end(), fits)) {
    return absl::InvalidArgumentError("its session-id is none");
  }
  return session;
}

absl::Status WriteSessionFile(const std::string& path, const KeptSession& session) {
  const std::string beside = path + ".new";
  if (unlink(beside.c_str()) != 0 && errno != ENOENT) return Failed("replace", beside);
  const UniqueFd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return Failed("write", beside);
  absl::Status written = WriteAll(fd.get(), EncodeHead(session), beside);
  if (written.ok()) written = WriteAll(fd.get(), session.image, beside);
  if (written.ok() && fsync(fd.get()) != 0) written = Failed("sync", beside);
  if (written.ok() && rename(beside.c_str(), path.c_str()) != 0) written = Failed("write", path);
  if (!written.ok()) {
    unlink(beside.c_str());
    return written;
  }
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const UniqueFd parent(open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent.ok() || fsync(parent.get()) != 0) return Failed("sync", directory);
  return absl::OkStatus();
}

absl::StatusOr<KeptSession> ReadSessionFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status;
  if (!fd.ok() || fstat(fd.get(), &status) != 0) return Failed("read", path);
  if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " could be another user's: it must be a file of root's that nobody else may read or write"));
  }
  if (status.st_size > kMaxFile) return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a session"));
  std::vector<uint8_t> bytes(static_cast<size_t>(status.st_size));
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t got = read(fd.get(), bytes.data() + at, bytes.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read", path);
    if (got == 0) break;
    at += static_cast<size_t>(got);
  }
  absl::StatusOr<KeptSession> session = DecodeSession(bytes);
  if (session.ok()) return session;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::string(session.status().message())));
}

}  // namespace virtfs::backend
