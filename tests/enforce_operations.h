// What a user can do to a file and its directory: by system calls of a process, and by 9P.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "frontend/p9_client.h"
#include "tests/enforce_scenes.h"

namespace virtfs::enforce {

using frontend::P9Client;
using frontend::RemoteFid;

// The share as one user has it.
struct Guest {
  P9Client& client;
  p9::Fid root;

  template <typename T>
  static int ErrorOf(const Result<T>& result) {
    return result.ok() ? 0 : result.error().value();
  }
  // Walks to `names`, one by one (of a walk that ends on its way the error is not told), and gives the fid to `then`.
  int At(const std::vector<std::string_view>& names, const std::function<int(p9::Fid)>& then) const {
    RemoteFid at;
    for (const std::string_view name : names) {
      Result<RemoteFid> next = client.Walk(at.get() == p9::kNoFid ? root : at.get(), {&name, 1});
      if (!next.ok()) return next.error().value();
      at = *std::move(next);
    }
    return then(at.get());
  }
  template <p9::Request T>
  int Ask(const T& request) const {
    return ErrorOf(client.Call(request));
  }
  int Write(p9::Fid fid) const {
    const uint8_t byte = 'x';
    return ErrorOf(client.Call(p9::Twrite{.fid = fid, .offset = 0, .count = 1}, {&byte, 1}));
  }
};

inline int Failed(int64_t result) { return result < 0 ? errno : 0; }

// The same thing by a process in the twin (its working directory) and by 9P; both return an errno.
struct Operation {
  const char* name;
  std::function<int(const std::string& dir)> local;
  std::function<int(const Guest& guest, std::string_view dir)> remote;
};

inline int OpenAndWrite(const std::string& path, int flags, bool write_a_byte) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (fd < 0) return errno;
  const int result = write_a_byte ? Failed(pwrite(fd, "x", 1, 0)) : 0;
  close(fd);
  return result;
}

inline Operation OpenFile(const char* name, int flags, bool write_a_byte) {
  return {name, [=](const std::string& dir) { return OpenAndWrite(dir + "/file", flags, write_a_byte); },
          [=](const Guest& guest, std::string_view dir) {
            return guest.At({dir, "file"}, [&](p9::Fid fid) {
              const int opened = guest.Ask(p9::Tlopen{.fid = fid, .flags = static_cast<uint32_t>(flags)});
              return opened == 0 && write_a_byte ? guest.Write(fid) : opened;
            });
          }};
}

inline Operation SetAttributes(const char* name, const char* entry, const p9::Tsetattr& request,
                               std::function<int(const char* path)> local) {
  return {name, [=](const std::string& dir) { return local((dir + "/" + entry).c_str()); },
          [=](const Guest& guest, std::string_view dir) {
            return guest.At({dir, entry}, [&](p9::Fid fid) {
              p9::Tsetattr with_fid = request;
              with_fid.fid = fid;
              return guest.Ask(with_fid);
            });
          }};
}

// Done in the directory itself.
template <typename Request>
Operation InDirectory(const char* name, std::function<int(const std::string& dir)> local, Request request) {
  return {name, std::move(local), [=](const Guest& guest, std::string_view dir) {
            return guest.At({dir}, [&](p9::Fid fid) { return request(guest, fid); });
          }};
}

