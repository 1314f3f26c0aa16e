#include "frontend/client/share_node.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace virtfs::frontend {
namespace {

Result<void> SetAttributes(P9Client& client, p9::Fid fid, const Attributes& like) {
  p9::Tsetattr request;
  request.fid = fid;
  request.valid = p9::kSetattrAtime | p9::kSetattrAtimeSet | p9::kSetattrMtime | p9::kSetattrMtimeSet;
  if (!S_ISLNK(like.mode)) request.valid |= p9::kSetattrMode;
  request.mode = like.mode & 07777;
  request.atime_sec = static_cast<uint64_t>(like.atime.seconds);
  request.atime_nsec = like.atime.nanoseconds;
  request.mtime_sec = static_cast<uint64_t>(like.mtime.seconds);
  request.mtime_nsec = like.mtime.nanoseconds;
  const Result<p9::Rsetattr> reply = client.Call(request);
  if (!reply.ok()) return reply.error();
  return {};
}

template <typename T>
Result<void> Done(const Result<T>& reply) {
  if (!reply.ok()) return reply.error();
  return {};
}

class ShareReader : public Reader {
 public:
  ShareReader(P9Client& client, p9::Fid fid, uint64_t expected, const Pipeline& pipeline)
      : reader_(client, fid, expected, pipeline) {}

  Result<std::span<const uint8_t>> Next() override { return reader_.Next(); }

 private:
  RemoteReader reader_;
};

class ShareWriter : public Writer {
 public:
  ShareWriter(P9Client& client, RemoteFid fid, const Pipeline& pipeline)
      : client_(client), fid_(std::move(fid)), writer_(client, fid_.get(), pipeline) {}

  Result<void> Append(std::span<const uint8_t> bytes) override { return writer_.Append(bytes); }

  Result<void> Finish(const Attributes& like) override {
    if (Result<void> written = writer_.Finish(); !written.ok()) return written;
    // Behind the writes: they change the mtime, and take setuid away.
    return SetAttributes(client_, fid_.get(), like);
  }

 private:
  P9Client& client_;
  RemoteFid fid_;
  RemoteWriter writer_;
};

class ShareFile : public Node {
 public:
  ShareFile(P9Client& client, RemoteFid fid, const Pipeline& pipeline)
      : client_(client), fid_(std::move(fid)), pipeline_(pipeline) {}

  Result<Attributes> Stat() override {
    const Result<p9::Rgetattr> reply = client_.Call(p9::Tgetattr{fid_.get(), p9::kGetattrBasic});
    if (!reply.ok()) return reply.error();
    return Attributes{reply->mode,
                      reply->uid,
                      reply->gid,
                      reply->nlink,
                      reply->size,
                      reply->qid.path,
                      {static_cast<int64_t>(reply->atime_sec), static_cast<uint32_t>(reply->atime_nsec)},
                      {static_cast<int64_t>(reply->mtime_sec), static_cast<uint32_t>(reply->mtime_nsec)},
                      {static_cast<int64_t>(reply->ctime_sec), static_cast<uint32_t>(reply->ctime_nsec)}};
  }

  Result<void> Become(const Attributes& like) override { return SetAttributes(client_, fid_.get(), like); }

  Result<std::string> ReadLink() override { return client_.ReadLink(fid_.get()); }

  Result<std::unique_ptr<Reader>> Read(uint64_t expected) override {
    const Result<p9::Rlopen> opened = client_.Call(p9::Tlopen{fid_.get(), p9::kOpenReadOnly | p9::kOpenLargeFile});
    if (!opened.ok()) return opened.error();
    return std::unique_ptr<Reader>(std::make_unique<ShareReader>(client_, fid_.get(), expected, pipeline_));
  }

  Result<std::vector<std::string>> List() override {
    // An open fid cannot be walked from, and this one is.
    const Result<RemoteFid> open = client_.Walk(fid_.get());
    if (!open.ok()) return open.error();
    const Result<p9::Rlopen> opened = client_.Call(p9::Tlopen{open->get(), p9::kOpenReadOnly | p9::kOpenDirectory});
    if (!opened.ok()) return opened.error();
    Result<std::vector<RemoteEntry>> entries = ReadDirectory(client_, open->get());
    if (!entries.ok()) return entries.error();
    std::vector<std::string> names;
    names.reserve(entries->size());
    for (RemoteEntry& entry : *entries) names.push_back(std::move(entry.name));
    return names;
  }

  Result<std::unique_ptr<Node>> Child(const std::string& name) override {
    const std::string_view names[] = {name};
    Result<RemoteFid> fid = client_.Walk(fid_.get(), names);
    if (!fid.ok()) return fid.error();
    return std::unique_ptr<Node>(std::make_unique<ShareFile>(client_, *std::move(fid), pipeline_));
  }

  Result<void> MakeDirectory(const std::string& name) override {
    return Done(client_.Call(p9::Tmkdir{fid_.get(), name, 0700, getegid()}));
  }

  Result<void> MakeSymlink(const std::string& name, const std::string& target) override {
    return Done(client_.Call(p9::Tsymlink{fid_.get(), name, target, getegid()}));
  }

  Result<std::unique_ptr<Writer>> MakeFile(const std::string& name) override {
    // The directory's fid would become the file.
    Result<RemoteFid> fid = client_.Walk(fid_.get());
    if (!fid.ok()) return fid.error();
    const Result<p9::Rlcreate> created = client_.Call(
        p9::Tlcreate{fid->get(), name, p9::kOpenWriteOnly | p9::kOpenCreate | p9::kOpenTruncate | p9::kOpenLargeFile,
                     0600, getegid()});
    if (!created.ok()) return created.error();
    return std::unique_ptr<Writer>(std::make_unique<ShareWriter>(client_, *std::move(fid), pipeline_));
  }

  Result<void> Remove(const std::string& name, bool directory) override {
    return Done(client_.Call(p9::Tunlinkat{fid_.get(), name, directory ? p9::kUnlinkRemoveDirectory : 0}));
  }

 private:
  P9Client& client_;
  RemoteFid fid_;
  const Pipeline pipeline_;
};

}  // namespace

Result<std::unique_ptr<Node>> ShareNode(P9Client& client, p9::Fid root, std::string_view path,
                                        const Pipeline& pipeline) {
  Result<RemoteFid> fid = client.Walk(root);
  while (fid.ok() && !path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view names[] = {path.substr(0, end)};
    path.remove_prefix(std::min(end + 1, path.size()));
    if (names[0] == "..") return Errno(EINVAL);
    if (names[0].empty() || names[0] == ".") continue;
    // One by one, so that a path may be of any depth.
    fid = client.Walk(fid->get(), names);
  }
  if (!fid.ok()) return fid.error();
  return std::unique_ptr<Node>(std::make_unique<ShareFile>(client, *std::move(fid), pipeline));
}

}  // namespace virtfs::frontend
