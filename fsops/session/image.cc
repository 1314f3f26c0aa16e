#include "fsops/session/image.h"

#include <cstring>
#include <string_view>
#include <utility>

namespace virtfs::session {
namespace {

constexpr std::string_view kMagic = "vfs9Limg";
constexpr uint32_t kVersion = 3;
constexpr size_t kSizeOffset = kMagic.size() + sizeof kVersion;

class Writer {
 public:
  template <typename T>
  void Number(T value) {
    for (size_t i = 0; i < sizeof value; ++i) bytes_.push_back(static_cast<uint8_t>(uint64_t{value} >> (8 * i)));
  }
  void Bytes(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
  void String(std::string_view text) {
    Number(static_cast<uint16_t>(text.size()));
    Bytes(text);
  }

  void Data(std::string_view bytes) {
    Number(static_cast<uint32_t>(bytes.size()));
    Bytes(bytes);
  }

  std::vector<uint8_t> Finish() && {
    const auto size = static_cast<uint32_t>(bytes_.size());
    for (size_t i = 0; i < sizeof size; ++i) bytes_[kSizeOffset + i] = static_cast<uint8_t>(size >> (8 * i));
    return std::move(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
};

// After the first thing that is not there everything reads as zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  template <typename T>
  T Number() {
    const std::span<const uint8_t> bytes = Take(sizeof(T));
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i) value |= uint64_t{bytes[i]} << (8 * i);
    return static_cast<T>(value);
  }
  std::string String() {
    const std::span<const uint8_t> bytes = Take(Number<uint16_t>());
    return std::string(bytes.begin(), bytes.end());
  }
  std::string Data() {
    const std::span<const uint8_t> bytes = Take(Number<uint32_t>());
    return std::string(bytes.begin(), bytes.end());
  }
  // How many elements of at least `size` bytes follow; 0 if there cannot be so many.
  uint32_t Count(size_t size) {
    const auto count = Number<uint32_t>();
    if (count > bytes_.size() / size) ok_ = false;
    return ok_ ? count : 0;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::span<const uint8_t> Take(size_t size) {
    ok_ = ok_ && size <= bytes_.size();
    if (!ok_) return {};
    const std::span<const uint8_t> taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }

  std::span<const uint8_t> bytes_;
  bool ok_ = true;
};

// Of a FidEntry.
enum Role : uint8_t { kNone, kOpen, kReadXattr, kWriteXattr };

void WriteRole(Writer& writer, const Image::FidEntry& fid) {
  if (fid.open_flags.has_value()) {
    writer.Number(uint8_t{kOpen});
    writer.Number(*fid.open_flags);
  } else if (!fid.xattr.has_value()) {
    writer.Number(uint8_t{kNone});
  } else if (!fid.xattr->writable) {
    writer.Number(uint8_t{kReadXattr});
    writer.Data(fid.xattr->bytes);
  } else {
    writer.Number(uint8_t{kWriteXattr});
    writer.String(fid.xattr->name);
    writer.Number(fid.xattr->size);
    writer.Number(fid.xattr->mode);
    writer.Data(fid.xattr->bytes);
  }
}

// False: there is no such role.
bool ReadRole(Reader& reader, Image::FidEntry& fid) {
  switch (reader.Number<uint8_t>()) {
    case kNone:
      return true;
    case kOpen:
      fid.open_flags = reader.Number<uint32_t>();
      return true;
    case kReadXattr:
      fid.xattr.emplace();
      fid.xattr->bytes = reader.Data();
      return true;
    case kWriteXattr:
      fid.xattr.emplace();
      fid.xattr->writable = true;
      fid.xattr->name = reader.String();
      fid.xattr->size = reader.Number<uint32_t>();
      fid.xattr->mode = reader.Number<uint8_t>();
      fid.xattr->bytes = reader.Data();
      return true;
    default:
      return false;
  }
}

void WriteLocked(Writer& writer, const Image::Locked& locked) {
  writer.Number(locked.file);
  writer.Number(static_cast<uint32_t>(locked.ranges.size()));
  for (const auto& [owner, range] : locked.ranges) {
    writer.Number(range.fid);
    writer.Number(static_cast<uint8_t>(range.type));
    writer.Number(range.bytes.first);
    writer.Number(range.bytes.last);
    writer.Number(owner.proc_id);
    writer.String(owner.client_id);
  }
}

// False: not ranges.
bool ReadLocked(Reader& reader, Image::Locked& locked) {
  locked.file = reader.Number<uint32_t>();
  for (uint32_t i = reader.Count(27); i > 0; --i) {
    LockOwner owner;
    LockedRange range;
    range.fid = reader.Number<p9::Fid>();
    const auto type = reader.Number<uint8_t>();
    range.bytes.first = reader.Number<uint64_t>();
    range.bytes.last = reader.Number<uint64_t>();
    owner.proc_id = reader.Number<uint32_t>();
    owner.client_id = reader.String();
    if (type > static_cast<uint8_t>(host::LockType::kWrite)) return false;
    if (range.bytes.first > range.bytes.last || range.bytes.last > host::ByteRange::kMaxByte) return false;
    range.type = host::LockType{type};
    locked.ranges.emplace_back(std::move(owner), range);
  }
  return true;
}

}  // namespace

std::vector<uint8_t> Serialize(const Image& image) {
  Writer writer;
  writer.Bytes(kMagic);
  writer.Number(kVersion);
  writer.Number(uint32_t{0});
  writer.Number(image.msize);
  writer.Number(static_cast<uint32_t>(image.qid_paths.size()));
  for (const QidPaths::Entry& entry : image.qid_paths) {
    writer.Number(entry.dev);
    writer.Number(entry.prefix);
    writer.Number(entry.index);
  }
  writer.Number(static_cast<uint32_t>(image.fids.size()));
  for (const Image::FidEntry& fid : image.fids) {
    writer.Number(fid.fid);
    writer.Number(fid.uid);
    writer.Number(fid.file);
    writer.Number(fid.dir);
    writer.String(fid.name);
    WriteRole(writer, fid);
  }
  writer.Number(static_cast<uint32_t>(image.locked.size()));
  for (const Image::Locked& locked : image.locked) WriteLocked(writer, locked);
  return std::move(writer).Finish();
}

Result<Image> Parse(std::span<const uint8_t> bytes) {
  Reader reader(bytes);
  if (bytes.size() < kMagic.size() || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return Errno(EINVAL);
  }
  for (size_t i = 0; i < kMagic.size(); ++i) reader.Number<uint8_t>();
  if (reader.Number<uint32_t>() != kVersion) return Errno(EINVAL);
  if (reader.Number<uint32_t>() != bytes.size()) return Errno(EINVAL);

  Image image;
  image.msize = reader.Number<uint32_t>();
  for (uint32_t i = reader.Count(12); i > 0; --i) {
    QidPaths::Entry entry;
    entry.dev = reader.Number<uint64_t>();
    entry.prefix = reader.Number<uint16_t>();
    entry.index = reader.Number<uint16_t>();
    image.qid_paths.push_back(entry);
  }
  for (uint32_t i = reader.Count(19); i > 0; --i) {
    Image::FidEntry fid;
    fid.fid = reader.Number<p9::Fid>();
    fid.uid = reader.Number<uint32_t>();
    fid.file = reader.Number<uint32_t>();
    fid.dir = reader.Number<uint32_t>();
    fid.name = reader.String();
    if (!ReadRole(reader, fid)) return Errno(EINVAL);
    image.fids.push_back(std::move(fid));
  }
  for (uint32_t i = reader.Count(8); i > 0; --i) {
    Image::Locked locked;
    if (!ReadLocked(reader, locked)) return Errno(EINVAL);
    image.locked.push_back(std::move(locked));
  }
  if (!reader.ok() || !reader.at_end()) return Errno(EINVAL);
  return image;
}

}  // namespace virtfs::session
