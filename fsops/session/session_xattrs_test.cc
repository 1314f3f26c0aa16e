// Txattrwalk and Txattrcreate: attributes that are read and written by fids.

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <optional>
#include <string>
#include <string_view>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

using namespace std::string_literals;

class SessionXattrsTest : public SessionTest {
 protected:
  // Fid 1: the file. Attributes are of the trusted kind, which every file system here has.
  explicit SessionXattrsTest(const SessionOptions& options = {}, const host::ExportOptions& export_options = {})
      : SessionTest(options, export_options) {
    MakeFile("file", "text");
    EXPECT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  }

  int XattrWalk(p9::Fid fid, p9::Fid newfid, std::string_view name) {
    return Error(client_(p9::Txattrwalk{.fid = fid, .newfid = newfid, .name = name}));
  }
  int XattrCreate(p9::Fid fid, std::string_view name, uint64_t size, uint32_t flags = 0) {
    return Error(client_(p9::Txattrcreate{.fid = fid, .name = name, .attr_size = size, .flags = flags}));
  }
  // By fid 20, as Linux does: a clone of fid 1 that becomes the attribute. The first error there is.
  int Set(std::string_view name, std::string_view value, uint32_t flags = 0) {
    EXPECT_TRUE(client_.Walk(1, 20, {}).ok());
    int error = XattrCreate(20, name, value.size(), flags);
    if (error == 0 && !value.empty()) error = Error(client_.Write(20, 0, value));
    const int clunked = Error(client_.Clunk(20));
    EXPECT_EQ(Error(client_.Clunk(20)), EBADF) << "freed whatever came of it";
    return error != 0 ? error : clunked;
  }
  // The whole of it by fid 21.
  Result<std::string> Get(std::string_view name) {
    const auto found = client_(p9::Txattrwalk{.fid = 1, .newfid = 21, .name = name});
    if (!found.ok()) return found.error();
    Result<std::string> value = client_.Read(21, 0, 60000);
    EXPECT_EQ(value->size(), found->size);
    EXPECT_TRUE(client_.Clunk(21).ok());
    return value;
  }

  std::optional<std::string> HostXattr(const std::string& name, const std::string& file = "file") const {
    char value[65536];
    const ssize_t size = lgetxattr(Host(file).c_str(), name.c_str(), value, sizeof(value));
    if (size < 0) return std::nullopt;
    return std::string(value, static_cast<size_t>(size));
  }
  void SetHostXattr(const std::string& name, std::string_view value) const {
    ASSERT_EQ(lsetxattr(Host("file").c_str(), name.c_str(), value.data(), value.size(), 0), 0);
  }
};

class Case14Xattrwalk : public SessionXattrsTest {};
class Case15Xattrcreate : public SessionXattrsTest {};

TEST_F(Case14Xattrwalk, ReadsAValueAndTheNames) {
  SetHostXattr("trusted.one", "first\0value"s);
  SetHostXattr("trusted.two", "");
  EXPECT_EQ(*Get("trusted.one"), "first\0value"s);
  EXPECT_EQ(*Get("trusted.two"), "");
  const std::string names = *Get("");
  EXPECT_TRUE(names == "trusted.one\0trusted.two\0"s || names == "trusted.two\0trusted.one\0"s);
}

TEST_F(Case14Xattrwalk, ReadsInPieces) {
  SetHostXattr("trusted.x", "0123456789");
  ASSERT_EQ(XattrWalk(1, 2, "trusted.x"), 0);
  EXPECT_EQ(*client_.Read(2, 0, 4), "0123");
  EXPECT_EQ(*client_.Read(2, 7, 100), "789");
  EXPECT_EQ(*client_.Read(2, 10, 100), "");
  EXPECT_EQ(*client_.Read(2, UINT64_MAX, 100), "");
  client_.capacity = 14;
  EXPECT_EQ(*client_.Read(2, 2, 100), "234") << "what there is room for";
  client_.capacity = TestCall::kMsize;
  SetHostXattr("trusted.x", "other");
  EXPECT_EQ(*client_.Read(2, 0, 100), "0123456789") << "what it was at the walk";
}

