// What 9P messages are made of: their simple types, and how a message names its fields.
//
// A message is a struct whose `kFields` lists its members in wire order; everything else (decoding, encoding, sizes,
// printing, comparing) is a fold over that list. kFields of a struct is checked against its members by
// DeclaresAllFields.
//
// Source: diod's protocol.md, "Data Structures"; Plan 9's intro(5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "protocol/inline_list.h"

namespace virtfs::p9 {

// The client's handle for a file.
using Fid = uint32_t;
// The client's handle for a request in flight.
using Tag = uint16_t;

inline constexpr Fid kNoFid = 0xffffffff;
inline constexpr Tag kNoTag = 0xffff;

// Names in one Twalk, and qids in its reply.
inline constexpr size_t kMaxWalk = 16;

// The server's identity of a file: type[1] version[4] path[8], 13 bytes on the wire.
struct Qid {
  uint8_t type = 0;      // kQid* bits.
  uint32_t version = 0;  // Changes when the file does; 0: do not cache.
  uint64_t path = 0;     // One number for one file.

  friend bool operator==(const Qid&, const Qid&) = default;
};

// A field that is always there. The member's type is its form on the wire:
//   uint8_t ... uint64_t     1 to 8 bytes, little-endian
//   std::string_view         length[2] and that many bytes, any bytes; points into the frame it was decoded from
//   Qid                      13 bytes
//   InlineList<T, N>         count[2] and that many T
template <auto Member>
struct F {
  static constexpr bool kOptional = false;
  std::string_view name;

  template <typename M>
  static constexpr auto& Of(M& message) {
    return message.*Member;
  }
};

// A last field that some clients leave out; it then keeps its initial value. It is always encoded.
template <auto Member>
struct OptionalF : F<Member> {
  static constexpr bool kOptional = true;
};

// The fields of one struct, in wire order. Bases, not a std::tuple, which costs every file that knows the messages a
// second of compilation.
template <typename... Field>
struct Fields : Field... {
  static constexpr size_t kCount = sizeof...(Field);
  constexpr explicit Fields(Field... field) : Field(field)... {}

  // visit(field...)
  template <typename Visit>
  constexpr decltype(auto) Apply(Visit&& visit) const {
    return visit(static_cast<const Field&>(*this)...);
  }
};

// Calls visit(field, value) for each field of `message`, in wire order.
template <typename M, typename Visit>
constexpr void ForEachField(M& message, Visit&& visit) {
  M::kFields.Apply([&](const auto&... field) { (visit(field, field.Of(message)), ...); });
}

// A struct of fields: any message, and DirEntry.
template <typename M>
concept HasFields = requires {
  M::kFields;
};

template <typename M>
concept Message = HasFields<M> && requires {
  M::kType;
};

// A T-message.
template <typename M>
concept Request = Message<M> && requires {
  typename M::Reply;
};

// A message with bytes of a file behind its last field, which is `count`. The bytes are no part of the struct.
template <typename M>
concept PayloadMessage = Message<M> && requires {
  M::kHasPayload;
};

// Equal in every field.
template <HasFields M>
constexpr bool operator==(const M& a, const M& b) {
  return M::kFields.Apply([&](const auto&... field) { return ((field.Of(a) == field.Of(b)) && ...); });
}

namespace internal {

struct AnyValue {
  template <typename T>
  operator T() const;  // NOLINT(google-explicit-constructor)
};

template <typename M, size_t... I>
constexpr bool TakesValues(std::index_sequence<I...>) {
  return requires { M{(static_cast<void>(I), AnyValue())...}; };
}

}  // namespace internal

// Whether kFields has as many fields as M has members.
template <HasFields M>
constexpr bool DeclaresAllFields() {
  constexpr size_t kCount = decltype(M::kFields)::kCount;
  return internal::TakesValues<M>(std::make_index_sequence<kCount>()) &&
         !internal::TakesValues<M>(std::make_index_sequence<kCount + 1>());
}

}  // namespace virtfs::p9
