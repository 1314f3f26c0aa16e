// Messages of the session itself and of its fids: errors, version, auth, attach, flush, walk, clunk.
//
// Source: diod's protocol.md; Plan 9's intro(5); for the order of fields also net/9p/client.c of Linux.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/constants.h"
#include "protocol/field.h"

namespace virtfs::p9 {

// The answer to any request that failed. ecode is a Linux errno, 1..4095.
//
// size[4] Rlerror tag[2] ecode[4]
struct Rlerror {
  static constexpr uint8_t kType = 7;
  uint32_t ecode = 0;
  static constexpr auto kFields = Fields(F<&Rlerror::ecode>{"ecode"});
};

// Begins the session anew: every fid is gone. msize is the most bytes that any message may have, from size[4] on; the
// reply's is at most the request's. Sent with kNoTag.
//
// size[4] Rversion tag[2] msize[4] version[s]
struct Rversion {
  static constexpr uint8_t kType = 101;
  uint32_t msize = 0;
  std::string_view version;
  static constexpr auto kFields = Fields(F<&Rversion::msize>{"msize"}, F<&Rversion::version>{"version"});
};

// size[4] Tversion tag[2] msize[4] version[s]
struct Tversion {
  static constexpr uint8_t kType = 100;
  using Reply = Rversion;
  uint32_t msize = 0;
  std::string_view version;
  static constexpr auto kFields = Fields(F<&Tversion::msize>{"msize"}, F<&Tversion::version>{"version"});
};

// Would begin an authentication on afid. Answered by an error where none is wanted, which is the rule.
//
// size[4] Rauth tag[2] aqid[13]
struct Rauth {
  static constexpr uint8_t kType = 103;
  Qid aqid;
  static constexpr auto kFields = Fields(F<&Rauth::aqid>{"aqid"});
};

// size[4] Tauth tag[2] afid[4] uname[s] aname[s] n_uname[4]
struct Tauth {
  static constexpr uint8_t kType = 102;
  using Reply = Rauth;
  Fid afid = kNoFid;
  std::string_view uname;
  std::string_view aname;
  uint32_t n_uname = kNoUname;
  static constexpr auto kFields = Fields(F<&Tauth::afid>{"afid"}, F<&Tauth::uname>{"uname"}, F<&Tauth::aname>{"aname"},
                                         F<&Tauth::n_uname>{"n_uname"});
};

// Makes fid the root of the tree `aname`, on behalf of n_uname, or of uname if that is kNoUname. afid is kNoFid unless
// a Tauth went before.
//
// size[4] Rattach tag[2] qid[13]
struct Rattach {
  static constexpr uint8_t kType = 105;
  Qid qid;
  static constexpr auto kFields = Fields(F<&Rattach::qid>{"qid"});
};

// size[4] Tattach tag[2] fid[4] afid[4] uname[s] aname[s] n_uname[4]
struct Tattach {
  static constexpr uint8_t kType = 104;
  using Reply = Rattach;
  Fid fid = kNoFid;
  Fid afid = kNoFid;
  std::string_view uname;
  std::string_view aname;
  uint32_t n_uname = kNoUname;
  static constexpr auto kFields =
      Fields(F<&Tattach::fid>{"fid"}, F<&Tattach::afid>{"afid"}, F<&Tattach::uname>{"uname"},
             F<&Tattach::aname>{"aname"}, F<&Tattach::n_uname>{"n_uname"});
};

// Asks that the request with oldtag be given up. After Rflush nothing more comes with that tag.
//
// size[4] Rflush tag[2]
struct Rflush {
  static constexpr uint8_t kType = 109;
  static constexpr auto kFields = Fields();
};

// size[4] Tflush tag[2] oldtag[2]
struct Tflush {
  static constexpr uint8_t kType = 108;
  using Reply = Rflush;
  Tag oldtag = kNoTag;
  static constexpr auto kFields = Fields(F<&Tflush::oldtag>{"oldtag"});
};

// From fid along the names to newfid; no names at all makes newfid another fid for the same file. An Rwalk with fewer
// qids than there were names has not made newfid.
//
// size[4] Rwalk tag[2] nwqid[2] nwqid*(wqid[13])
struct Rwalk {
  static constexpr uint8_t kType = 111;
  InlineList<Qid, kMaxWalk> wqid;
  static constexpr auto kFields = Fields(F<&Rwalk::wqid>{"wqid"});
};

// size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s])
struct Twalk {
  static constexpr uint8_t kType = 110;
  using Reply = Rwalk;
  Fid fid = kNoFid;
  Fid newfid = kNoFid;
  InlineList<std::string_view, kMaxWalk> wname;
  static constexpr auto kFields = Fields(F<&Twalk::fid>{"fid"}, F<&Twalk::newfid>{"newfid"}, F<&Twalk::wname>{"wname"});
};

// Gives the fid up, whatever the answer.
//
// size[4] Rclunk tag[2]
struct Rclunk {
  static constexpr uint8_t kType = 121;
  static constexpr auto kFields = Fields();
};

// size[4] Tclunk tag[2] fid[4]
struct Tclunk {
  static constexpr uint8_t kType = 120;
  using Reply = Rclunk;
  Fid fid = kNoFid;
  static constexpr auto kFields = Fields(F<&Tclunk::fid>{"fid"});
};

}  // namespace virtfs::p9
