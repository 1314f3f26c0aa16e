#include "protocol/line_printer.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

namespace virtfs::p9 {
namespace {

constexpr std::string_view kEllipsis = "...";

template <typename... Args>
std::string Format(const char* format, Args... args) {
  char text[64];
  const int size = std::snprintf(text, sizeof(text), format, args...);
  return std::string(text, std::min<size_t>(static_cast<size_t>(size), sizeof(text) - 1));
}

bool IsMask(std::string_view name) { return name == "flags" || name == "valid" || name == "request_mask"; }

}  // namespace

LinePrinter::LinePrinter(std::string_view message, Tag tag) {
  Raw(message);
  Raw(Format(" tag %u", unsigned{tag}));
}

void LinePrinter::Field(std::string_view name, uint64_t value) {
  Name(name);
  if (name.ends_with("fid") && value == kNoFid) {
    Raw("none");
  } else if (IsMask(name)) {
    Raw(Format("%#" PRIx64, value));
  } else if (name == "mode") {
    Raw(Format("%#" PRIo64, value));
  } else {
    Raw(Format("%" PRIu64, value));
  }
}

void LinePrinter::Field(std::string_view name, std::string_view value) {
  Name(name);
  Value(value);
}

void LinePrinter::Field(std::string_view name, const Qid& value) {
  Name(name);
  Value(value);
}

void LinePrinter::Name(std::string_view name) {
  Raw(" ");
  Raw(name);
  Raw(" ");
}

void LinePrinter::Value(std::string_view value) {
  std::string text = "\"";
  for (const char c : value.substr(0, kMaxPrintedString)) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      text += Format("\\x%02x", static_cast<unsigned char>(c));
    }
  }
  text += '"';
  if (value.size() > kMaxPrintedString) text += kEllipsis;
  Raw(text);
}

void LinePrinter::Value(const Qid& value) {
  Raw(Format("{%#x %#" PRIx64 " %" PRIu32 "}", unsigned{value.type}, value.path, value.version));
}

void LinePrinter::Raw(std::string_view text) {
  // One byte more than is shown tells Take() that there was more.
  line_.append(text.substr(0, kMaxPrinted + 1 - std::min(line_.size(), kMaxPrinted + 1)));
}

std::string LinePrinter::Take() && {
  if (line_.size() > kMaxPrinted) {
    line_.resize(kMaxPrinted - kEllipsis.size());
    line_ += kEllipsis;
  }
  return std::move(line_);
}

}  // namespace virtfs::p9
