// What session_fuzz makes of its bytes: requests whose fields are taken from small sets, so that sequences go deep.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fsops/session/test_call.h"
#include "protocol/messages.h"

namespace virtfs {

class FuzzInput {
 public:
  explicit FuzzInput(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  // 0 behind the end.
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  template <typename T, size_t kSize>
  T Of(const std::array<T, kSize>& choice) {
    return choice[Byte() % kSize];
  }
  std::vector<uint8_t> Bytes(size_t size) {
    const std::span<const uint8_t> taken = bytes_.first(std::min(size, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return {taken.begin(), taken.end()};
  }
  std::string Text(size_t size) {
    const std::vector<uint8_t> bytes = Bytes(size);
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::span<const uint8_t> bytes_;
};

// A request of one of the types, or (rarely) any bytes as one. One byte of input for the type and about one per field.
class FuzzRequests {
 public:
  static constexpr uint8_t kRaw = p9::Requests::kSize;
  static constexpr p9::Fid kFids = 8;

  explicit FuzzRequests(FuzzInput& input) : input_(input) {}

  std::unique_ptr<TestCall> Make(p9::Tag tag, uint8_t type, uint32_t capacity) {
    std::unique_ptr<TestCall> call;
    uint8_t number = 0;
    p9::ForEachMessage(p9::Requests(), [&]<p9::Request T>() {
      if (number++ == type) call = MakeOf<T>(tag, capacity);
    });
    if (call != nullptr) return call;
    std::vector<uint8_t> frame = input_.Bytes(input_.Byte() % 64);
    frame.resize(std::max<size_t>(frame.size(), p9::kHeaderSize));
    const auto size = static_cast<uint32_t>(frame.size());
    for (size_t i = 0; i < sizeof(size); ++i) frame[i] = static_cast<uint8_t>(size >> (8 * i));
    frame[5] = static_cast<uint8_t>(tag);
    frame[6] = static_cast<uint8_t>(tag >> 8);
    return std::make_unique<TestCall>(std::move(frame), "data", capacity);
  }

 private:
  template <p9::Request T>
  std::unique_ptr<TestCall> MakeOf(p9::Tag tag, uint32_t capacity) {
    T request;
    p9::ForEachField(request, [&](const auto& field, auto& value) { Set(field.name, value); });
    std::string data;
    if constexpr (std::is_same_v<T, p9::Twrite>) {
      request.count = std::min<uint32_t>(request.count, 100'000);  // What could not be a frame at all is for kRaw.
      data = Data(request.count);
    } else if constexpr (std::is_same_v<T, p9::Tversion>) {
      // Mostly one that goes on.
      const uint8_t way = input_.Byte();
      request.msize = way % 4 == 0 ? request.msize : 8192;
      if (way % 8 != 1) request.version = p9::kVersion;
    } else if constexpr (std::is_same_v<T, p9::Tattach>) {
      if (request.afid < kFids) request.afid = p9::kNoFid;
    }
    return std::make_unique<TestCall>(tag, request, data, capacity);
  }

  void Set(std::string_view name, p9::Fid& value) {
    static constexpr std::array<uint32_t, 12> kFlags = {0,         1, 2,       2 | 0100, 2 | 0200, 2 | 01000,
                                                        1 | 02000, 3, 0200000, 010000,   04010002, 0x200};
    static constexpr std::array<uint32_t, 8> kCounts = {0, 1, 5, 28, 100, 4000, 60000, 0xffffffff};
    static constexpr std::array<uint32_t, 10> kModes = {
        0644, 0755, 0, 07777, S_IFREG | 0600, S_IFIFO | 0600, S_IFSOCK | 0600, S_IFCHR | 0600, S_IFDIR, 0xffffffff};
    static constexpr std::array<uint32_t, 6> kIds = {0, 1, 1000, 65534, 0x80000000, 0xffffffff};
    if (name.ends_with("fid") || name == "dirfd") {
      const uint8_t byte = input_.Byte();
      value = byte == 0xff ? p9::kNoFid : byte % kFids;
    } else if (name == "flags") {
      value = input_.Of(kFlags);
    } else if (name == "count" || name == "msize") {
      value = input_.Of(kCounts);
    } else if (name == "mode") {
      value = input_.Of(kModes);
    } else if (name == "valid") {
      value = input_.Byte();
      value |= uint32_t{input_.Byte()} << 8;
    } else {
      value = input_.Of(kIds);
    }
  }
  void Set(std::string_view /*name*/, uint8_t& value) { value = input_.Byte() % 4; }
  void Set(std::string_view /*name*/, uint16_t& value) { value = input_.Byte() % 4; }
  void Set(std::string_view /*name*/, uint64_t& value) {
    static constexpr std::array<uint64_t, 14> kNumbers = {
        0, 1, 5, 28, 100, 4096, 60000, 65536, 65537, 1'000'000, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX};
    value = input_.Of(kNumbers);
  }
  void Set(std::string_view /*name*/, std::string_view& value) { value = Name(); }
  void Set(std::string_view /*name*/, decltype(p9::Twalk::wname)& value) {
    for (uint8_t count = input_.Byte() % 4; count > 0; --count) value.push_back(Name());
  }

  std::string_view Name() {
    static const std::array<std::string, 28> kNames = {"a",
                                                       "b",
                                                       "c",
                                                       "d",
                                                       "l",
                                                       "p",
                                                       "d/a",
                                                       "",
                                                       ".",
                                                       "..",
                                                       "/",
                                                       "../sentinel",
                                                       std::string("a\0b", 3),
                                                       std::string(255, 'n'),
                                                       std::string(256, 'n'),
                                                       std::string(4095, 't'),
                                                       std::string(5000, 't'),
                                                       ".virtfs_metadata",
                                                       ".virtfs_metadata_root",
                                                       "user.x",
                                                       "user.y",
                                                       "trusted.x",
                                                       "security.capability",
                                                       "system.posix_acl_access",
                                                       "system.posix_acl_default",
                                                       "user.virtfs.mode",
                                                       "user.virtfs.uid",
                                                       "user." + std::string(300, 'u')};
    return kNames[input_.Byte() % kNames.size()];
  }

  // As many as announced, or some others; among them a POSIX ACL.
  std::string Data(uint32_t count) {
    static constexpr std::string_view kAcl(
        "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff", 28);
    const uint8_t way = input_.Byte();
    std::string data(std::min<uint32_t>(way % 8 == 7 ? way : count, 60000), 'x');
    std::copy_n(kAcl.begin(), std::min(kAcl.size(), data.size()), data.begin());
    if (way % 8 == 1) data += "more";
    return data;
  }

  FuzzInput& input_;
};

}  // namespace virtfs
