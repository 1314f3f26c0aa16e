#include "fsops/session/image.h"

#include <cstring>
#include <string_view>
#include <utility>

namespace virtfs::session {
namespace {

constexpr std::string_view kMagic = "vfs9Limg";
constexpr uint32_t kVersion = 1;
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
  writer.Number(static_cast<uint32_t>(image.tokens.size()));
  for (const host::HandleToken token : image.tokens) writer.Number(static_cast<uint64_t>(token));
  writer.Number(static_cast<uint32_t>(image.fids.size()));
  for (const Image::FidEntry& fid : image.fids) {
    writer.Number(fid.fid);
    writer.Number(fid.uid);
    writer.Number(fid.file);
    writer.Number(fid.dir);
    writer.String(fid.name);
    writer.Number(static_cast<uint8_t>(fid.open_flags.has_value()));
    writer.Number(fid.open_flags.value_or(0));
  }
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
  for (uint32_t i = reader.Count(8); i > 0; --i) image.tokens.push_back(host::HandleToken{reader.Number<uint64_t>()});
  for (uint32_t i = reader.Count(23); i > 0; --i) {
    Image::FidEntry fid;
    fid.fid = reader.Number<p9::Fid>();
    fid.uid = reader.Number<uint32_t>();
    fid.file = reader.Number<uint32_t>();
    fid.dir = reader.Number<uint32_t>();
    fid.name = reader.String();
    const auto open = reader.Number<uint8_t>();
    const auto flags = reader.Number<uint32_t>();
    if (open > 1) return Errno(EINVAL);
    if (open == 1) fid.open_flags = flags;
    image.fids.push_back(std::move(fid));
  }
  if (!reader.ok() || !reader.at_end()) return Errno(EINVAL);
  return image;
}

}  // namespace virtfs::session
