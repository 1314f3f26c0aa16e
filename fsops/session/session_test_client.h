// A client of a Session at the level of bytes, and a Session on a directory of its own. For tests.
//
//     EXPECT_EQ(Error(client_(p9::Twalk{.fid = kRoot, .newfid = 1, .wname = {"no"}})), ENOENT);
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fsops/host/credentials.h"
#include "fsops/host/export_fixture.h"
#include "fsops/session/session.h"
#include "fsops/session/test_call.h"
#include "protocol/codec.h"

namespace virtfs {

// The errno of a Result, 0 if there is none.
template <typename T>
int Error(const Result<T>& result) {
  return result.ok() ? 0 : result.error().value();
}

// Sends one request after the other.
class TestClient {
 public:
  explicit TestClient(Session* session = nullptr) : session_(session) {}

  // Strings of the reply live until the next request.
  template <p9::Request T>
  Result<typename T::Reply> operator()(const T& request, std::string_view data = {}) {
    const p9::Tag tag = std::is_same_v<T, p9::Tversion> ? p9::kNoTag : p9::Tag{1};
    TestCall call(tag, request, data, capacity);
    if (!Exchange(call, tag)) return Errno(EPROTO);
    return p9::DecodeReply<T>(reply_);
  }

  // The payload of the last Rread or Rreaddir.
  std::span<const uint8_t> payload() const { return std::span(reply_).subspan(p9::kMinHeadSize<p9::Rread>); }

  // --- in few words ---

  Result<p9::Rwalk> Walk(p9::Fid fid, p9::Fid newfid, std::initializer_list<std::string_view> names);
  Result<p9::Rlopen> Open(p9::Fid fid, uint32_t flags);
  // The directory's fid becomes the file's.
  Result<p9::Rlcreate> Create(p9::Fid fid, std::string_view name, uint32_t flags, uint32_t mode = 0644);
  Result<p9::Rgetattr> Getattr(p9::Fid fid);
  Result<std::string> Read(p9::Fid fid, uint64_t offset, uint32_t count);
  Result<uint32_t> Write(p9::Fid fid, uint64_t offset, std::string_view data);
  struct Entry {
    std::string name;
    p9::Qid qid;
    uint64_t offset;
    uint8_t type;
  };
  Result<std::vector<Entry>> Readdir(p9::Fid fid, uint64_t offset, uint32_t count);
  Result<p9::Rclunk> Clunk(p9::Fid fid);
  Result<p9::Rremove> Remove(p9::Fid fid);
  Result<p9::Rrenameat> Rename(p9::Fid from, std::string_view old_name, p9::Fid to, std::string_view new_name);
  Result<p9::Runlinkat> Unlink(p9::Fid dir, std::string_view name, uint32_t flags = 0);

  uint32_t capacity = TestCall::kMsize;  // Of the next requests.

 private:
  // False: there was no answer at once.
  bool Exchange(TestCall& call, p9::Tag tag);

  Session* session_;
  std::vector<uint8_t> reply_;
};

// A session that has a version and root fid 0, on a new directory of the host.
class SessionTest : public ::testing::Test {
 protected:
  static constexpr p9::Fid kRoot = 0;

  explicit SessionTest(const SessionOptions& options = {}, const host::ExportOptions& export_options = {},
                       const char* parent = "/tmp");
  ~SessionTest() override;

  // Where a file of the export is on the host.
  std::string Host(std::string_view name = "") const;
  void MakeFile(std::string_view name, std::string_view text = "", mode_t mode = 0644) const;
  void MakeDirectory(std::string_view name) const;
  struct stat HostStat(std::string_view name) const;
  bool HostHas(std::string_view name) const;
  std::string HostRead(std::string_view name) const;

  host::ScratchDirectory outside_;
  std::unique_ptr<host::LocalHandleBroker> broker_;
  std::unique_ptr<host::Export> tree_;
  std::unique_ptr<Session> session_;
  TestClient client_;
};

}  // namespace virtfs