TEST_F(Case14Xattrwalk, ErrorsMakeNoFid) {
  EXPECT_EQ(XattrWalk(1, 2, "trusted.none"), ENODATA);
  EXPECT_EQ(XattrWalk(1, 2, "no-such-kind.x"), EOPNOTSUPP);
  EXPECT_EQ(XattrWalk(1, 2, std::string(256, 'n')), ERANGE);
  EXPECT_EQ(XattrWalk(1, 2, "trusted.\0x"s), EINVAL);
  EXPECT_EQ(XattrWalk(9, 2, ""), EBADF);
  EXPECT_EQ(Error(client_.Clunk(2)), EBADF);
  SetHostXattr("trusted.x", "value");
  EXPECT_EQ(XattrWalk(1, 1, "trusted.x"), EBADF) << "equal to fid";
  EXPECT_EQ(XattrWalk(1, kRoot, "trusted.x"), EBADF) << "in use";
  EXPECT_EQ(XattrWalk(1, p9::kNoFid, "trusted.x"), EINVAL);
  client_.capacity = 14;
  EXPECT_EQ(XattrWalk(1, 2, "trusted.x"), EMSGSIZE);
  client_.capacity = TestCall::kMsize;
  EXPECT_EQ(Error(client_.Clunk(2)), EBADF);
  EXPECT_TRUE(client_.Getattr(1).ok());
}

TEST_F(Case14Xattrwalk, OfOpenAndUnlinkedFilesDirectoriesAndSymlinks) {
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  ASSERT_TRUE(client_.Unlink(kRoot, "file").ok());
  ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
  ASSERT_EQ(XattrCreate(2, "trusted.x", 5), 0);
  ASSERT_EQ(*client_.Write(2, 0, "value"), 5u);
  ASSERT_TRUE(client_.Clunk(2).ok());
  EXPECT_EQ(*Get("trusted.x"), "value");

  ASSERT_EQ(symlink("nowhere", Host("link").c_str()), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"link"}).ok());
  ASSERT_EQ(XattrCreate(2, "trusted.x", 4), 0);
  ASSERT_EQ(*client_.Write(2, 0, "link"), 4u);
  ASSERT_TRUE(client_.Clunk(2).ok());
  EXPECT_EQ(HostXattr("trusted.x", "link"), "link");
  EXPECT_EQ(XattrWalk(kRoot, 3, ""), 0);
}

TEST_F(Case14Xattrwalk, TheFidStandsForTheAttributeOnly) {
  SetHostXattr("trusted.x", "value");
  for (const bool created : {false, true}) {
    if (created) {
      ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
      ASSERT_EQ(XattrCreate(2, "trusted.x", 3), 0);
      EXPECT_EQ(Error(client_.Read(2, 0, 1)), EBADF);
      EXPECT_EQ(*client_.Write(2, 0, "new"), 3u);
    } else {
      ASSERT_EQ(XattrWalk(1, 2, "trusted.x"), 0);
      EXPECT_EQ(Error(client_.Write(2, 0, "x")), EBADF);
    }
    EXPECT_EQ(Error(client_.Walk(2, 3, {})), EINVAL);
    EXPECT_EQ(Error(client_.Walk(2, 2, {".."})), EINVAL);
    EXPECT_EQ(Error(client_.Open(2, p9::kOpenReadOnly)), EINVAL);
    EXPECT_EQ(Error(client_.Create(2, "new", p9::kOpenReadOnly)), EINVAL);
    EXPECT_EQ(Error(client_.Getattr(2)), EINVAL);
    EXPECT_EQ(Error(client_(p9::Tsetattr{.fid = 2, .valid = p9::kSetattrMode, .mode = 0})), EINVAL);
    EXPECT_EQ(Error(client_.Readdir(2, 0, 1000)), EINVAL);
    EXPECT_EQ(Error(client_(p9::Tfsync{.fid = 2, .datasync = 0})), EINVAL);
    EXPECT_EQ(Error(client_(p9::Tstatfs{.fid = 2})), EINVAL);
    EXPECT_EQ(Error(client_(p9::Treadlink{.fid = 2})), EINVAL);
    EXPECT_EQ(Error(client_(p9::Tlink{.dfid = kRoot, .fid = 2, .name = "link"})), EINVAL);
    EXPECT_EQ(Error(client_(p9::Trename{.fid = 2, .dfid = kRoot, .name = "other"})), EINVAL);
    EXPECT_EQ(Error(client_(p9::Tlock{.fid = 2, .client_id = "c"})), EINVAL);
    EXPECT_EQ(XattrWalk(2, 3, ""), EINVAL);
    EXPECT_EQ(XattrCreate(2, "trusted.x", 1), EINVAL);
    // Frees the fid, and neither removes the file nor sets the attribute.
    EXPECT_EQ(Error(client_.Remove(2)), EINVAL);
    EXPECT_EQ(Error(client_.Clunk(2)), EBADF);
    EXPECT_TRUE(HostHas("file"));
    EXPECT_EQ(HostXattr("trusted.x"), "value");
  }
}

