// One example of every message with its bytes, written by hand from the protocol's notation, for tests and benchmarks.
//
// Values are chosen so that no two neighbouring fields hold the same bytes: what is swapped shows.
// Bytes are pairs of hex digits, and text in 'quotes' for itself; blanks part the fields.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "protocol/messages.h"

namespace virtfs::p9 {

inline constexpr Tag kGoldenTag = 0x0201;

// `kMessage` sent with kGoldenTag is `kBytes`. A message without a specialization is an error of compilation.
template <Message M>
struct Golden;

// The bytes that a text in the form above stands for.
inline std::vector<uint8_t> BytesOf(std::string_view text) {
  std::vector<uint8_t> bytes;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    if (text[i] == '\'') {
      while (text[++i] != '\'') bytes.push_back(static_cast<uint8_t>(text[i]));
    } else {
      bytes.push_back(static_cast<uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
      ++i;
    }
  }
  return bytes;
}

template <>
struct Golden<Rlerror> {
  static constexpr Rlerror kMessage = {.ecode = 39};
  static constexpr std::string_view kBytes = "0b 00 00 00  07  01 02   27 00 00 00";
};

template <>
struct Golden<Tversion> {
  static constexpr Tversion kMessage = {.msize = 8192, .version = "9P2000.L"};
  static constexpr std::string_view kBytes = "15 00 00 00  64  01 02   00 20 00 00   08 00 '9P2000.L'";
};

template <>
struct Golden<Rversion> {
  static constexpr Rversion kMessage = {.msize = 4096, .version = "unknown"};
  static constexpr std::string_view kBytes = "14 00 00 00  65  01 02   00 10 00 00   07 00 'unknown'";
};

template <>
struct Golden<Tauth> {
  static constexpr Tauth kMessage = {.afid = 0x0d0c0b0a, .uname = "glenda", .aname = "/srv", .n_uname = 1000};
  static constexpr std::string_view kBytes =
      "1d 00 00 00  66  01 02   0a 0b 0c 0d   06 00 'glenda'   04 00 '/srv'   e8 03 00 00";
};

template <>
struct Golden<Rauth> {
  static constexpr Rauth kMessage = {.aqid = {.type = 0x08, .version = 0x14131211, .path = 0x2827262524232221}};
  static constexpr std::string_view kBytes = "14 00 00 00  67  01 02   08  11 12 13 14  21 22 23 24 25 26 27 28";
};

template <>
struct Golden<Tattach> {
  static constexpr Tattach kMessage = {
      .fid = 0x0d0c0b0a, .afid = kNoFid, .uname = "", .aname = "share", .n_uname = 0x34333231};
  static constexpr std::string_view kBytes =
      "1c 00 00 00  68  01 02   0a 0b 0c 0d   ff ff ff ff   00 00   05 00 'share'   31 32 33 34";
};

template <>
struct Golden<Rattach> {
  static constexpr Rattach kMessage = {.qid = {.type = 0x80, .version = 0x14131211, .path = 0x2827262524232221}};
  static constexpr std::string_view kBytes = "14 00 00 00  69  01 02   80  11 12 13 14  21 22 23 24 25 26 27 28";
};

template <>
struct Golden<Tflush> {
  static constexpr Tflush kMessage = {.oldtag = 0x0403};
  static constexpr std::string_view kBytes = "09 00 00 00  6c  01 02   03 04";
};

template <>
struct Golden<Rflush> {
  static constexpr Rflush kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  6d  01 02";
};

template <>
struct Golden<Twalk> {
  static constexpr Twalk kMessage = {.fid = 0x0d0c0b0a, .newfid = 0x1d1c1b1a, .wname = {"usr", "include", ""}};
  static constexpr std::string_view kBytes =
      "21 00 00 00  6e  01 02   0a 0b 0c 0d   1a 1b 1c 1d   03 00   03 00 'usr'   07 00 'include'   "
      "00 00";
};

template <>
struct Golden<Rwalk> {
  static constexpr Rwalk kMessage = {.wqid = {{.type = 0x80, .version = 0x14131211, .path = 0x2827262524232221},
                                              {.type = 0x02, .version = 0x44434241, .path = 0x5857565554535251}}};
  static constexpr std::string_view kBytes =
      "23 00 00 00  6f  01 02   02 00   80  11 12 13 14  21 22 23 24 25 26 27 28   "
      "02  41 42 43 44  51 52 53 54 55 56 57 58";
};

template <>
struct Golden<Tclunk> {
  static constexpr Tclunk kMessage = {.fid = 0x0d0c0b0a};
  static constexpr std::string_view kBytes = "0b 00 00 00  78  01 02   0a 0b 0c 0d";
};

template <>
struct Golden<Rclunk> {
  static constexpr Rclunk kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  79  01 02";
};

template <>
struct Golden<Tlopen> {
  static constexpr Tlopen kMessage = {.fid = 0x0d0c0b0a, .flags = kOpenLargeFile | kOpenReadWrite};
  static constexpr std::string_view kBytes = "0f 00 00 00  0c  01 02   0a 0b 0c 0d   02 80 00 00";
};

template <>
struct Golden<Rlopen> {
  static constexpr Rlopen kMessage = {.qid = {.type = 0x00, .version = 0x14131211, .path = 0x2827262524232221},
                                      .iounit = 0x34333231};
  static constexpr std::string_view kBytes =
      "18 00 00 00  0d  01 02   00  11 12 13 14  21 22 23 24 25 26 27 28   31 32 33 34";
};

template <>
struct Golden<Tlcreate> {
  static constexpr Tlcreate kMessage = {
      .fid = 0x0d0c0b0a, .name = "new.file", .flags = 0x00008241, .mode = 0100644, .gid = 1000};
  static constexpr std::string_view kBytes =
      "21 00 00 00  0e  01 02   0a 0b 0c 0d   08 00 'new.file'   41 82 00 00   a4 81 00 00   "
      "e8 03 00 00";
};

template <>
struct Golden<Rlcreate> {
  static constexpr Rlcreate kMessage = {.qid = {.type = 0x00, .version = 0x14131211, .path = 0x2827262524232221},
                                        .iounit = 4096};
  static constexpr std::string_view kBytes =
      "18 00 00 00  0f  01 02   00  11 12 13 14  21 22 23 24 25 26 27 28   00 10 00 00";
};

template <>
struct Golden<Tread> {
  static constexpr Tread kMessage = {.fid = 0x0d0c0b0a, .offset = 0x2827262524232221, .count = 0x34333231};
  static constexpr std::string_view kBytes =
      "17 00 00 00  74  01 02   0a 0b 0c 0d   21 22 23 24 25 26 27 28   31 32 33 34";
};

template <>
struct Golden<Rread> {
  static constexpr Rread kMessage = {.count = 5};
  static constexpr std::string_view kBytes = "10 00 00 00  75  01 02   05 00 00 00   'hello'";
};

template <>
struct Golden<Twrite> {
  static constexpr Twrite kMessage = {.fid = 0x0d0c0b0a, .offset = 0x2827262524232221, .count = 6};
  static constexpr std::string_view kBytes =
      "1d 00 00 00  76  01 02   0a 0b 0c 0d   21 22 23 24 25 26 27 28   06 00 00 00   'hello' 0a";
};

template <>
struct Golden<Rwrite> {
  static constexpr Rwrite kMessage = {.count = 0x34333231};
  static constexpr std::string_view kBytes = "0b 00 00 00  77  01 02   31 32 33 34";
};

template <>
struct Golden<Tfsync> {
  static constexpr Tfsync kMessage = {.fid = 0x0d0c0b0a, .datasync = 1};
  static constexpr std::string_view kBytes = "0f 00 00 00  32  01 02   0a 0b 0c 0d   01 00 00 00";
};

template <>
struct Golden<Rfsync> {
  static constexpr Rfsync kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  33  01 02";
};

template <>
struct Golden<Tlock> {
  static constexpr Tlock kMessage = {.fid = 0x0d0c0b0a,
                                     .type = kLockWrite,
                                     .flags = kLockBlock,
                                     .start = 0x2827262524232221,
                                     .length = 0x4847464544434241,
                                     .proc_id = 0x54535251,
                                     .client_id = "guest1"};
  static constexpr std::string_view kBytes =
      "2c 00 00 00  34  01 02   0a 0b 0c 0d   01   01 00 00 00   21 22 23 24 25 26 27 28   "
      "41 42 43 44 45 46 47 48   51 52 53 54   06 00 'guest1'";
};

template <>
struct Golden<Rlock> {
  static constexpr Rlock kMessage = {.status = kLockGrace};
  static constexpr std::string_view kBytes = "08 00 00 00  35  01 02   03";
};

template <>
struct Golden<Tgetlock> {
  static constexpr Tgetlock kMessage = {.fid = 0x0d0c0b0a,
                                        .type = kLockWrite,
                                        .start = 0x2827262524232221,
                                        .length = 0x4847464544434241,
                                        .proc_id = 0x54535251,
                                        .client_id = "guest1"};
  static constexpr std::string_view kBytes =
      "28 00 00 00  36  01 02   0a 0b 0c 0d   01   21 22 23 24 25 26 27 28   41 42 43 44 45 46 47 48   "
      "51 52 53 54   06 00 'guest1'";
};

template <>
struct Golden<Rgetlock> {
  static constexpr Rgetlock kMessage = {.type = kLockUnlock,
                                        .start = 0x2827262524232221,
                                        .length = 0x4847464544434241,
                                        .proc_id = 0x54535251,
                                        .client_id = "guest2"};
  static constexpr std::string_view kBytes =
      "24 00 00 00  37  01 02   02   21 22 23 24 25 26 27 28   41 42 43 44 45 46 47 48   51 52 53 54   "
      "06 00 'guest2'";
};

template <>
struct Golden<Tgetattr> {
  static constexpr Tgetattr kMessage = {.fid = 0x0d0c0b0a, .request_mask = kGetattrAll};
  static constexpr std::string_view kBytes = "13 00 00 00  18  01 02   0a 0b 0c 0d   ff 3f 00 00 00 00 00 00";
};

template <>
struct Golden<Rgetattr> {
  static constexpr Rgetattr kMessage = {.valid = kGetattrBasic,
                                        .qid = {.type = 0x80, .version = 0x14131211, .path = 0x2827262524232221},
                                        .mode = 040755,
                                        .uid = 1000,
                                        .gid = 100,
                                        .nlink = 3,
                                        .rdev = 0x4847464544434241,
                                        .size = 0x5857565554535251,
                                        .blksize = 4096,
                                        .blocks = 0x6867666564636261,
                                        .atime_sec = 0x71,
                                        .atime_nsec = 0x72,
                                        .mtime_sec = 0x73,
                                        .mtime_nsec = 0x74,
                                        .ctime_sec = 0x75,
                                        .ctime_nsec = 0x76,
                                        .btime_sec = 0x77,
                                        .btime_nsec = 0x78,
                                        .gen = 0x79,
                                        .data_version = 0x8877665544332211};
  static constexpr std::string_view kBytes =
      "a0 00 00 00  19  01 02   ff 07 00 00 00 00 00 00   80  11 12 13 14  21 22 23 24 25 26 27 28   "
      "ed 41 00 00   e8 03 00 00   64 00 00 00   03 00 00 00 00 00 00 00   41 42 43 44 45 46 47 48   "
      "51 52 53 54 55 56 57 58   00 10 00 00 00 00 00 00   61 62 63 64 65 66 67 68   "
      "71 00 00 00 00 00 00 00   72 00 00 00 00 00 00 00   73 00 00 00 00 00 00 00   "
      "74 00 00 00 00 00 00 00   75 00 00 00 00 00 00 00   76 00 00 00 00 00 00 00   "
      "77 00 00 00 00 00 00 00   78 00 00 00 00 00 00 00   79 00 00 00 00 00 00 00   "
      "11 22 33 44 55 66 77 88";
};

template <>
struct Golden<Tsetattr> {
  static constexpr Tsetattr kMessage = {.fid = 0x0d0c0b0a,
                                        .valid = kSetattrMode | kSetattrMtimeSet,
                                        .mode = 0100600,
                                        .uid = 1000,
                                        .gid = 100,
                                        .size = 0x5857565554535251,
                                        .atime_sec = 0x71,
                                        .atime_nsec = 0x72,
                                        .mtime_sec = 0x73,
                                        .mtime_nsec = 0x74};
  static constexpr std::string_view kBytes =
      "43 00 00 00  1a  01 02   0a 0b 0c 0d   01 01 00 00   80 81 00 00   e8 03 00 00   64 00 00 00   "
      "51 52 53 54 55 56 57 58   71 00 00 00 00 00 00 00   72 00 00 00 00 00 00 00   "
      "73 00 00 00 00 00 00 00   74 00 00 00 00 00 00 00";
};

template <>
struct Golden<Rsetattr> {
  static constexpr Rsetattr kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  1b  01 02";
};

template <>
struct Golden<Txattrwalk> {
  static constexpr Txattrwalk kMessage = {.fid = 0x0d0c0b0a, .newfid = 0x1d1c1b1a, .name = "user.mime"};
  static constexpr std::string_view kBytes = "1a 00 00 00  1e  01 02   0a 0b 0c 0d   1a 1b 1c 1d   09 00 'user.mime'";
};

template <>
struct Golden<Rxattrwalk> {
  static constexpr Rxattrwalk kMessage = {.size = 0x2827262524232221};
  static constexpr std::string_view kBytes = "0f 00 00 00  1f  01 02   21 22 23 24 25 26 27 28";
};

template <>
struct Golden<Txattrcreate> {
  static constexpr Txattrcreate kMessage = {
      .fid = 0x0d0c0b0a, .name = "user.mime", .attr_size = 0x2827262524232221, .flags = kXattrReplace};
  static constexpr std::string_view kBytes =
      "22 00 00 00  20  01 02   0a 0b 0c 0d   09 00 'user.mime'   21 22 23 24 25 26 27 28   02 00 00 00";
};

template <>
struct Golden<Rxattrcreate> {
  static constexpr Rxattrcreate kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  21  01 02";
};

template <>
struct Golden<Tstatfs> {
  static constexpr Tstatfs kMessage = {.fid = 0x0d0c0b0a};
  static constexpr std::string_view kBytes = "0b 00 00 00  08  01 02   0a 0b 0c 0d";
};

template <>
struct Golden<Rstatfs> {
  static constexpr Rstatfs kMessage = {.type = 0xef53,
                                       .bsize = 4096,
                                       .blocks = 0x51,
                                       .bfree = 0x52,
                                       .bavail = 0x53,
                                       .files = 0x54,
                                       .ffree = 0x55,
                                       .fsid = 0x2827262524232221,
                                       .namelen = 255};
  static constexpr std::string_view kBytes =
      "43 00 00 00  09  01 02   53 ef 00 00   00 10 00 00   51 00 00 00 00 00 00 00   "
      "52 00 00 00 00 00 00 00   53 00 00 00 00 00 00 00   54 00 00 00 00 00 00 00   "
      "55 00 00 00 00 00 00 00   21 22 23 24 25 26 27 28   ff 00 00 00";
};

template <>
struct Golden<Treaddir> {
  static constexpr Treaddir kMessage = {.fid = 0x0d0c0b0a, .offset = 0x2827262524232221, .count = 0x34333231};
  static constexpr std::string_view kBytes =
      "17 00 00 00  28  01 02   0a 0b 0c 0d   21 22 23 24 25 26 27 28   31 32 33 34";
};

template <>
struct Golden<Rreaddir> {
  static constexpr Rreaddir kMessage = {.count = 25};
  static constexpr std::string_view kBytes =
      "24 00 00 00  29  01 02   19 00 00 00   80  11 12 13 14  21 22 23 24 25 26 27 28   "
      "41 42 43 44 45 46 47 48   04   01 00 '.'";
};

template <>
struct Golden<Tmkdir> {
  static constexpr Tmkdir kMessage = {.dfid = 0x0d0c0b0a, .name = "dir", .mode = 040755, .gid = 1000};
  static constexpr std::string_view kBytes =
      "18 00 00 00  48  01 02   0a 0b 0c 0d   03 00 'dir'   ed 41 00 00   e8 03 00 00";
};

template <>
struct Golden<Rmkdir> {
  static constexpr Rmkdir kMessage = {.qid = {.type = 0x80, .version = 0x14131211, .path = 0x2827262524232221}};
  static constexpr std::string_view kBytes = "14 00 00 00  49  01 02   80  11 12 13 14  21 22 23 24 25 26 27 28";
};

template <>
struct Golden<Tsymlink> {
  static constexpr Tsymlink kMessage = {.fid = 0x0d0c0b0a, .name = "link", .symtgt = "../x", .gid = 1000};
  static constexpr std::string_view kBytes =
      "1b 00 00 00  10  01 02   0a 0b 0c 0d   04 00 'link'   04 00 '../x'   e8 03 00 00";
};

template <>
struct Golden<Rsymlink> {
  static constexpr Rsymlink kMessage = {.qid = {.type = 0x02, .version = 0x14131211, .path = 0x2827262524232221}};
  static constexpr std::string_view kBytes = "14 00 00 00  11  01 02   02  11 12 13 14  21 22 23 24 25 26 27 28";
};

template <>
struct Golden<Treadlink> {
  static constexpr Treadlink kMessage = {.fid = 0x0d0c0b0a};
  static constexpr std::string_view kBytes = "0b 00 00 00  16  01 02   0a 0b 0c 0d";
};

template <>
struct Golden<Rreadlink> {
  static constexpr Rreadlink kMessage = {.target = "/etc/motd"};
  static constexpr std::string_view kBytes = "12 00 00 00  17  01 02   09 00 '/etc/motd'";
};

template <>
struct Golden<Tmknod> {
  static constexpr Tmknod kMessage = {
      .dfid = 0x0d0c0b0a, .name = "null", .mode = 020666, .major = 1, .minor = 3, .gid = 1000};
  static constexpr std::string_view kBytes =
      "21 00 00 00  12  01 02   0a 0b 0c 0d   04 00 'null'   b6 21 00 00   01 00 00 00   03 00 00 00   "
      "e8 03 00 00";
};

template <>
struct Golden<Rmknod> {
  static constexpr Rmknod kMessage = {.qid = {.type = 0x00, .version = 0x14131211, .path = 0x2827262524232221}};
  static constexpr std::string_view kBytes = "14 00 00 00  13  01 02   00  11 12 13 14  21 22 23 24 25 26 27 28";
};

template <>
struct Golden<Tlink> {
  static constexpr Tlink kMessage = {.dfid = 0x0d0c0b0a, .fid = 0x1d1c1b1a, .name = "hard"};
  static constexpr std::string_view kBytes = "15 00 00 00  46  01 02   0a 0b 0c 0d   1a 1b 1c 1d   04 00 'hard'";
};

template <>
struct Golden<Rlink> {
  static constexpr Rlink kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  47  01 02";
};

template <>
struct Golden<Trename> {
  static constexpr Trename kMessage = {.fid = 0x0d0c0b0a, .dfid = 0x1d1c1b1a, .name = "new"};
  static constexpr std::string_view kBytes = "14 00 00 00  14  01 02   0a 0b 0c 0d   1a 1b 1c 1d   03 00 'new'";
};

template <>
struct Golden<Rrename> {
  static constexpr Rrename kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  15  01 02";
};

template <>
struct Golden<Trenameat> {
  static constexpr Trenameat kMessage = {
      .olddirfid = 0x0d0c0b0a, .oldname = "a", .newdirfid = 0x1d1c1b1a, .newname = "bb"};
  static constexpr std::string_view kBytes =
      "16 00 00 00  4a  01 02   0a 0b 0c 0d   01 00 'a'   1a 1b 1c 1d   02 00 'bb'";
};

template <>
struct Golden<Rrenameat> {
  static constexpr Rrenameat kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  4b  01 02";
};

template <>
struct Golden<Tunlinkat> {
  static constexpr Tunlinkat kMessage = {.dirfd = 0x0d0c0b0a, .name = "old", .flags = kUnlinkRemoveDirectory};
  static constexpr std::string_view kBytes = "14 00 00 00  4c  01 02   0a 0b 0c 0d   03 00 'old'   00 02 00 00";
};

template <>
struct Golden<Runlinkat> {
  static constexpr Runlinkat kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  4d  01 02";
};

template <>
struct Golden<Tremove> {
  static constexpr Tremove kMessage = {.fid = 0x0d0c0b0a};
  static constexpr std::string_view kBytes = "0b 00 00 00  7a  01 02   0a 0b 0c 0d";
};

template <>
struct Golden<Rremove> {
  static constexpr Rremove kMessage = {};
  static constexpr std::string_view kBytes = "07 00 00 00  7b  01 02";
};

}  // namespace virtfs::p9
