// The fids and locks of a session as a value, and back.

#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "fsops/session/operations.h"

namespace virtfs::session {
namespace {

// Opening again must not do again what opening did once.
constexpr uint32_t kOnlyOnce = p9::kOpenTruncate | p9::kOpenCreate | p9::kOpenExclusive;

}  // namespace

Result<void> Operations::Save(Image& image) {
  image.qid_paths = qid_paths_.Entries();
  absl::flat_hash_map<const host::Inode*, uint32_t> numbers = {{tree_.root().get(), Image::kRoot}};
  const auto number_of = [&](const host::InodeRef& inode) -> Result<uint32_t> {
    if (!inode) return Image::kNoFile;
    if (const auto known = numbers.find(inode.get()); known != numbers.end()) return known->second;
    const Result<host::HandleToken> token = tree_.KeepToken(*inode);
    // A file that is gone already is stale for the next session too.
    if (!token.ok() && token.error() == Errno(ESTALE)) return Image::kNoFile;
    if (!token.ok()) return token.error();
    image.tokens.push_back(*token);
    const auto number = static_cast<uint32_t>(image.tokens.size());
    numbers.emplace(inode.get(), number);
    return number;
  };

  const auto save_fid = [&](p9::Fid fid, const FidState& state) -> Result<void> {
    Image::FidEntry entry;
    entry.fid = fid;
    entry.uid = state.uid;
    const Result<uint32_t> file = number_of(state.inode);
    if (!file.ok()) return file.error();
    entry.file = *file;
    if (state.name) {
      const Place place = names_.Where(state.name);
      const Result<uint32_t> dir = number_of(place.dir);
      if (!dir.ok()) return dir.error();
      entry.dir = *dir;
      entry.name = place.name.view();
    }
    if (state.opened != nullptr && state.opened->xattr != nullptr) {
      const XattrValue& xattr = *state.opened->xattr;
      entry.xattr = {.writable = xattr.writable(),
                     .name = xattr.name(),
                     .size = static_cast<uint32_t>(xattr.size()),
                     .mode = static_cast<uint8_t>(xattr.mode()),
                     .bytes = xattr.bytes()};
    } else if (state.opened != nullptr) {
      entry.open_flags = state.opened->flags & ~kOnlyOnce;
    }
    image.fids.push_back(std::move(entry));
    return {};
  };
  const auto save_all = [&]() -> Result<void> {
    for (const auto& [fid, state] : fids_.Snapshot()) {
      if (Result<void> saved = save_fid(fid, *state); !saved.ok()) return saved;
    }
    Result<std::vector<Locks::Saved>> locked = locks_.Save();
    if (!locked.ok()) return locked.error();
    for (Locks::Saved& saved : *locked) {
      const Result<uint32_t> file = number_of(saved.inode);
      if (!file.ok()) return file.error();
      image.locked.push_back({.file = *file, .ranges = std::move(saved.ranges)});
      image.lock_files.push_back(std::move(saved.shared));
    }
    return {};
  };
  Result<void> saved = save_all();
  // The tokens that were kept are dropped with the Inodes that adopt them.
  if (!saved.ok()) {
    for (const host::HandleToken token : image.tokens) static_cast<void>(tree_.AdoptToken(token));
  }
  return saved;
}

Result<std::unique_ptr<XattrValue>> Operations::RestoreXattr(const ImageXattr& saved) {
  if (!saved.writable) return XattrValue::ForReading(xattrs_, saved.bytes);
  const bool known_mode = saved.mode <= static_cast<uint8_t>(host::XattrMode::kReplace);
  if (!known_mode || saved.size > XattrValue::kMaxSize || saved.bytes.size() > saved.size) return Errno(EINVAL);
  return XattrValue::ForWriting(xattrs_, saved.name, saved.size, host::XattrMode{saved.mode}, saved.bytes);
}

// After the fids, which must have opened what they have locked.
Result<void> Operations::RestoreLocks(const Image::Locked& locked, const host::InodeRef& inode,
                                      std::shared_ptr<const UniqueFd> shared) {
  Locks::Saved saved = {.inode = inode, .ranges = {}, .shared = std::move(shared)};
  for (const auto& entry : locked.ranges) {
    const Result<FidRef> fid = FindOpen(entry.second.fid);
    if (!fid.ok() && fid.error() == Errno(ESTALE)) continue;
    if (!fid.ok() || (*fid)->inode != inode) return Errno(EINVAL);
    (*fid)->opened->locked = true;
    saved.ranges.push_back(entry);
  }
  if (!inode || saved.ranges.empty()) return {};
  const Result<std::vector<p9::Fid>> lost = locks_.Restore(saved);
  if (!lost.ok()) return lost.error();
  for (const p9::Fid fid : *lost) {
    const Result<FidRef> state = fids_.Remove(fid);
    if (!state.ok()) continue;  // It has lost another one already.
    auto stale = std::make_unique<FidState>((*state)->uid, host::InodeRef(), NameRef());
    if (Result<void> inserted = fids_.Insert(fid, std::move(stale)); !inserted.ok()) return inserted;
  }
  return {};
}

Result<void> Operations::Restore(const Image& image) {
  std::vector<host::InodeRef> files = {tree_.root()};
  for (const host::HandleToken token : image.tokens) {
    Result<host::Node> node = tree_.AdoptToken(token);
    const bool usable = node.ok() && qid_paths_.Allows(node->attributes.dev);
    files.push_back(usable ? std::move(node->inode) : host::InodeRef());
  }
  qid_paths_.Restore(image.qid_paths);

  const auto file_at = [&](uint32_t number) { return number < files.size() ? files[number] : host::InodeRef(); };
  const auto restore_fid = [&](const Image::FidEntry& entry) -> Result<void> {
    host::InodeRef inode = file_at(entry.file);
    NameRef name;
    if (host::InodeRef dir = file_at(entry.dir)) {
      if (!host::PathComponent::Parse(entry.name).ok()) return Errno(EINVAL);
      name = names_.Intern(dir, entry.name);
      tree_.Locate(*dir, *host::PathComponent::Parse(entry.name));
    }
    std::unique_ptr<Opened> opened;
    if (entry.open_flags.has_value() && inode) {
      const uint32_t flags = *entry.open_flags & ~kOnlyOnce;
      const Result<host::OpenFlags> parsed = host::OpenFlags::Parse(flags);
      if (!parsed.ok()) return parsed.error();
      Result<OpenFileBudget::Slot> slot = open_files_.Take();
      if (!slot.ok()) return slot.error();
      const Result<void> acting = ActFor(entry.uid);
      Result<std::unique_ptr<host::OpenFile>> file =
          acting.ok() ? tree_.Open(*inode, *parsed) : Result<std::unique_ptr<host::OpenFile>>(acting.error());
      if (file.ok()) {
        opened = std::make_unique<Opened>(*std::move(slot), *std::move(file), flags);
      } else {
        inode = host::InodeRef();
      }
    } else if (entry.xattr.has_value() && inode) {
      Result<std::unique_ptr<XattrValue>> xattr = RestoreXattr(*entry.xattr);
      if (!xattr.ok()) return xattr.error();
      opened = std::make_unique<Opened>(*std::move(xattr));
    }
    return fids_.Insert(entry.fid,
                        std::make_unique<FidState>(entry.uid, std::move(inode), std::move(name), std::move(opened)));
  };
  const auto restore_all = [&]() -> Result<void> {
    for (const Image::FidEntry& entry : image.fids) {
      if (Result<void> restored = restore_fid(entry); !restored.ok()) return restored;
    }
    for (size_t i = 0; i < image.locked.size(); ++i) {
      const Image::Locked& locked = image.locked[i];
      const Result<void> restored =
          RestoreLocks(locked, file_at(locked.file), image.lock_files.empty() ? nullptr : image.lock_files[i]);
      if (!restored.ok()) return restored;
    }
    return {};
  };
  if (restore_all().ok()) return {};
  Reset();
  return Errno(EINVAL);
}

}  // namespace virtfs::session