TEST_F(Case15Xattrcreate, TheValueIsSetAtClunk) {
  ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
  ASSERT_EQ(XattrCreate(2, "trusted.x", 10), 0);
  EXPECT_EQ(*client_.Write(2, 0, "01234"), 5u);
  EXPECT_EQ(*client_.Write(2, 5, "xxxxx"), 5u);
  EXPECT_EQ(*client_.Write(2, 5, "56789"), 5u) << "written over";
  EXPECT_EQ(*client_.Write(2, 10, ""), 0u);
  EXPECT_EQ(HostXattr("trusted.x"), std::nullopt);
  EXPECT_TRUE(client_.Clunk(2).ok());
  EXPECT_EQ(HostXattr("trusted.x"), "0123456789");
}

TEST_F(Case15Xattrcreate, FlagsAreKept) {
  EXPECT_EQ(Set("trusted.x", "a", p9::kXattrReplace), ENODATA);
  EXPECT_EQ(Set("trusted.x", "b", p9::kXattrCreate), 0);
  EXPECT_EQ(Set("trusted.x", "c", p9::kXattrCreate), EEXIST);
  EXPECT_EQ(HostXattr("trusted.x"), "b");
  EXPECT_EQ(Set("trusted.x", "d", p9::kXattrReplace), 0);
  EXPECT_EQ(HostXattr("trusted.x"), "d");
  EXPECT_EQ(Set("trusted.x", "e", p9::kXattrReplace | p9::kXattrCreate), EINVAL);
  EXPECT_EQ(Set("trusted.x", "e", 4), EINVAL);
  EXPECT_EQ(HostXattr("trusted.x"), "d");
}

TEST_F(Case15Xattrcreate, SizeZeroRemoves) {
  SetHostXattr("trusted.x", "value");
  EXPECT_EQ(Set("trusted.x", ""), 0);
  EXPECT_EQ(HostXattr("trusted.x"), std::nullopt);
  EXPECT_EQ(Set("trusted.x", "", p9::kXattrReplace), ENODATA);
}

TEST_F(Case15Xattrcreate, WhatIsShortIsNotSet) {
  SetHostXattr("trusted.x", "before");
  for (const std::string_view written : {"", "1234"}) {
    ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
    ASSERT_EQ(XattrCreate(2, "trusted.x", 5), 0);
    ASSERT_TRUE(client_.Write(2, 0, written).ok());
    EXPECT_EQ(Error(client_.Clunk(2)), EINVAL);
    EXPECT_EQ(Error(client_.Clunk(2)), EBADF);
  }
  EXPECT_EQ(HostXattr("trusted.x"), "before");
}

TEST_F(Case15Xattrcreate, NothingIsWrittenBeyondTheSizeOrBehindAHole) {
  ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
  ASSERT_EQ(XattrCreate(2, "trusted.x", 5), 0);
  EXPECT_EQ(Error(client_.Write(2, 0, "123456")), ENOSPC);
  EXPECT_EQ(Error(client_.Write(2, UINT64_MAX, "1")), ENOSPC);
  EXPECT_EQ(Error(client_.Write(2, 1, "1")), EINVAL);
  EXPECT_EQ(*client_.Write(2, 0, "1234"), 4u);
  EXPECT_EQ(Error(client_.Write(2, 4, "56")), ENOSPC);
  EXPECT_EQ(*client_.Write(2, 4, "5"), 1u);
  EXPECT_TRUE(client_.Clunk(2).ok());
  EXPECT_EQ(HostXattr("trusted.x"), "12345");
}

