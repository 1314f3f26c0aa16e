// Points 14 to 17: extended attributes and locks.

#include <fcntl.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/semantics/fixture.h"

namespace virtfs {
namespace {

// --- 14: Txattrwalk ---

class Xattrs : public SemanticsTest {
 protected:
  // The fid of an attribute's value, or of the list of names; its size in *size.
  p9::Fid Walk(p9::Fid file, const std::string& name, uint64_t* size = nullptr) {
    const p9::Fid fid = NewFid();
    const Result<p9::Rxattrwalk> reply = wire()(p9::Txattrwalk{file, fid, name});
    EXPECT_EQ(ErrorOf(reply), 0) << name;
    if (size != nullptr && reply.ok()) *size = reply->size;
    return fid;
  }
  std::string Get(p9::Fid file, const std::string& name) { return Read(Walk(file, name)); }
  int GetError(p9::Fid file, const std::string& name) { return ErrorOf(wire()(p9::Txattrwalk{file, NewFid(), name})); }
  // Txattrcreate, Twrite of `value` and Tclunk: the first error.
  int Set(p9::Fid file, const std::string& name, const std::string& value, uint32_t flags = 0) {
    const p9::Fid fid = At(file, {});
    if (const int error = ErrorOf(wire()(p9::Txattrcreate{fid, name, value.size(), flags})); error != 0) {
      EXPECT_EQ(ClunkError(fid), 0);
      return error;
    }
    if (!value.empty()) {
      EXPECT_EQ(WriteError(fid, 0, value), 0) << name;
    }
    const int error = ClunkError(fid);
    EXPECT_EQ(ClunkError(fid), EBADF) << "freed, whatever the error was";
    return error;
  }
  std::set<std::string> ListOf(p9::Fid file) {
    const std::string names = Get(file, "");
    std::set<std::string> result;
    for (size_t at = 0; at < names.size();) {
      const size_t end = names.find('\0', at);
      EXPECT_NE(end, std::string::npos) << "not NUL-terminated";
      if (end == std::string::npos) break;
      result.insert(names.substr(at, end - at));
      at = end + 1;
    }
    return result;
  }
};
class ReadingXattrs : public Xattrs {};
class ChangingXattrs : public Xattrs {};
INSTANTIATE_TEST_SUITE_P(Models, ReadingXattrs, testing::ValuesIn(AllModels()), NameOfModel);
INSTANTIATE_TEST_SUITE_P(Models, ChangingXattrs, testing::ValuesIn(WritableModels()), NameOfModel);

TEST_P(ReadingXattrs, P14_WhatIsNotThereHasNoFid) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  const p9::Fid fid = NewFid();
  EXPECT_EQ(ErrorOf(wire()(p9::Txattrwalk{file, fid, "user.missing"})), ENODATA);
  EXPECT_EQ(StatError(fid), EBADF);
  EXPECT_EQ(ErrorOf(wire()(p9::Txattrwalk{file, fid, "strange.namespace"})), EOPNOTSUPP);
  EXPECT_EQ(StatError(fid), EBADF);
  EXPECT_EQ(ErrorOf(wire()(p9::Txattrwalk{4711, fid, "user.x"})), EBADF);
}

TEST_P(ReadingXattrs, P14_ANewFidInUseIsRefused) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  EXPECT_THAT(ErrorOf(wire()(p9::Txattrwalk{file, dir_, ""})), testing::AnyOf(EBADF, EINVAL));
  EXPECT_THAT(ErrorOf(wire()(p9::Txattrwalk{file, file, ""})), testing::AnyOf(EBADF, EINVAL));
  EXPECT_NE(ErrorOf(wire()(p9::Txattrwalk{file, p9::kNoFid, ""})), 0);
  EXPECT_EQ(StatError(dir_), 0);
  EXPECT_EQ(StatError(file), 0);
}

TEST_P(ReadingXattrs, P14_AnEmptyListIsAList) {
  MakeFile("f");
  uint64_t size = 99;
  const p9::Fid list = Walk(At({"f"}), "", &size);
  EXPECT_EQ(Read(list).size(), size);
  EXPECT_EQ(ClunkError(list), 0);
}

