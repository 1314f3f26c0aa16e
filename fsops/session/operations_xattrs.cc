// Txattrwalk, Txattrcreate: fids that stand for an extended attribute.

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "fsops/session/operations.h"

namespace virtfs::session {
namespace {

constexpr size_t kMaxName = 255;  // XATTR_NAME_MAX

std::optional<host::XattrMode> ParseMode(uint32_t flags) {
  switch (flags) {
    case 0:
      return host::XattrMode::kEither;
    case p9::kXattrCreate:
      return host::XattrMode::kCreate;
    case p9::kXattrReplace:
      return host::XattrMode::kReplace;
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<p9::Rxattrwalk> Operations::Do(const p9::Txattrwalk& request, Context& /*context*/) {
  const Result<FidRef> found = FindToAct(request.fid);
  if (!found.ok()) return found.error();
  const FidState& file = **found;
  Result<std::string> bytes =
      request.name.empty() ? tree_.ListXattr(*file.inode) : tree_.GetXattr(*file.inode, request.name);
  if (!bytes.ok()) return bytes.error();
  if (Ids::IsAcl(request.name)) bytes = ids_.AclForGuest(*bytes);
  const uint64_t size = bytes->size();
  Result<std::unique_ptr<XattrValue>> value = XattrValue::ForReading(xattrs_, *std::move(bytes));
  if (!value.ok()) return value.error();
  auto state = std::make_unique<FidState>(file.uid, file.inode, NameRef(), std::make_unique<Opened>(*std::move(value)));
  if (Result<void> made = fids_.Insert(request.newfid, std::move(state)); !made.ok()) return made.error();
  return p9::Rxattrwalk{.size = size};
}

Result<p9::Rxattrcreate> Operations::Do(const p9::Txattrcreate& request, Context& /*context*/) {
  Result<FidTable::Change> change = fids_.BeginChange(request.fid);
  if (!change.ok()) return change.error();
  const FidState& file = change->before();
  if (file.opened != nullptr) return Errno(EINVAL);
  const std::optional<host::XattrMode> mode = ParseMode(request.flags);
  if (!mode.has_value()) return Errno(EINVAL);
  if (request.name.empty() || request.name.size() > kMaxName) return Errno(ERANGE);
  if (request.attr_size > XattrValue::kMaxSize) return Errno(E2BIG);
  if (tree_.readonly()) return Errno(EROFS);
  Result<std::unique_ptr<XattrValue>> value =
      XattrValue::ForWriting(xattrs_, std::string(request.name), request.attr_size, *mode);
  if (!value.ok()) return value.error();
  std::move(*change).Commit(
      std::make_unique<FidState>(file.uid, file.inode, NameRef(), std::make_unique<Opened>(*std::move(value))));
  return p9::Rxattrcreate{};
}

}  // namespace virtfs::session
