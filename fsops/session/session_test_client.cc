#include "fsops/session/session_test_client.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace virtfs {

bool TestClient::Exchange(TestCall& call, p9::Tag tag) {
  const Outcome outcome = session_->Serve(call.call());
  EXPECT_EQ(outcome, Outcome::kAnswered);
  if (outcome != Outcome::kAnswered) return false;
  EXPECT_TRUE(session_->Finish(call.call()).empty());
  reply_ = call.Reply();
  EXPECT_LE(reply_.size(), capacity);
  const Result<p9::Header> header = p9::ParseHeader(reply_);
  EXPECT_TRUE(header.ok() && header->tag == tag && header->size == reply_.size());
  return true;
}

Result<p9::Rwalk> TestClient::Walk(p9::Fid fid, p9::Fid newfid, std::initializer_list<std::string_view> names) {
  return (*this)(p9::Twalk{.fid = fid, .newfid = newfid, .wname = names});
}

Result<p9::Rlopen> TestClient::Open(p9::Fid fid, uint32_t flags) {
  return (*this)(p9::Tlopen{.fid = fid, .flags = flags});
}

Result<p9::Rlcreate> TestClient::Create(p9::Fid fid, std::string_view name, uint32_t flags, uint32_t mode) {
  return (*this)(p9::Tlcreate{.fid = fid, .name = name, .flags = flags, .mode = mode, .gid = 0});
}

Result<p9::Rgetattr> TestClient::Getattr(p9::Fid fid) {
  return (*this)(p9::Tgetattr{.fid = fid, .request_mask = p9::kGetattrBasic});
}

Result<std::string> TestClient::Read(p9::Fid fid, uint64_t offset, uint32_t count) {
  const auto reply = (*this)(p9::Tread{.fid = fid, .offset = offset, .count = count});
  if (!reply.ok()) return reply.error();
  return std::string(payload().begin(), payload().end());
}

Result<uint32_t> TestClient::Write(p9::Fid fid, uint64_t offset, std::string_view data) {
  const auto size = static_cast<uint32_t>(data.size());
  const auto reply = (*this)(p9::Twrite{.fid = fid, .offset = offset, .count = size}, data);
  if (!reply.ok()) return reply.error();
  return reply->count;
}

Result<std::vector<TestClient::Entry>> TestClient::Readdir(p9::Fid fid, uint64_t offset, uint32_t count) {
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

Result<p9::Rclunk> TestClient::Clunk(p9::Fid fid) { return (*this)(p9::Tclunk{.fid = fid}); }

Result<p9::Rremove> TestClient::Remove(p9::Fid fid) { return (*this)(p9::Tremove{.fid = fid}); }

Result<p9::Rrenameat> TestClient::Rename(p9::Fid from, std::string_view old_name, p9::Fid to,
                                         std::string_view new_name) {
  return (*this)(p9::Trenameat{.olddirfid = from, .oldname = old_name, .newdirfid = to, .newname = new_name});
}

Result<p9::Runlinkat> TestClient::Unlink(p9::Fid dir, std::string_view name, uint32_t flags) {
  return (*this)(p9::Tunlinkat{.dirfd = dir, .name = name, .flags = flags});
}

SessionTest::SessionTest(const SessionOptions& options, const host::ExportOptions& export_options, const char* parent)
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

SessionTest::~SessionTest() = default;

std::string SessionTest::Host(std::string_view name) const { return outside_.path() + "/export/" + std::string(name); }

void SessionTest::MakeFile(std::string_view name, std::string_view text, mode_t mode) const {
  const UniqueFd fd(open(Host(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
  ASSERT_TRUE(fd.ok()) << name;
  ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void SessionTest::MakeDirectory(std::string_view name) const { ASSERT_EQ(mkdir(Host(name).c_str(), 0755), 0) << name; }

struct stat SessionTest::HostStat(std::string_view name) const {
  struct stat stat = {};
  EXPECT_EQ(lstat(Host(name).c_str(), &stat), 0) << name;
  return stat;
}

bool SessionTest::HostHas(std::string_view name) const {
  struct stat stat;
  return lstat(Host(name).c_str(), &stat) == 0;
}

std::string SessionTest::HostRead(std::string_view name) const {
  const UniqueFd fd(open(Host(name).c_str(), O_RDONLY | O_NONBLOCK));
  std::string text(1 << 20, '\0');
  const ssize_t size = read(fd.get(), text.data(), text.size());
  text.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return text;
}

}  // namespace virtfs
