// A session exported and imported into a fresh one, on a fresh Export over the same broker.

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <memory>
#include <random>
#include <string>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

class SessionImageTest : public SessionTest {
 protected:
  // Afterwards session_ and client_ are the successor; the predecessor ends once that has taken over.
  void HandOver(bool with_lock_files = true) {
    Result<SessionImage> image = session_->Export();
    ASSERT_TRUE(image.ok()) << Error(image);
    if (!with_lock_files) image->lock_files.clear();
    auto next_tree = host::MakeExport(Host(), *broker_);
    auto next_session = std::make_unique<Session>(*next_tree, SessionOptions{});
    ASSERT_EQ(Error(next_session->Import(*image)), 0);
    session_ = std::move(next_session);
    tree_ = std::move(next_tree);
    client_ = TestClient(session_.get());
  }
};

TEST_F(SessionImageTest, InTheMiddleOfACopy) {
  std::string content(1'000'000, '\0');
  std::mt19937 random(1);
  for (char& c : content) c = static_cast<char>(random());
  MakeFile("source", content);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"source"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {}).ok());
  ASSERT_TRUE(client_.Create(2, "copy", p9::kOpenWriteOnly | p9::kOpenTruncate | p9::kOpenExclusive, 0444).ok());
  uint64_t offset = 0;
  for (int step = 0;; ++step) {
    if (step % 5 == 3) HandOver();
    const auto piece = client_.Read(1, offset, 50000);
    ASSERT_TRUE(piece.ok()) << Error(piece);
    if (piece->empty()) break;
    ASSERT_EQ(*client_.Write(2, offset, *piece), piece->size());
    offset += piece->size();
  }
  EXPECT_TRUE(client_.Clunk(2).ok());
  EXPECT_EQ(HostRead("copy"), content);
}

TEST_F(SessionImageTest, FidsKeepWhatTheyAre) {
  MakeDirectory("dir");
  MakeFile("dir/file", "text");
  ASSERT_TRUE(client_(p9::Tattach{.fid = 1, .afid = p9::kNoFid, .uname = "", .aname = "dir", .n_uname = 33}).ok());
  ASSERT_TRUE(client_.Walk(1, 2, {"file"}).ok());
  ASSERT_TRUE(client_.Walk(1, 3, {"file"}).ok());
  ASSERT_TRUE(client_.Open(3, p9::kOpenWriteOnly | p9::kOpenAppend).ok());
  const auto before = client_.Getattr(2);
  HandOver();
  EXPECT_EQ(*client_.Getattr(2), *before);
  EXPECT_EQ(client_.Getattr(kRoot)->qid.path, HostStat("").st_ino);
  EXPECT_EQ(*client_.Write(3, 0, "+"), 1u);
  EXPECT_EQ(HostRead("dir/file"), "text+");
  EXPECT_EQ(Error(client_.Read(3, 0, 1)), EBADF) << "opened for writing";
  EXPECT_EQ(Error(client_.Read(2, 0, 1)), EBADF) << "not open";
  ASSERT_TRUE(client_(p9::Tmkdir{.dfid = 1, .name = "new", .mode = 0755, .gid = 0}).ok());
  EXPECT_EQ(HostStat("dir/new").st_uid, 33u);
  EXPECT_TRUE(client_.Rename(1, "file", kRoot, "moved").ok());
  EXPECT_TRUE(client_.Remove(2).ok()) << "the name is known, and its change";
  EXPECT_FALSE(HostHas("moved"));
}

TEST_F(SessionImageTest, CookiesOfDirectoriesStayValid) {
  for (int i = 0; i < 1000; ++i) MakeFile("file" + std::to_string(i));
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  size_t entries = 0;
  uint64_t offset = 0;
  for (int step = 0;; ++step) {
    const auto some = client_.Readdir(1, offset, 4096);
    ASSERT_TRUE(some.ok());
    if (some->empty()) break;
    entries += some->size();
    offset = some->back().offset;
    if (step % 4 == 1) HandOver();
  }
  EXPECT_EQ(entries, 1002u);
}

