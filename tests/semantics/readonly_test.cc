// Every point's changes, refused by a read-only share.

#include <sys/stat.h>

#include <string>
#include <vector>

#include "tests/semantics/fixture.h"

namespace virtfs {
namespace {

TEST_P(ReadOnly, P04_OpensForReadingOnly) {
  MakeFile("f", "text");
  for (const uint32_t flags : {p9::kOpenWriteOnly, p9::kOpenReadWrite, p9::kOpenReadOnly | p9::kOpenTruncate}) {
    EXPECT_EQ(OpenError(At({"f"}), flags), EROFS) << flags;
  }
  EXPECT_EQ(Read(OpenAt("f", p9::kOpenReadOnly)), "text");
}

TEST_P(ReadOnly, P05_MakesNoFile) {
  MakeFile("f", "text");
  const p9::Fid fid = At({});
  EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{fid, "new", p9::kOpenReadOnly, 0644, 0})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{fid, "f", p9::kOpenReadWrite, 0644, 0})), EROFS);
  EXPECT_EQ(Stat(fid).qid, Stat(dir_).qid);
  EXPECT_EQ(Names(), std::vector<std::string>{"f"});
}

TEST_P(ReadOnly, P07_WritesNothing) {
  MakeFile("f", "text");
  EXPECT_EQ(WriteError(OpenAt("f", p9::kOpenReadOnly), 0, "x"), EBADF);
}

TEST_P(ReadOnly, P10_ChangesNoAttributes) {
  MakeFile("f", "text");
  const p9::Fid file = At({"f"});
  const p9::Rgetattr before = Stat(file);
  for (const uint32_t valid : {p9::kSetattrMode, p9::kSetattrUid, p9::kSetattrGid, p9::kSetattrSize, p9::kSetattrAtime,
                               p9::kSetattrMtime, p9::kSetattrCtime}) {
    EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = valid, .mode = 0777})), EROFS) << valid;
  }
  EXPECT_EQ(Stat(file), before);
}

TEST_P(ReadOnly, P11_P12_P23_P24_ChangesNoNames) {
  MakeFile("f", "text");
  MakeDirectory("d");
  const p9::Fid file = At({"f"});
  EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{dir_, "new", 0755, 0})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmknod{dir_, "new", S_IFIFO | 0644, 0, 0, 0})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{dir_, "new", "t", 0})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, file, "new"})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Trename{file, dir_, "new"})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Trenameat{dir_, "f", dir_, "new"})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, "f", 0})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, "d", p9::kUnlinkRemoveDirectory})), EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Tremove{file})), EROFS);
  EXPECT_EQ(StatError(file), EBADF) << "the fid goes all the same";
  EXPECT_EQ(Names(), (std::vector<std::string>{"d", "f"}));
}

TEST_P(ReadOnly, P15_SetsNoAttributes) {
  MakeFile("f");
  const p9::Fid fid = At({"f"});
  int error = ErrorOf(wire()(p9::Txattrcreate{fid, "user.x", 1, 0}));
  if (error == 0) {
    EXPECT_EQ(WriteError(fid, 0, "x"), 0);
    error = ClunkError(fid);
  }
  EXPECT_EQ(error, EROFS);
  EXPECT_EQ(ErrorOf(wire()(p9::Txattrwalk{At({"f"}), NewFid(), "user.x"})), ENODATA);
}

}  // namespace
}  // namespace virtfs
