#include "protocol/print.h"

#include <algorithm>
#include <cstdio>

#include "protocol/codec.h"

namespace virtfs::p9 {
namespace {

// Bytes of a malformed frame that are shown.
constexpr size_t kMaxPrintedBytes = 32;

std::string Hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes.first(std::min(bytes.size(), kMaxPrintedBytes))) {
    char digits[4];
    std::snprintf(digits, sizeof(digits), " %02x", byte);
    text += digits;
  }
  if (bytes.size() > kMaxPrintedBytes) text += " ...";
  return text;
}

}  // namespace

std::string PrintFrame(std::span<const uint8_t> frame) {
  const Result<Header> header = ParseHeader(frame);
  if (!header.ok()) return "no 9P header:" + Hex(frame);
  const Result<std::string> line =
      VisitMessage(frame, [&](const auto& message) { return Print(header->tag, message); });
  if (line.ok()) return *line;
  if (line.error() == Errno(EOPNOTSUPP)) return "type " + std::to_string(header->type) + ":" + Hex(frame);
  return "malformed message of type " + std::to_string(header->type) + ":" + Hex(frame);
}

}  // namespace virtfs::p9
