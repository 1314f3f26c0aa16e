// The fids of a session as a value, and back.

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
    if (state.opened != nullptr) entry.open_flags = state.opened->flags & ~kOnlyOnce;
    image.fids.push_back(std::move(entry));
    return {};
  };
  for (const auto& [fid, state] : fids_.Snapshot()) {
    if (Result<void> saved = save_fid(fid, *state); !saved.ok()) {
      // The tokens that were kept are dropped with the Inodes that adopt them.
      for (const host::HandleToken token : image.tokens) static_cast<void>(tree_.AdoptToken(token));
      return saved;
    }
  }
  return {};
}

Result<void> Operations::Restore(const Image& image) {
  std::vector<host::InodeRef> files = {tree_.root()};
  for (const host::HandleToken token : image.tokens) {
    Result<host::Node> node = tree_.AdoptToken(token);
    files.push_back(node.ok() ? std::move(node->inode) : host::InodeRef());
  }
  qid_paths_.Restore(image.qid_paths);

  const auto restore_fid = [&](const Image::FidEntry& entry) -> Result<void> {
    const auto file_at = [&](uint32_t number) { return number < files.size() ? files[number] : host::InodeRef(); };
    host::InodeRef inode = file_at(entry.file);
    NameRef name;
    if (host::InodeRef dir = file_at(entry.dir)) {
      if (!host::PathComponent::Parse(entry.name).ok()) return Errno(EINVAL);
      name = names_.Intern(dir, entry.name);
    }
    std::unique_ptr<Opened> opened;
    if (entry.open_flags.has_value() && inode) {
      const uint32_t flags = *entry.open_flags & ~kOnlyOnce;
      const Result<host::OpenFlags> parsed = host::OpenFlags::Parse(flags);
      if (!parsed.ok()) return parsed.error();
      Result<OpenFileBudget::Slot> slot = open_files_.Take();
      if (!slot.ok()) return slot.error();
      Result<std::unique_ptr<host::OpenFile>> file = tree_.Open(*inode, *parsed);
      if (file.ok()) {
        opened = std::make_unique<Opened>(*std::move(slot), *std::move(file), flags);
      } else {
        inode = host::InodeRef();
      }
    }
    return fids_.Insert(entry.fid,
                        std::make_unique<FidState>(entry.uid, std::move(inode), std::move(name), std::move(opened)));
  };
  for (const Image::FidEntry& entry : image.fids) {
    if (!restore_fid(entry).ok()) {
      fids_.Clear();
      return Errno(EINVAL);
    }
  }
  return {};
}

}  // namespace virtfs::session