TEST_P(ChangingXattrs, P14_ValuesAndListsAreRead) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  const std::string value("a\0b\xff", 4);
  ASSERT_EQ(Set(file, "user.one", value), 0);
  ASSERT_EQ(Set(file, "user.two", std::string(3000, 'x')), 0);
  uint64_t size = 0;
  const p9::Fid one = Walk(file, "user.one", &size);
  EXPECT_EQ(size, 4u);
  EXPECT_EQ(Read(one), value);
  EXPECT_EQ(Read(one, 1, 2), value.substr(1, 2));
  EXPECT_EQ(Read(one, 4), "");
  EXPECT_EQ(Read(one, 1000), "");
  EXPECT_NE(WriteError(one, 0, "x"), 0) << "to be read only";
  EXPECT_EQ(Get(file, "user.two"), std::string(3000, 'x'));
  const std::set<std::string> names = ListOf(file);
  EXPECT_TRUE(names.contains("user.one") && names.contains("user.two"));
  for (const std::string& name : names) EXPECT_FALSE(name.starts_with("user.virtfs")) << "the model's own";
}

// --- 15: Txattrcreate ---

TEST_P(ChangingXattrs, P15_FlagsAndSizeZero) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  EXPECT_EQ(Set(file, "user.x", "new", p9::kXattrReplace), ENODATA);
  EXPECT_EQ(Set(file, "user.x", "new", p9::kXattrCreate), 0);
  EXPECT_EQ(Set(file, "user.x", "again", p9::kXattrCreate), EEXIST);
  EXPECT_EQ(Get(file, "user.x"), "new");
  EXPECT_EQ(Set(file, "user.x", "replaced", p9::kXattrReplace), 0);
  EXPECT_EQ(Get(file, "user.x"), "replaced");
  EXPECT_EQ(Set(file, "user.x", ""), 0) << "removes";
  EXPECT_EQ(GetError(file, "user.x"), ENODATA);
  EXPECT_NE(Set(file, "strange.namespace", "x"), 0);
}

TEST_P(ChangingXattrs, P15_ShortAtClunkChangesNothing) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  ASSERT_EQ(Set(file, "user.x", "old"), 0);
  const p9::Fid fid = At(file, {});
  ASSERT_EQ(ErrorOf(wire()(p9::Txattrcreate{fid, "user.x", 10, 0})), 0);
  EXPECT_EQ(WriteError(fid, 0, "short"), 0);
  EXPECT_EQ(Get(file, "user.x"), "old") << "not before the clunk";
  EXPECT_EQ(ClunkError(fid), EINVAL);
  EXPECT_EQ(ClunkError(fid), EBADF);
  EXPECT_EQ(Get(file, "user.x"), "old");
}

TEST_P(ChangingXattrs, P15_OverrunsAreRefused) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  const p9::Fid fid = At(file, {});
  ASSERT_EQ(ErrorOf(wire()(p9::Txattrcreate{fid, "user.x", 4, 0})), 0);
  EXPECT_THAT(WriteError(fid, 0, "12345"), testing::AnyOf(EINVAL, ENOSPC));
  EXPECT_THAT(WriteError(fid, 3, "12"), testing::AnyOf(EINVAL, ENOSPC));
  EXPECT_EQ(WriteError(fid, 0, "12"), 0);
  EXPECT_EQ(WriteError(fid, 2, "34"), 0);
  EXPECT_THAT(WriteError(fid, 4, "5"), testing::AnyOf(EINVAL, ENOSPC));
  EXPECT_EQ(ClunkError(fid), 0);
  EXPECT_EQ(Get(file, "user.x"), "1234");
  // Larger than Linux has them, or than anybody has memory.
  for (const uint64_t size : {uint64_t{65'537}, uint64_t{1} << 40, ~uint64_t{0}}) {
    EXPECT_NE(ErrorOf(wire()(p9::Txattrcreate{At(file, {}), "user.y", size, 0})), 0) << size;
  }
}

TEST_P(ChangingXattrs, P15_OfDirectoriesAndOpenUnlinkedFiles) {
  MakeDirectory("d");
  EXPECT_EQ(Set(At({"d"}), "user.x", "of a directory"), 0);
  EXPECT_EQ(Get(At({"d"}), "user.x"), "of a directory");
  MakeFile("f");
  const p9::Fid file = OpenAt("f", p9::kOpenReadWrite);
  const p9::Fid other = At({"f"});
  ASSERT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, "f", 0})), 0);
  const p9::Fid fid = At(other, {});
  ASSERT_EQ(ErrorOf(wire()(p9::Txattrcreate{fid, "user.x", 1, 0})), 0);
  EXPECT_EQ(WriteError(fid, 0, "v"), 0);
  EXPECT_EQ(ClunkError(fid), 0);
  EXPECT_EQ(Get(file, "user.x"), "v");
}

