// 9P messages as one readable line each, for logs:
//
//     Twalk tag 7 fid 1 newfid 2 wname ["usr" "a\x00b"]
//     Rgetattr tag 7 valid 0x7ff qid {dir 0x1a2b 3} mode 0100644 ...
//
// Whatever the message holds, the line is printable ASCII without a line break and at most kMaxPrinted bytes long;
// long strings and long lines end in "...". Not for the path of every request: it allocates.
//
// Threads: any. Trust: hostile messages and frames are what it is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/messages.h"

namespace virtfs::p9 {

inline constexpr size_t kMaxPrinted = 512;
// Bytes of one string that are shown.
inline constexpr size_t kMaxPrintedString = 64;

// Collects a line; the pieces of Print.
class LinePrinter {
 public:
  LinePrinter(std::string_view message, Tag tag);

  void Field(std::string_view name, uint64_t value);
  void Field(std::string_view name, std::string_view value);
  void Field(std::string_view name, const Qid& value);

  template <typename T, size_t N>
  void Field(std::string_view name, const InlineList<T, N>& values) {
    Name(name);
    Raw("[");
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) Raw(" ");
      Value(values[i]);
    }
    Raw("]");
  }

  // As it is: printable text of ours.
  void Raw(std::string_view text);

  std::string Take() &&;

 private:
  void Name(std::string_view name);
  void Value(std::string_view value);
  void Value(const Qid& value);

  std::string line_;
};

// The message as a line.
template <Message M>
std::string Print(Tag tag, const M& message) {
  LinePrinter line(MessageName<M>(), tag);
  ForEachField(message, [&](const auto& field, const auto& value) { line.Field(field.name, value); });
  return std::move(line).Take();
}

// The message in a frame as a line, its payload left out; or what is wrong with the frame, and its first bytes.
std::string PrintFrame(std::span<const uint8_t> frame);

}  // namespace virtfs::p9