TEST_F(SessionImageTest, OpenUnlinkedFilesSurvive) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Create(1, "file", p9::kOpenReadWrite).ok());
  ASSERT_TRUE(client_.Write(1, 0, "text").ok());
  ASSERT_TRUE(client_.Unlink(kRoot, "file").ok());
  for (int i = 0; i < 3; ++i) HandOver();
  EXPECT_EQ(*client_.Read(1, 0, 9), "text");
  EXPECT_EQ(client_.Getattr(1)->nlink, 0u);
}

TEST_F(SessionImageTest, AttributesInTheMiddleOfReadingAndWriting) {
  MakeFile("file");
  ASSERT_EQ(setxattr(Host("file").c_str(), "trusted.x", "0123456789", 10, 0), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_(p9::Txattrwalk{.fid = 1, .newfid = 2, .name = "trusted.x"}).ok());
  ASSERT_TRUE(
      client_(p9::Txattrcreate{.fid = 1, .name = "trusted.x", .attr_size = 6, .flags = p9::kXattrReplace}).ok());
  ASSERT_TRUE(client_.Write(1, 0, "new").ok());
  HandOver();
  EXPECT_EQ(*client_.Read(2, 5, 100), "56789");
  EXPECT_EQ(Error(client_.Write(1, 4, "xx")), EINVAL);
  EXPECT_TRUE(client_.Write(1, 3, "est").ok());
  HandOver();
  EXPECT_TRUE(client_.Clunk(1).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_(p9::Txattrwalk{.fid = 1, .newfid = 3, .name = "trusted.x"}).ok());
  EXPECT_EQ(*client_.Read(3, 0, 100), "newest");
}

class SessionImageLocksTest : public SessionImageTest {
 protected:
  // Fids 1 and 2: the file open for both.
  SessionImageLocksTest() {
    MakeFile("file", "text");
    for (const p9::Fid fid : {1u, 2u}) {
      EXPECT_TRUE(client_.Walk(kRoot, fid, {"file"}).ok());
      EXPECT_TRUE(client_.Open(fid, p9::kOpenReadWrite).ok());
    }
  }

  int Lock(p9::Fid fid, uint8_t type, uint64_t start, uint64_t length, uint32_t proc_id = 1) {
    const auto reply = client_(p9::Tlock{.fid = fid,
                                         .type = type,
                                         .flags = 0,
                                         .start = start,
                                         .length = length,
                                         .proc_id = proc_id,
                                         .client_id = "guest"});
    return reply.ok() ? reply->status : -reply.error().value();
  }
  int HostLock(short type, off_t start, off_t length) {
    if (!host_.ok()) host_.reset(open(Host("file").c_str(), O_RDWR));
    struct flock lock = {};
    lock.l_type = type;
    lock.l_start = start;
    lock.l_len = length;
    return fcntl(host_.get(), F_OFD_SETLK, &lock) == 0 ? 0 : errno;
  }

  UniqueFd host_;
};

TEST_F(SessionImageLocksTest, LocksGoOverWithoutAGap) {
  ASSERT_EQ(Lock(1, p9::kLockWrite, 0, 10, 1), p9::kLockSuccess);
  ASSERT_EQ(Lock(2, p9::kLockRead, 20, 10, 2), p9::kLockSuccess);
  ASSERT_EQ(Lock(1, p9::kLockRead, 25, 10, 1), p9::kLockSuccess);
  Result<SessionImage> image = session_->Export();
  ASSERT_TRUE(image.ok());
  session_.reset();
  EXPECT_EQ(HostLock(F_RDLCK, 9, 1), EAGAIN) << "held by the image";
  tree_ = host::MakeExport(Host(), *broker_);
  session_ = std::make_unique<Session>(*tree_, SessionOptions{});
  client_ = TestClient(session_.get());
  ASSERT_EQ(Error(session_->Import(*image)), 0);
  image->lock_files.clear();
  EXPECT_EQ(Lock(1, p9::kLockRead, 0, 10, 2), p9::kLockBlocked);
  EXPECT_EQ(Lock(1, p9::kLockWrite, 5, 10, 1), p9::kLockSuccess) << "the owner's own";
  EXPECT_EQ(Lock(1, p9::kLockUnlock, 20, 10, 2), p9::kLockSuccess);
  EXPECT_EQ(HostLock(F_WRLCK, 20, 5), 0);
  EXPECT_EQ(HostLock(F_WRLCK, 25, 1), EAGAIN);
  EXPECT_TRUE(client_.Clunk(1).ok());
  EXPECT_EQ(Lock(2, p9::kLockWrite, 0, 15, 3), p9::kLockSuccess) << "clunk releases as ever";
}

