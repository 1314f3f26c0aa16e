// 9P messages as one readable line each, for logs:
//
//     Twalk tag 7 fid 1 newfid 2 wname ["usr" "a\x00b"]
//     Rgetattr tag 7 valid 0x7ff qid {0x80 0x1a2b 3} mode 040755 ...   (type, path, version)
//
// Whatever the message holds, the line is printable ASCII without a line break and at most kMaxPrinted bytes long;
// long strings and long lines end in "...". Not for the path of every request: it allocates.
//
// Threads: any. Trust: hostile messages and frames are what it is for.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "protocol/line_printer.h"
#include "protocol/messages.h"

namespace virtfs::p9 {

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
