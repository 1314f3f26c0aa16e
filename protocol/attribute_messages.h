// Messages about what is known of a file: attributes, extended attributes, the file system it is on.
//
// Source: diod's protocol.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/field.h"

namespace virtfs::p9 {

// request_mask and valid are kGetattr*. Sizes in bytes, blocks of 512 bytes; rdev as in struct stat; times since 1970.
//
// size[4] Rgetattr tag[2] valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8]
//     atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8] ctime_sec[8] ctime_nsec[8] btime_sec[8] btime_nsec[8]
//     gen[8] data_version[8]
struct Rgetattr {
  static constexpr uint8_t kType = 25;
  uint64_t valid = 0;
  Qid qid;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t nlink = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;
  uint64_t blksize = 0;
  uint64_t blocks = 0;
  uint64_t atime_sec = 0;
  uint64_t atime_nsec = 0;
  uint64_t mtime_sec = 0;
  uint64_t mtime_nsec = 0;
  uint64_t ctime_sec = 0;
  uint64_t ctime_nsec = 0;
  uint64_t btime_sec = 0;
  uint64_t btime_nsec = 0;
  uint64_t gen = 0;
  uint64_t data_version = 0;
  static constexpr auto kFields = Fields(
      F<&Rgetattr::valid>{"valid"}, F<&Rgetattr::qid>{"qid"}, F<&Rgetattr::mode>{"mode"}, F<&Rgetattr::uid>{"uid"},
      F<&Rgetattr::gid>{"gid"}, F<&Rgetattr::nlink>{"nlink"}, F<&Rgetattr::rdev>{"rdev"}, F<&Rgetattr::size>{"size"},
      F<&Rgetattr::blksize>{"blksize"}, F<&Rgetattr::blocks>{"blocks"}, F<&Rgetattr::atime_sec>{"atime_sec"},
      F<&Rgetattr::atime_nsec>{"atime_nsec"}, F<&Rgetattr::mtime_sec>{"mtime_sec"},
      F<&Rgetattr::mtime_nsec>{"mtime_nsec"}, F<&Rgetattr::ctime_sec>{"ctime_sec"},
      F<&Rgetattr::ctime_nsec>{"ctime_nsec"}, F<&Rgetattr::btime_sec>{"btime_sec"},
      F<&Rgetattr::btime_nsec>{"btime_nsec"}, F<&Rgetattr::gen>{"gen"}, F<&Rgetattr::data_version>{"data_version"});
};

// size[4] Tgetattr tag[2] fid[4] request_mask[8]
struct Tgetattr {
  static constexpr uint8_t kType = 24;
  using Reply = Rgetattr;
  Fid fid = kNoFid;
  uint64_t request_mask = 0;
  static constexpr auto kFields = Fields(F<&Tgetattr::fid>{"fid"}, F<&Tgetattr::request_mask>{"request_mask"});
};

// Sets what valid (kSetattr*) names and leaves the rest. mode without the type of the file.
//
// size[4] Rsetattr tag[2]
struct Rsetattr {
  static constexpr uint8_t kType = 27;
  static constexpr auto kFields = Fields();
};

// size[4] Tsetattr tag[2] fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8]
//     mtime_nsec[8]
struct Tsetattr {
  static constexpr uint8_t kType = 26;
  using Reply = Rsetattr;
  Fid fid = kNoFid;
  uint32_t valid = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  uint64_t atime_sec = 0;
  uint64_t atime_nsec = 0;
  uint64_t mtime_sec = 0;
  uint64_t mtime_nsec = 0;
  static constexpr auto kFields =
      Fields(F<&Tsetattr::fid>{"fid"}, F<&Tsetattr::valid>{"valid"}, F<&Tsetattr::mode>{"mode"},
             F<&Tsetattr::uid>{"uid"}, F<&Tsetattr::gid>{"gid"}, F<&Tsetattr::size>{"size"},
             F<&Tsetattr::atime_sec>{"atime_sec"}, F<&Tsetattr::atime_nsec>{"atime_nsec"},
             F<&Tsetattr::mtime_sec>{"mtime_sec"}, F<&Tsetattr::mtime_nsec>{"mtime_nsec"});
};

// Makes newfid the value of the extended attribute, or for "" the list of their names, to be read with Tread. size is
// its length in bytes.
//
// size[4] Rxattrwalk tag[2] size[8]
struct Rxattrwalk {
  static constexpr uint8_t kType = 31;
  uint64_t size = 0;
  static constexpr auto kFields = Fields(F<&Rxattrwalk::size>{"size"});
};

// size[4] Txattrwalk tag[2] fid[4] newfid[4] name[s]
struct Txattrwalk {
  static constexpr uint8_t kType = 30;
  using Reply = Rxattrwalk;
  Fid fid = kNoFid;
  Fid newfid = kNoFid;
  std::string_view name;
  static constexpr auto kFields =
      Fields(F<&Txattrwalk::fid>{"fid"}, F<&Txattrwalk::newfid>{"newfid"}, F<&Txattrwalk::name>{"name"});
};

// Makes fid take the value of the extended attribute by Twrite; Tclunk sets it. attr_size in bytes; flags are
// kXattrCreate and kXattrReplace.
//
// size[4] Rxattrcreate tag[2]
struct Rxattrcreate {
  static constexpr uint8_t kType = 33;
  static constexpr auto kFields = Fields();
};

// size[4] Txattrcreate tag[2] fid[4] name[s] attr_size[8] flags[4]
struct Txattrcreate {
  static constexpr uint8_t kType = 32;
  using Reply = Rxattrcreate;
  Fid fid = kNoFid;
  std::string_view name;
  uint64_t attr_size = 0;
  uint32_t flags = 0;
  static constexpr auto kFields = Fields(F<&Txattrcreate::fid>{"fid"}, F<&Txattrcreate::name>{"name"},
                                         F<&Txattrcreate::attr_size>{"attr_size"}, F<&Txattrcreate::flags>{"flags"});
};

// The fields of statfs(2); sizes in blocks of bsize bytes, namelen in bytes.
//
// size[4] Rstatfs tag[2] type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]
struct Rstatfs {
  static constexpr uint8_t kType = 9;
  uint32_t type = 0;
  uint32_t bsize = 0;
  uint64_t blocks = 0;
  uint64_t bfree = 0;
  uint64_t bavail = 0;
  uint64_t files = 0;
  uint64_t ffree = 0;
  uint64_t fsid = 0;
  uint32_t namelen = 0;
  static constexpr auto kFields =
      Fields(F<&Rstatfs::type>{"type"}, F<&Rstatfs::bsize>{"bsize"}, F<&Rstatfs::blocks>{"blocks"},
             F<&Rstatfs::bfree>{"bfree"}, F<&Rstatfs::bavail>{"bavail"}, F<&Rstatfs::files>{"files"},
             F<&Rstatfs::ffree>{"ffree"}, F<&Rstatfs::fsid>{"fsid"}, F<&Rstatfs::namelen>{"namelen"});
};

// size[4] Tstatfs tag[2] fid[4]
struct Tstatfs {
  static constexpr uint8_t kType = 8;
  using Reply = Rstatfs;
  Fid fid = kNoFid;
  static constexpr auto kFields = Fields(F<&Tstatfs::fid>{"fid"});
};

}  // namespace virtfs::p9