TEST_F(SessionImageLocksTest, EndWithTheLastHolder) {
  ASSERT_EQ(Lock(1, p9::kLockWrite, 0, 10), p9::kLockSuccess);
  HandOver();
  EXPECT_EQ(HostLock(F_WRLCK, 0, 1), EAGAIN);
  session_.reset();
  EXPECT_EQ(HostLock(F_WRLCK, 0, 1), 0);
}

TEST_F(SessionImageLocksTest, WithoutDescriptorsTheyAreTakenAnewAndLostOnesMakeFidsStale) {
  ASSERT_EQ(Lock(1, p9::kLockRead, 0, 10, 1), p9::kLockSuccess);
  ASSERT_EQ(Lock(1, p9::kLockRead, 50, 10, 1), p9::kLockSuccess);
  ASSERT_EQ(Lock(2, p9::kLockRead, 100, 10, 2), p9::kLockSuccess);
  HandOver(false);
  EXPECT_EQ(HostLock(F_WRLCK, 5, 1), EAGAIN) << "taken anew";
  Result<SessionImage> image = session_->Export();
  ASSERT_TRUE(image.ok());
  image->lock_files.clear();
  session_.reset();
  ASSERT_EQ(HostLock(F_WRLCK, 5, 1), 0);
  tree_ = host::MakeExport(Host(), *broker_);
  session_ = std::make_unique<Session>(*tree_, SessionOptions{});
  client_ = TestClient(session_.get());
  ASSERT_EQ(Error(session_->Import(*image)), 0);
  EXPECT_EQ(Error(client_.Read(1, 0, 1)), ESTALE);
  EXPECT_EQ(Lock(1, p9::kLockUnlock, 0, 0), -ESTALE);
  EXPECT_EQ(HostLock(F_WRLCK, 50, 10), 0) << "nothing of that fid";
  EXPECT_EQ(*client_.Read(2, 0, 4), "text");
  EXPECT_EQ(HostLock(F_WRLCK, 100, 1), EAGAIN);
  EXPECT_TRUE(client_.Clunk(1).ok());
}

TEST_F(SessionImageTest, AFidWhoseFileIsGoneIsStale) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  const SessionImage image = *session_->Export();
  session_.reset();
  tree_.reset();
  ASSERT_EQ(unlink(Host("file").c_str()), 0);
  tree_ = host::MakeExport(Host(), *broker_);
  session_ = std::make_unique<Session>(*tree_, SessionOptions{});
  client_ = TestClient(session_.get());
  ASSERT_TRUE(session_->Import(image).ok());
  EXPECT_EQ(Error(client_.Getattr(1)), ESTALE);
  EXPECT_EQ(Error(client_.Open(1, p9::kOpenReadOnly)), ESTALE);
  EXPECT_TRUE(client_.Getattr(kRoot).ok());
  EXPECT_TRUE(client_.Clunk(1).ok());
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
}

TEST_F(SessionImageTest, OnlyBetweenRequestsAndIntoAFreshSession) {
  TestCall call(1, p9::Tgetattr{.fid = kRoot, .request_mask = 0});
  session_->Arrive(call.call());
  EXPECT_EQ(Error(session_->Export()), EBUSY);
  ASSERT_EQ(session_->Serve(call.call()), Outcome::kAnswered);
  EXPECT_EQ(Error(session_->Export()), EBUSY);
  EXPECT_TRUE(session_->Finish(call.call()).empty());
  const SessionImage image = *session_->Export();
  EXPECT_EQ(Error(session_->Import(image)), EBUSY);
}