inline std::vector<Operation> Operations() {
  const timespec set[2] = {{1000, 0}, {2000, 0}};
  const auto at = [](const std::string& dir, const char* name) { return dir + "/" + name; };
  return {
      {"look at the file",
       [=](const std::string& dir) {
         struct stat stat;
         return Failed(lstat(at(dir, "file").c_str(), &stat));
       },
       [](const Guest& guest, std::string_view dir) {
         return guest.At({dir, "file"},
                         [&](p9::Fid fid) { return guest.Ask(p9::Tgetattr{.fid = fid, .request_mask = 0x7ff}); });
       }},
      OpenFile("open for reading", O_RDONLY, false),
      OpenFile("open for writing", O_WRONLY, false),
      OpenFile("write", O_RDWR, true),
      OpenFile("truncate by opening", O_WRONLY | O_TRUNC, false),
      InDirectory(
          "list", [](const std::string& dir) { return OpenAndWrite(dir, O_RDONLY | O_DIRECTORY, false); },
          [](const Guest& guest, p9::Fid fid) { return guest.Ask(p9::Tlopen{.fid = fid, .flags = O_DIRECTORY}); }),
      InDirectory(
          "create",
          [=](const std::string& dir) { return OpenAndWrite(at(dir, "new"), O_CREAT | O_EXCL | O_RDWR, true); },
          [](const Guest& guest, p9::Fid fid) {
            // 0: a group that only root is in. Others get their primary one.
            const int made = guest.Ask(
                p9::Tlcreate{.fid = fid, .name = "new", .flags = O_CREAT | O_EXCL | O_RDWR, .mode = 0666, .gid = 0});
            return made == 0 ? guest.Write(fid) : made;
          }),
      InDirectory(
          "make a directory", [=](const std::string& dir) { return Failed(mkdir(at(dir, "new").c_str(), 02777)); },
          [](const Guest& guest, p9::Fid fid) {
            return guest.Ask(p9::Tmkdir{.dfid = fid, .name = "new", .mode = 02777, .gid = 0});
          }),
      InDirectory(
          "make a symlink", [=](const std::string& dir) { return Failed(symlink("to", at(dir, "new").c_str())); },
          [](const Guest& guest, p9::Fid fid) {
            return guest.Ask(p9::Tsymlink{.fid = fid, .name = "new", .symtgt = "to", .gid = 0});
          }),
      InDirectory(
          "make a FIFO",
          [=](const std::string& dir) { return Failed(mknod(at(dir, "new").c_str(), S_IFIFO | 0622, 0)); },
          [](const Guest& guest, p9::Fid fid) {
            return guest.Ask(p9::Tmknod{.dfid = fid, .name = "new", .mode = S_IFIFO | 0622, .gid = 0});
          }),
      InDirectory(
          "make a device",
          [=](const std::string& dir) { return Failed(mknod(at(dir, "new").c_str(), S_IFCHR | 0666, makedev(1, 3))); },
          [](const Guest& guest, p9::Fid fid) {
            return guest.Ask(
                p9::Tmknod{.dfid = fid, .name = "new", .mode = S_IFCHR | 0666, .major = 1, .minor = 3, .gid = 0});
          }),
      {"link", [=](const std::string& dir) { return Failed(link(at(dir, "file").c_str(), at(dir, "new").c_str())); },
       [](const Guest& guest, std::string_view dir) {
         return guest.At({dir, "file"}, [&](p9::Fid file) {
           return guest.At({dir},
                           [&](p9::Fid to) { return guest.Ask(p9::Tlink{.dfid = to, .fid = file, .name = "new"}); });
         });
       }},
      InDirectory(
          "rename",
          [=](const std::string& dir) { return Failed(rename(at(dir, "file").c_str(), at(dir, "new").c_str())); },
          [](const Guest& guest, p9::Fid fid) {
            return guest.Ask(p9::Trenameat{.olddirfid = fid, .oldname = "file", .newdirfid = fid, .newname = "new"});
          }),
      InDirectory(
          "unlink", [=](const std::string& dir) { return Failed(unlink(at(dir, "file").c_str())); },
          [](const Guest& guest, p9::Fid fid) { return guest.Ask(p9::Tunlinkat{.dirfd = fid, .name = "file"}); }),
      InDirectory(
          "remove a directory", [=](const std::string& dir) { return Failed(rmdir(at(dir, "sub").c_str())); },
          [](const Guest& guest, p9::Fid fid) {
            return guest.Ask(p9::Tunlinkat{.dirfd = fid, .name = "sub", .flags = AT_REMOVEDIR});
          }),
      {"remove", [=](const std::string& dir) { return Failed(unlink(at(dir, "file").c_str())); },
       [](const Guest& guest, std::string_view dir) {
         return guest.At({dir, "file"}, [&](p9::Fid fid) { return guest.Ask(p9::Tremove{.fid = fid}); });
       }},
      SetAttributes("chmod", "file", {.valid = p9::kSetattrMode, .mode = 06751},
                    [](const char* path) { return Failed(chmod(path, 06751)); }),
      SetAttributes("chmod of a directory", "sub", {.valid = p9::kSetattrMode, .mode = 02750},
                    [](const char* path) { return Failed(chmod(path, 02750)); }),
      SetAttributes("give away", "file", {.valid = p9::kSetattrUid, .uid = kBob},
                    [](const char* path) { return Failed(chown(path, kBob, -1)); }),
      SetAttributes("to another group", "file", {.valid = p9::kSetattrGid, .gid = kProject},
                    [](const char* path) { return Failed(chown(path, -1, kProject)); }),
      SetAttributes("times: now", "file", {.valid = p9::kSetattrAtime | p9::kSetattrMtime},
                    [](const char* path) { return Failed(utimensat(AT_FDCWD, path, nullptr, 0)); }),
      SetAttributes("times: set", "file",
                    {.valid = p9::kSetattrAtime | p9::kSetattrAtimeSet | p9::kSetattrMtime | p9::kSetattrMtimeSet,
                     .atime_sec = 1000,
                     .mtime_sec = 2000},
                    [=](const char* path) { return Failed(utimensat(AT_FDCWD, path, set, 0)); }),
      SetAttributes("truncate", "file", {.valid = p9::kSetattrSize, .size = 1},
                    [](const char* path) { return Failed(truncate(path, 1)); }),
  };
}

}  // namespace virtfs::enforce