TEST_F(Case15Xattrcreate, SizesAndNamesAreChecked) {
  EXPECT_EQ(XattrCreate(1, "trusted.x", 65537), E2BIG);
  EXPECT_EQ(XattrCreate(1, "trusted.x", UINT64_MAX), E2BIG);
  EXPECT_EQ(XattrCreate(1, "", 5), ERANGE);
  EXPECT_EQ(XattrCreate(1, std::string(256, 'n'), 5), ERANGE);
  EXPECT_TRUE(client_.Getattr(1).ok()) << "still the file";
  ASSERT_TRUE(client_.Walk(1, 2, {}).ok());
  ASSERT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  EXPECT_EQ(XattrCreate(2, "trusted.x", 5), EINVAL) << "open";
  EXPECT_EQ(XattrCreate(9, "trusted.x", 5), EBADF);
  EXPECT_EQ(Set("no-such-kind.x", "value"), EOPNOTSUPP) << "the clunk's error";
}

TEST_F(Case15Xattrcreate, APosixAclPasses) {
  // Version 2; user::rw-, user:1:r--, group::r--, mask::r--, other::---.
  const std::string acl =
      "\x02\0\0\0"
      "\x01\0\x06\0\xff\xff\xff\xff"
      "\x02\0\x04\0\x01\0\0\0"
      "\x04\0\x04\0\xff\xff\xff\xff"
      "\x10\0\x04\0\xff\xff\xff\xff"
      "\x20\0\0\0\xff\xff\xff\xff"s;
  const int set = Set("system.posix_acl_access", acl);
  if (set == EOPNOTSUPP) GTEST_SKIP() << "no ACLs on this file system";
  EXPECT_EQ(set, 0);
  EXPECT_EQ(*Get("system.posix_acl_access"), acl);
  EXPECT_EQ(HostStat("file").st_mode & 0777, 0640u);
}

class XattrBudgetTest : public SessionXattrsTest {
 protected:
  XattrBudgetTest() : SessionXattrsTest({.max_xattr_bytes = 1000}) {}
};

TEST_F(XattrBudgetTest, BytesOfAllFidsTogetherAreLimited) {
  SetHostXattr("trusted.x", std::string(600, 'x'));
  ASSERT_TRUE(client_.Walk(1, 10, {}).ok());
  ASSERT_TRUE(client_.Walk(1, 11, {}).ok());
  EXPECT_EQ(XattrWalk(1, 2, "trusted.x"), 0);
  EXPECT_EQ(XattrWalk(1, 3, "trusted.x"), ENOSPC);
  EXPECT_EQ(XattrCreate(10, "trusted.y", 400), ENOSPC) << "the name counts";
  EXPECT_EQ(XattrCreate(10, "trusted.y", 391), 0);
  EXPECT_EQ(XattrCreate(11, "trusted.z", 1), ENOSPC);
  // Everything else goes on.
  EXPECT_TRUE(client_.Getattr(11).ok());
  EXPECT_EQ(client_.Read(2, 0, 1000)->size(), 600u);
  EXPECT_TRUE(client_.Write(10, 0, std::string(391, 'y')).ok());
  EXPECT_TRUE(client_.Clunk(10).ok());
  EXPECT_EQ(HostXattr("trusted.y"), std::string(391, 'y'));
  EXPECT_TRUE(client_.Clunk(2).ok());
  EXPECT_EQ(XattrWalk(1, 2, "trusted.x"), 0) << "there is room again";
  EXPECT_TRUE(client_(p9::Tversion{.msize = TestCall::kMsize, .version = p9::kVersion}).ok());
  EXPECT_TRUE(client_(p9::Tattach{.fid = 1, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 0}).ok());
  EXPECT_EQ(XattrCreate(1, "trusted.x", 991), 0) << "all of it";
}

class ReadonlyXattrsTest : public SessionXattrsTest {
 protected:
  ReadonlyXattrsTest() : SessionXattrsTest({}, {.readonly = true}) {}
};

TEST_F(ReadonlyXattrsTest, AttributesAreReadAndNotWritten) {
  SetHostXattr("trusted.x", "value");
  EXPECT_EQ(*Get("trusted.x"), "value");
  EXPECT_EQ(XattrCreate(1, "trusted.x", 5), EROFS);
  EXPECT_EQ(XattrCreate(1, "trusted.x", 0), EROFS);
}

}  // namespace
}  // namespace virtfs
