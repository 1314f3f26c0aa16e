// A client of a Session at the level of bytes, and a Session on a directory of its own. For tests.
//
//     EXPECT_EQ(Error(client_(p9::Twalk{.fid = kRoot, .newfid = 1, .wname = {"no"}})), ENOENT);
#pragma once

#include <fcntl.h>
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
    const Outcome outcome = session_->Serve(call.call());
    EXPECT_EQ(outcome, Outcome::kAnswered);
    if (outcome != Outcome::kAnswered) return Errno(EPROTO);
    EXPECT_TRUE(session_->Finish(call.call()).empty());
    reply_ = call.Reply();
    EXPECT_LE(reply_.size(), capacity);
    const Result<p9::Header> header = p9::ParseHeader(reply_);
    EXPECT_TRUE(header.ok() && header->tag == tag && header->size == reply_.size());
    return p9::DecodeReply<T>(reply_);
  }

  // The payload of the last Rread or Rreaddir.
  std::span<const uint8_t> payload() const { return std::span(reply_).subspan(p9::kMinHeadSize<p9::Rread>); }

  // --- in few words ---

  Result<p9::Rwalk> Walk(p9::Fid fid, p9::Fid newfid, std::initializer_list<std::string_view> names) {
    return (*this)(p9::Twalk{.fid = fid, .newfid = newfid, .wname = names});
  }
  Result<p9::Rlopen> Open(p9::Fid fid, uint32_t flags) { return (*this)(p9::Tlopen{.fid = fid, .flags = flags}); }
  // The directory's fid becomes the file's.
  Result<p9::Rlcreate> Create(p9::Fid fid, std::string_view name, uint32_t flags, uint32_t mode = 0644) {
    return (*this)(p9::Tlcreate{.fid = fid, .name = name, .flags = flags, .mode = mode, .gid = 0});
  }
  Result<p9::Rgetattr> Getattr(p9::Fid fid) {
    return (*this)(p9::Tgetattr{.fid = fid, .request_mask = p9::kGetattrBasic});
  }
  Result<std::string> Read(p9::Fid fid, uint64_t offset, uint32_t count) {
    const auto reply = (*this)(p9::Tread{.fid = fid, .offset = offset, .count = count});
    if (!reply.ok()) return reply.error();
    return std::string(payload().begin(), payload().end());
  }
  Result<uint32_t> Write(p9::Fid fid, uint64_t offset, std::string_view data) {
    const auto size = static_cast<uint32_t>(data.size());
    const auto reply = (*this)(p9::Twrite{.fid = fid, .offset = offset, .count = size}, data);
    if (!reply.ok()) return reply.error();
    return reply->count;
  }
  struct Entry {
    std::string name;
    p9::Qid qid;
    uint64_t offset;
    uint8_t type;
  };
  Result<std::vector<Entry>> Readdir(p9::Fid fid, uint64_t offset, uint32_t count) {
    const auto reply = (*this)(p9::Treaddir{.fid = fid, .offset = offset, .count = count});
    if (!reply.ok()) return reply.error();
    std::vector<Entry> entries;
    std::span<const uint8_t> rest = payload();
    p9::DirEntry entry;
    while (p9::DecodeDirEntry(rest, entry)) {
      entries.push_back({std::string(entry.name), entry.qid, entry.offset, entry.type});
    }
    EXPECT_TRUE(rest.empty()) << "an entry was split";
    return entries;
  }
  Result<p9::Rclunk> Clunk(p9::Fid fid) { return (*this)(p9::Tclunk{.fid = fid}); }
  Result<p9::Rremove> Remove(p9::Fid fid) { return (*this)(p9::Tremove{.fid = fid}); }
  Result<p9::Rrenameat> Rename(p9::Fid from, std::string_view old_name, p9::Fid to, std::string_view new_name) {
    return (*this)(p9::Trenameat{.olddirfid = from, .oldname = old_name, .newdirfid = to, .newname = new_name});
  }
  Result<p9::Runlinkat> Unlink(p9::Fid dir, std::string_view name, uint32_t flags = 0) {
    return (*this)(p9::Tunlinkat{.dirfd = dir, .name = name, .flags = flags});
  }

  uint32_t capacity = TestCall::kMsize;  // Of the next requests.

 private:
  Session* session_;
  std::vector<uint8_t> reply_;
};

// A session that has a version and root fid 0, on a new directory of the host.
class SessionTest : public ::testing::Test {
 protected:
  static constexpr p9::Fid kRoot = 0;

  explicit SessionTest(const SessionOptions& options = {}, const host::ExportOptions& export_options = {},
                       const char* parent = "/tmp")
      : outside_(parent) {
    host::PrepareCredentials();
    mkdir(Host().c_str(), 0755);
    broker_ = std::make_unique<host::LocalHandleBroker>(host::OpenDirectory(Host()).get());
    tree_ = host::MakeExport(Host(), *broker_, export_options);
    session_ = std::make_unique<Session>(*tree_, options);
    client_ = TestClient(session_.get());
    EXPECT_TRUE(client_(p9::Tversion{.msize = TestCall::kMsize, .version = p9::kVersion}).ok());
    EXPECT_TRUE(client_(p9::Tattach{.fid = kRoot, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 0}).ok());
  }

  // Where a file of the export is on the host.
  std::string Host(std::string_view name = "") const { return outside_.path() + "/export/" + std::string(name); }
  void MakeFile(std::string_view name, std::string_view text = "", mode_t mode = 0644) const {
    const UniqueFd fd(open(Host(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
    ASSERT_TRUE(fd.ok()) << name;
    ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void MakeDirectory(std::string_view name) const { ASSERT_EQ(mkdir(Host(name).c_str(), 0755), 0) << name; }
  struct stat HostStat(std::string_view name) const {
    struct stat stat = {};
    EXPECT_EQ(lstat(Host(name).c_str(), &stat), 0) << name;
    return stat;
  }
  bool HostHas(std::string_view name) const {
    struct stat stat;
    return lstat(Host(name).c_str(), &stat) == 0;
  }
  std::string HostRead(std::string_view name) const {
    const UniqueFd fd(open(Host(name).c_str(), O_RDONLY | O_NONBLOCK));
    std::string text(1 << 20, '\0');
    const ssize_t size = read(fd.get(), text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return text;
  }

  host::ScratchDirectory outside_;
  std::unique_ptr<host::LocalHandleBroker> broker_;
  std::unique_ptr<host::Export> tree_;
  std::unique_ptr<Session> session_;
  TestClient client_;
};

}  // namespace virtfs
