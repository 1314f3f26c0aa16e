// What no client should send: frames cut short, too long, or random, and fids that are not there, for every request.

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

class SessionHostileTest : public SessionTest {
 protected:
  SessionHostileTest() {
    MakeDirectory("dir");
    MakeFile("dir/file", "text");
    EXPECT_TRUE(client_.Walk(kRoot, 1, {"dir"}).ok());
    EXPECT_TRUE(client_.Walk(kRoot, 2, {"dir", "file"}).ok());
    EXPECT_TRUE(client_.Open(2, p9::kOpenReadWrite).ok());
    EXPECT_TRUE(client_.Walk(kRoot, 3, {"dir"}).ok());
    EXPECT_TRUE(client_.Open(3, p9::kOpenReadOnly).ok());
  }

  // The type of the answer, which must be sound.
  uint8_t Send(const std::vector<uint8_t>& frame, uint32_t capacity = TestCall::kMsize) {
    TestCall call(frame, "", capacity);
    if (session_->Serve(call.call()) != Outcome::kAnswered) {
      ADD_FAILURE() << "not answered";
      return 0;
    }
    const std::vector<uint8_t> reply = call.Reply();
    const Result<p9::Header> header = p9::ParseHeader(reply);
    EXPECT_TRUE(header.ok() && header->size == reply.size() && reply.size() <= capacity);
    EXPECT_TRUE(p9::VisitMessage(reply, [](const auto&) {}).ok());
    EXPECT_TRUE(session_->Finish(call.call()).empty());
    return header.ok() ? header->type : 0;
  }

  static void SetSize(std::vector<uint8_t>& frame) {
    for (size_t i = 0; i < 4 && i < frame.size(); ++i) frame[i] = static_cast<uint8_t>(frame.size() >> (8 * i));
  }

  // One sensible request of each type, as bytes.
  static std::vector<std::vector<uint8_t>> OneOfEach(p9::Fid fid) {
    std::vector<std::vector<uint8_t>> frames;
    p9::ForEachMessage(p9::Requests(), [&]<p9::Request T>() {
      T request;
      p9::ForEachField(request, [&](const auto& field, auto& value) {
        using Value = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::string_view>) value = "name";
        if constexpr (std::is_same_v<Value, uint32_t>) value = field.name.ends_with("fid") ? fid : 0;
        if constexpr (std::is_same_v<Value, decltype(p9::Twalk::wname)>) value = {"name", ".."};
      });
      if constexpr (requires { request.newfid; }) request.newfid = 50;
      frames.push_back(TestCall::FrameOf(1, request));
    });
    return frames;
  }
};

