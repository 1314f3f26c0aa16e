#include "fsops/session/xattr_value.h"

#include <algorithm>
#include <span>

#include "fsops/host/file_io.h"

namespace virtfs::session {
namespace {

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
std::span<uint8_t> Bytes(std::string& text) { return {reinterpret_cast<uint8_t*>(text.data()), text.size()}; }

}  // namespace

Result<XattrBudget::Share> XattrBudget::Take(uint64_t size) {
  uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (size > limit_ || used > limit_ - size) return Errno(ENOSPC);
  } while (!used_.compare_exchange_weak(used, used + size, std::memory_order_relaxed));
  return Share(this, size);
}

Result<std::unique_ptr<XattrValue>> XattrValue::ForReading(XattrBudget& budget, std::string bytes) {
  const size_t size = bytes.size();
  Result<XattrBudget::Share> share = budget.Take(size);
  if (!share.ok()) return share.error();
  return std::unique_ptr<XattrValue>(
      new XattrValue(*std::move(share), false, "", size, host::XattrMode::kEither, std::move(bytes)));
}

Result<std::unique_ptr<XattrValue>> XattrValue::ForWriting(XattrBudget& budget, std::string name, size_t size,
                                                           host::XattrMode mode, std::string bytes) {
  Result<XattrBudget::Share> share = budget.Take(name.size() + size);
  if (!share.ok()) return share.error();
  return std::unique_ptr<XattrValue>(
      new XattrValue(*std::move(share), true, std::move(name), size, mode, std::move(bytes)));
}

Result<size_t> XattrValue::Read(uint64_t offset, const Payload& room) {
  if (writable_) return Errno(EBADF);
  if (offset >= bytes_.size()) return size_t{0};
  return host::FileIo::CopyInto(Bytes(std::as_const(bytes_)).subspan(offset), room);
}

Result<size_t> XattrValue::Write(uint64_t offset, const Payload& data) {
  if (!writable_) return Errno(EBADF);
  if (offset > size_ || data.size() > size_ - offset) return Errno(ENOSPC);
  const std::lock_guard lock(mutex_);
  if (offset > bytes_.size()) return Errno(EINVAL);
  bytes_.resize(std::max<size_t>(bytes_.size(), offset + data.size()));
  return host::FileIo::CopyFrom(data, Bytes(bytes_).subspan(offset));
}

Result<void> XattrValue::Set(host::Export& tree, host::Inode& inode, const Ids& ids) {
  if (!writable_) return {};
  if (size_ == 0) return tree.RemoveXattr(inode, name_);
  std::string bytes;
  {
    // A Twrite that is still under way comes too late.
    const std::lock_guard lock(mutex_);
    bytes.swap(bytes_);
  }
  if (bytes.size() != size_) return Errno(EINVAL);
  if (Ids::IsAcl(name_)) {
    Result<std::string> acl = ids.AclForHost(bytes);
    if (!acl.ok()) return acl.error();
    bytes = *std::move(acl);
  }
  return tree.SetXattr(inode, name_, Bytes(std::as_const(bytes)), mode_);
}

}  // namespace virtfs::session