TEST_P(ChangingXattrs, P15_PosixAccessControlListsPass) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  // Version 2; user::rw-, user:1000:r--, group::r--, mask::r--, other::---
  const std::string acl(
      "\2\0\0\0\1\0\6\0\xff\xff\xff\xff\2\0\4\0\xe8\3\0\0\4\0\4\0\xff\xff\xff\xff"
      "\x10\0\4\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff",
      44);
  if (!GetParam().has_acls) {
    EXPECT_EQ(Set(file, "system.posix_acl_access", acl), EOPNOTSUPP);
    EXPECT_NE(GetError(file, "system.posix_acl_access"), 0);
    return;
  }
  ASSERT_EQ(Set(file, "system.posix_acl_access", acl), 0);
  EXPECT_EQ(Get(file, "system.posix_acl_access"), acl);
  EXPECT_TRUE(ListOf(file).contains("system.posix_acl_access"));
}

// --- 16: Tlock ---

class Locks : public SemanticsTest {
 protected:
  uint8_t Lock(p9::Fid file, uint8_t type, uint64_t start, uint64_t length, uint32_t proc_id,
               const std::string& client = "one", uint32_t flags = 0) {
    const Result<p9::Rlock> reply = wire()(p9::Tlock{file, type, flags, start, length, proc_id, client});
    EXPECT_EQ(ErrorOf(reply), 0);
    return reply.ok() ? reply->status : 0xff;
  }
  // Tgetlock; its client_id in *client.
  p9::Rgetlock Ask(p9::Fid file, uint8_t type, uint64_t start, uint64_t length, uint32_t proc_id,
                   std::string* client = nullptr) {
    const Result<p9::Rgetlock> reply = wire()(p9::Tgetlock{file, type, start, length, proc_id, "one"});
    EXPECT_EQ(ErrorOf(reply), 0);
    if (!reply.ok()) return {};
    if (client != nullptr) *client = reply->client_id;
    p9::Rgetlock result = *reply;
    result.client_id = "";
    return result;
  }
  bool HostCanLock(const std::string& name, int type, off_t start, off_t length) {
    const UniqueFd fd(open(Host(name).c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock = {};
    lock.l_type = static_cast<short>(type);
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(fd.get(), F_OFD_SETLK, &lock) == 0;
  }
};
class ReadingLocks : public Locks {};
class ChangingLocks : public Locks {};
INSTANTIATE_TEST_SUITE_P(Models, ReadingLocks, testing::ValuesIn(AllModels()), NameOfModel);
INSTANTIATE_TEST_SUITE_P(Models, ChangingLocks, testing::ValuesIn(WritableModels()), NameOfModel);

TEST_P(ChangingLocks, P16_ProcessesAndClientsConflict) {
  MakeFile("f", "text");
  const p9::Fid a = OpenAt("f", p9::kOpenReadWrite), b = OpenAt("f", p9::kOpenReadWrite);
  EXPECT_EQ(Lock(a, p9::kLockWrite, 10, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(Lock(b, p9::kLockWrite, 15, 1, 2), p9::kLockBlocked) << "another process";
  EXPECT_EQ(Lock(b, p9::kLockRead, 15, 1, 1, "two"), p9::kLockBlocked) << "another client";
  EXPECT_EQ(Lock(b, p9::kLockWrite, 15, 1, 2, "one", p9::kLockBlock), p9::kLockBlocked) << "it tries again itself";
  EXPECT_EQ(Lock(b, p9::kLockWrite, 20, 1, 2), p9::kLockSuccess) << "beside it";
  EXPECT_EQ(Lock(b, p9::kLockWrite, 15, 1, 1), p9::kLockSuccess) << "its own";
  EXPECT_EQ(Lock(a, p9::kLockUnlock, 10, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(Lock(b, p9::kLockWrite, 10, 10, 2), p9::kLockSuccess);
}

TEST_P(ReadingLocks, P16_ReadLocksShare) {
  MakeFile("f", "text");
  const p9::Fid a = OpenAt("f", p9::kOpenReadOnly), b = OpenAt("f", p9::kOpenReadOnly);
  EXPECT_EQ(Lock(a, p9::kLockRead, 0, 10, 1), p9::kLockSuccess);
  EXPECT_EQ(Lock(b, p9::kLockRead, 0, 10, 2), p9::kLockSuccess);
  EXPECT_FALSE(HostCanLock("f", F_WRLCK, 0, 10)) << "the host sees it";
  EXPECT_TRUE(HostCanLock("f", F_RDLCK, 0, 10));
  EXPECT_EQ(ErrorOf(wire()(p9::Tlock{a, 3, 0, 0, 0, 1, "one"})), EINVAL) << "no type";
  EXPECT_EQ(ErrorOf(wire()(p9::Tlock{At({"f"}), p9::kLockRead, 0, 0, 0, 1, "one"})), EBADF) << "not open";
}

TEST_P(ChangingLocks, P16_LengthZeroReachesTheEnd) {
  MakeFile("f", "text");
  const p9::Fid a = OpenAt("f", p9::kOpenReadWrite), b = OpenAt("f", p9::kOpenReadWrite);
  EXPECT_EQ(Lock(a, p9::kLockWrite, 100, 0, 1), p9::kLockSuccess);
  EXPECT_EQ(Lock(b, p9::kLockRead, uint64_t{1} << 62, 1, 2), p9::kLockBlocked);
  EXPECT_EQ(Lock(b, p9::kLockRead, 99, 1, 2), p9::kLockSuccess);
  EXPECT_EQ(Lock(b, p9::kLockRead, 99, 2, 2), p9::kLockBlocked);
}

TEST_P(ChangingLocks, P16_TheHostsProcessesConflict) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadWrite);
  EXPECT_EQ(Lock(file, p9::kLockWrite, 0, 10, 1), p9::kLockSuccess);
  EXPECT_FALSE(HostCanLock("f", F_RDLCK, 5, 1));
  EXPECT_TRUE(HostCanLock("f", F_WRLCK, 10, 1));
  const UniqueFd fd(open(Host("f").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_start = 50;
  lock.l_len = 10;
  ASSERT_EQ(fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(Lock(file, p9::kLockWrite, 55, 1, 1), p9::kLockBlocked);
  EXPECT_EQ(Ask(file, p9::kLockWrite, 55, 1, 1).type, p9::kLockWrite);
  EXPECT_EQ(Ask(file, p9::kLockWrite, 55, 1, 1).start, 50u);
}

TEST_P(ChangingLocks, P16_ReleasedByClunkAndByTheSessionsEnd) {
  MakeFile("f", "text");
  p9::Fid a = OpenAt("f", p9::kOpenReadWrite);
  const p9::Fid b = OpenAt("f", p9::kOpenReadWrite);
  ASSERT_EQ(Lock(a, p9::kLockWrite, 0, 0, 1), p9::kLockSuccess);
  ASSERT_EQ(Lock(b, p9::kLockWrite, 0, 0, 2), p9::kLockBlocked);
  ASSERT_EQ(ClunkError(a), 0);
  ASSERT_EQ(Lock(b, p9::kLockWrite, 0, 0, 2), p9::kLockSuccess);
  ASSERT_FALSE(HostCanLock("f", F_RDLCK, 0, 1));
  Begin();
  EXPECT_TRUE(HostCanLock("f", F_WRLCK, 0, 0));
  a = OpenAt("f", p9::kOpenReadWrite);
  EXPECT_EQ(Lock(a, p9::kLockWrite, 0, 0, 3), p9::kLockSuccess);
}

// --- 17: Tgetlock ---

TEST_P(ReadingLocks, P17_FreeIsUnlockWithTheFieldsEchoed) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  std::string client;
  EXPECT_EQ(Ask(file, p9::kLockRead, 11, 12, 13, &client),
            (p9::Rgetlock{.type = p9::kLockUnlock, .start = 11, .length = 12, .proc_id = 13, .client_id = ""}));
  EXPECT_EQ(client, "one");
}

TEST_P(ChangingLocks, P17_TheHolderIsNamed) {
  MakeFile("f", "text");
  const p9::Fid a = OpenAt("f", p9::kOpenReadWrite), b = OpenAt("f", p9::kOpenReadWrite);
  ASSERT_EQ(Lock(a, p9::kLockRead, 100, 50, 42, "the other"), p9::kLockSuccess);
  std::string client;
  EXPECT_EQ(Ask(b, p9::kLockWrite, 120, 1, 1, &client),
            (p9::Rgetlock{.type = p9::kLockRead, .start = 100, .length = 50, .proc_id = 42, .client_id = ""}));
  EXPECT_EQ(client, "the other");
  EXPECT_EQ(Ask(b, p9::kLockRead, 120, 1, 1).type, p9::kLockUnlock) << "read locks share";
}

}  // namespace
}  // namespace virtfs
