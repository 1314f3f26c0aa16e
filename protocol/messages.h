// Every message of 9P2000.L, each declared once, and the lists of them all.
//
// A T-message is a request and names its reply, the R-message of the next number; Rlerror answers any. Above each
// struct stands its form on the wire, in the protocol's own notation: name[bytes], name[s] a string, [13] a qid. What a
// pair is for is said once, above its reply.
//
// Here are the 28 pairs of 9P2000.L that Linux's net/9p/9p.h numbers and its client may send to a server of that
// dialect. The header's other numbers belong to 9P2000 and 9P2000.u alone (open, create, stat, wstat, Rerror) or are
// never sent (Tlerror, Terror); they are unknown types here.
//
// Twrite, Rread and Rreaddir end in `count`; the count bytes behind it are no part of the struct.
//
// Strings point into the frame that was decoded: keep it while the message is in use.
// Trust: a decoded message is well-formed and nothing more. Names may hold "/", NUL or nothing; numbers are any.
// Threads: values.
#pragma once

#include <cstddef>
#include <string_view>

#include "protocol/attribute_messages.h"
#include "protocol/constants.h"
#include "protocol/directory_messages.h"
#include "protocol/field.h"
#include "protocol/file_messages.h"
#include "protocol/session_messages.h"

namespace virtfs::p9 {

template <typename... M>
struct MessageList {
  static constexpr size_t kSize = sizeof...(M);
};

using Requests = MessageList<Tversion, Tauth, Tattach, Tflush, Twalk, Tclunk,                           // the session
                             Tlopen, Tlcreate, Tread, Twrite, Tfsync, Tlock, Tgetlock,                  // files
                             Tgetattr, Tsetattr, Txattrwalk, Txattrcreate, Tstatfs,                     // attributes
                             Treaddir, Tmkdir, Tsymlink, Treadlink, Tmknod, Tlink, Trename, Trenameat,  // directories
                             Tunlinkat, Tremove>;
static_assert(Requests::kSize == 28);

namespace internal {

template <Request... M>
constexpr MessageList<typename M::Reply...> RepliesOf(MessageList<M...>) {
  static_assert(((M::Reply::kType == M::kType + 1) && ...));
  return {};
}

template <typename... A, typename... B>
constexpr MessageList<A..., B...> Join(MessageList<A...>, MessageList<B...>) {
  return {};
}

}  // namespace internal

// In the order of Requests, Rlerror last.
using Replies = decltype(internal::Join(decltype(internal::RepliesOf(Requests()))(), MessageList<Rlerror>()));
using Messages = decltype(internal::Join(Requests(), Replies()));

// The name of M as it stands in its declaration, for logs: "Twalk".
template <Message M>
constexpr std::string_view MessageName() {
  // The compiler's "... [with M = virtfs::p9::Twalk; ...]" or "... [M = virtfs::p9::Twalk]".
  std::string_view name = __PRETTY_FUNCTION__;
  name.remove_prefix(name.find("M = ") + 4);
  name = name.substr(0, name.find_first_of(";]"));
  name.remove_prefix(name.rfind(':') + 1);
  return name;
}
static_assert(MessageName<Twalk>() == "Twalk");

// Calls visit.operator()<M>() for each message of the list.
template <typename... M, typename Visit>
constexpr void ForEachMessage(MessageList<M...>, Visit&& visit) {
  (visit.template operator()<M>(), ...);
}

namespace internal {

template <Message... M>
constexpr bool AllDeclareAllFields(MessageList<M...>) {
  return (DeclaresAllFields<M>() && ...);
}
static_assert(AllDeclareAllFields(Messages()) && DeclaresAllFields<DirEntry>(),
              "a member is missing from its struct's kFields");

}  // namespace internal

}  // namespace virtfs::p9