// Behind a lease, say, when the server is to end.
TEST_F(SessionImageTest, WhatIsGivenUpIsInNobodysWay) {
  TestCall blocked(1, p9::Tgetattr{.fid = kRoot, .request_mask = 0});
  TestCall flush(2, p9::Tflush{.oldtag = 1});
  TestCall version(p9::kNoTag, p9::Tversion{.msize = 8192, .version = p9::kVersion});
  TestCall held(3, p9::Tgetattr{.fid = kRoot, .request_mask = 0});
  for (TestCall* call : {&blocked, &flush, &version, &held}) session_->Arrive(call->call());
  ASSERT_EQ(session_->Serve(flush.call()), Outcome::kWaiting);
  EXPECT_EQ(Error(session_->Export()), EBUSY);
  session_->GiveUp();
  EXPECT_TRUE(session_->Export().ok());
  EXPECT_TRUE(client_.Getattr(kRoot).ok());
}

// An image in a file names its files by handles, which another broker takes.
TEST_F(SessionImageTest, AnotherBrokerGetsTheFilesByTheirHandles) {
  MakeFile("file", "text");
  MakeFile("gone", "text");
  for (const p9::Fid fid : {1u, 2u}) {
    ASSERT_TRUE(client_.Walk(kRoot, fid, {fid == 1 ? "file" : "gone"}).ok());
    ASSERT_TRUE(client_.Open(fid, p9::kOpenReadOnly).ok());
  }
  SessionImage image = *session_->Export();
  image.lock_files.clear();
  std::vector<host::FileHandle> handles;
  for (const host::HandleToken token : image.tokens) handles.push_back(broker_->Show(token));
  session_.reset();
  tree_.reset();
  ASSERT_EQ(unlink(Host("gone").c_str()), 0);
  const UniqueFd root(open(Host().c_str(), O_PATH | O_DIRECTORY));
  broker_ = std::make_unique<host::LocalHandleBroker>(root.get());
  for (size_t i = 0; i < handles.size(); ++i) image.tokens[i] = *broker_->Adopt(handles[i]);
  tree_ = host::MakeExport(Host(), *broker_);
  session_ = std::make_unique<Session>(*tree_, SessionOptions{});
  client_ = TestClient(session_.get());
  ASSERT_EQ(Error(session_->Import(image)), 0);
  EXPECT_EQ(*client_.Read(1, 0, 9), "text");
  EXPECT_EQ(Error(client_.Read(2, 0, 9)), ESTALE);
}

TEST_F(SessionImageTest, BrokenImagesAreRefusedWhole) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  ASSERT_TRUE(client_(p9::Tlock{.fid = 1, .type = p9::kLockRead, .length = 10, .client_id = "guest"}).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"file"}).ok());
  ASSERT_TRUE(client_(p9::Txattrcreate{.fid = 2, .name = "trusted.x", .attr_size = 6, .flags = 0}).ok());
  ASSERT_TRUE(client_.Write(2, 0, "new").ok());
  ASSERT_TRUE(client_(p9::Txattrwalk{.fid = kRoot, .newfid = 3, .name = ""}).ok());
  const SessionImage image = *session_->Export();
  const auto refused = [&](const SessionImage& broken) {
    Session fresh(*tree_, {});
    const bool failed = Error(fresh.Import(broken)) == EINVAL;
    TestClient client(&fresh);
    // No version, no fids: as if nothing had been tried.
    return failed && Error(client.Getattr(kRoot)) == EINVAL;
  };
  for (size_t size = 0; size < image.bytes.size(); ++size) {
    SessionImage shorter = image;
    shorter.bytes.resize(size);
    EXPECT_TRUE(refused(shorter)) << size;
    // The same with a size[4] that agrees.
    if (size >= 16) {
      for (size_t i = 0; i < 4; ++i) shorter.bytes[12 + i] = static_cast<uint8_t>(size >> (8 * i));
      EXPECT_TRUE(refused(shorter)) << size;
    }
  }
  SessionImage longer = image;
  longer.bytes.push_back(0);
  EXPECT_TRUE(refused(longer));
  SessionImage other_version = image;
  ++other_version.bytes[8];
  EXPECT_TRUE(refused(other_version));
  // Any other byte may be wrong and mean something; it must not do harm.
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    SessionImage mutated = image;
    for (int n = 0; n < 3; ++n) mutated.bytes[random() % mutated.bytes.size()] ^= 1u << (random() % 8);
    Session fresh(*tree_, {});
    if (!fresh.Import(mutated).ok()) continue;
    TestClient client(&fresh);
    static_cast<void>(client.Clunk(1));
  }
}

}  // namespace
}  // namespace virtfs