TEST_F(SessionHostileTest, TruncatedAndOverlongFramesAreErrors) {
  for (const std::vector<uint8_t>& frame : OneOfEach(1)) {
    const int type = frame[4];
    for (size_t size = p9::kHeaderSize; size < frame.size(); ++size) {
      // All that a Tfsync may lack.
      if (type == p9::Tfsync::kType && size == 11) continue;
      std::vector<uint8_t> shorter(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_EQ(Send(shorter), p9::Rlerror::kType) << type << " cut at " << size;
      SetSize(shorter);
      EXPECT_EQ(Send(shorter), p9::Rlerror::kType) << type << " of " << size;
    }
    std::vector<uint8_t> longer = frame;
    longer.push_back(0);
    EXPECT_EQ(Send(longer), p9::Rlerror::kType) << type;
    SetSize(longer);
    EXPECT_EQ(Send(longer), p9::Rlerror::kType) << type;
  }
  for (size_t size = 0; size < p9::kHeaderSize; ++size) {
    EXPECT_EQ(Send(std::vector<uint8_t>(size, 7)), p9::Rlerror::kType) << size;
  }
  EXPECT_TRUE(client_.Getattr(2).ok());
}

TEST_F(SessionHostileTest, UnknownFidsAreErrorsForEveryRequest) {
  for (const p9::Fid fid : {p9::Fid{40}, p9::kNoFid}) {
    for (const std::vector<uint8_t>& frame : OneOfEach(fid)) {
      const uint8_t type = frame[4];
      if (type == p9::Tversion::kType || type == p9::Tflush::kType) continue;
      if (type == p9::Tattach::kType && fid != p9::kNoFid) continue;
      EXPECT_EQ(Send(frame), p9::Rlerror::kType) << int{type};
    }
  }
  EXPECT_TRUE(client_.Getattr(2).ok());
}

TEST_F(SessionHostileTest, AnyCapacityIsEnoughForSomeAnswer) {
  for (uint32_t capacity = 11; capacity < 200; ++capacity) {
    for (const p9::Fid fid : {1u, 2u, 3u}) {
      for (const std::vector<uint8_t>& frame : OneOfEach(fid)) {
        if (frame[4] == p9::Tclunk::kType || frame[4] == p9::Tremove::kType) continue;
        Send(frame, capacity);
      }
    }
  }
}

TEST_F(SessionHostileTest, RandomBytesDoNoHarm) {
  std::mt19937 random(3);
  const std::vector<std::vector<uint8_t>> seeds = OneOfEach(1);
  for (int i = 0; i < 50000; ++i) {
    std::vector<uint8_t> frame = seeds[random() % seeds.size()];
    for (uint32_t n = random() % 6; n > 0; --n) {
      frame[4 + random() % (frame.size() - 4)] = static_cast<uint8_t>(random() % 4 == 0 ? random() : random() % 4);
    }
    if (random() % 4 == 0) {
      frame.resize(7 + random() % 60);
      SetSize(frame);
    }
    // Blocks nothing: there is no lease here.
    Send(frame, 11 + random() % 300);
  }
  // Whatever it made of the session, a new version heals it.
  EXPECT_TRUE(client_(p9::Tversion{.msize = 8192, .version = p9::kVersion}).ok());
  EXPECT_TRUE(client_(p9::Tattach{.fid = 0, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 0}).ok());
  EXPECT_EQ(client_.Getattr(0)->qid.path, HostStat("").st_ino);
}

class SessionLimitsTest : public SessionTest {
 protected:
  SessionLimitsTest() : SessionTest({.max_msize = 8192, .max_fids = 10, .max_open_files = 3}) {}
};

TEST_F(SessionLimitsTest, FidsAndOpenFiles) {
  MakeFile("file");
  for (p9::Fid fid = 1; fid < 10; ++fid) ASSERT_TRUE(client_.Walk(kRoot, fid, {"file"}).ok());
  EXPECT_EQ(Error(client_.Walk(kRoot, 10, {})), ENFILE);
  EXPECT_TRUE(client_.Walk(1, 1, {}).ok());
  for (p9::Fid fid = 1; fid < 4; ++fid) ASSERT_TRUE(client_.Open(fid, p9::kOpenReadOnly).ok());
  EXPECT_EQ(Error(client_.Open(4, p9::kOpenReadOnly)), EMFILE);
  EXPECT_TRUE(client_.Clunk(1).ok());
  EXPECT_TRUE(client_.Open(4, p9::kOpenReadOnly).ok());
  EXPECT_TRUE(client_.Walk(kRoot, 10, {}).ok());
  EXPECT_EQ(Error(client_.Create(10, "new", p9::kOpenReadWrite)), EMFILE);
  EXPECT_FALSE(HostHas("new"));
  EXPECT_EQ(client_(p9::Tversion{.msize = 65536, .version = p9::kVersion})->msize, 8192u);
}

class SessionReadonlyTest : public SessionTest {
 protected:
  SessionReadonlyTest() : SessionTest({}, {.max_descriptors = 100, .readonly = true}) {}
};

TEST_F(SessionReadonlyTest, NothingThatChangesTheTree) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {}).ok());
  EXPECT_EQ(Error(client_.Open(1, p9::kOpenWriteOnly)), EROFS);
  EXPECT_EQ(Error(client_.Open(1, p9::kOpenReadOnly | p9::kOpenTruncate)), EROFS);
  EXPECT_EQ(Error(client_.Create(2, "new", p9::kOpenReadWrite)), EROFS);
  EXPECT_EQ(Error(client_(p9::Tmkdir{.dfid = 2, .name = "d", .mode = 0, .gid = 0})), EROFS);
  EXPECT_EQ(Error(client_(p9::Tsymlink{.fid = 2, .name = "d", .symtgt = "x", .gid = 0})), EROFS);
  EXPECT_EQ(Error(client_(p9::Tmknod{.dfid = 2, .name = "d", .mode = S_IFIFO, .gid = 0})), EROFS);
  EXPECT_EQ(Error(client_(p9::Tlink{.dfid = 2, .fid = 1, .name = "d"})), EROFS);
  EXPECT_EQ(Error(client_.Rename(2, "file", 2, "other")), EROFS);
  EXPECT_EQ(Error(client_(p9::Trename{.fid = 1, .dfid = 2, .name = "other"})), EROFS);
  EXPECT_EQ(Error(client_.Unlink(2, "file")), EROFS);
  EXPECT_EQ(Error(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrMode, .mode = 0})), EROFS);
  EXPECT_EQ(Error(client_.Remove(1)), EROFS);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  EXPECT_EQ(*client_.Read(1, 0, 9), "text");
}

}  // namespace
}  // namespace virtfs
