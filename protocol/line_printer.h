// LinePrinter: collects the line of one message for Print (print.h), which says what such a line looks like.
//
// Threads: a value. Trust: names are ours, values are hostile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/field.h"

namespace virtfs::p9 {

// Bytes of a line at most.
inline constexpr size_t kMaxPrinted = 512;
// Bytes of one string that are shown.
inline constexpr size_t kMaxPrintedString = 64;

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

}  // namespace virtfs::p9
