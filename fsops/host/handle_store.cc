#include "fsops/host/handle_store.h"

#include <algorithm>
#include <cstring>

namespace virtfs::host {
namespace {

// A token: the record's uses (16 bits) | number of its kind (16) | index of the record (32).
constexpr size_t kMaxKinds = 1 << 16;

}  // namespace

HandleStore::Records::Records(const HandleKind& kind)
    : kind_(kind), record_size_(sizeof(Uses) + std::max(kind.bytes, sizeof(free_))) {}

HandleStore::Uses HandleStore::Records::uses(uint32_t index) {
  Uses uses;
  std::memcpy(&uses, Record(index), sizeof uses);
  return uses;
}

void HandleStore::Records::CountUse(uint32_t index) {
  const auto next = static_cast<Uses>(uses(index) + 1);
  std::memcpy(Record(index), &next, sizeof next);
}

std::optional<uint32_t> HandleStore::Records::Take() {
  uint32_t index = free_;
  if (index != kNone) {
    std::memcpy(&free_, Record(index) + sizeof(Uses), sizeof free_);
  } else {
    if (count_ == kNone) return std::nullopt;
    if (count_ % kInChunk == 0) {
      chunks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kInChunk * record_size_));
    }
    index = count_++;
    std::memset(Record(index), 0, sizeof(Uses));
  }
  CountUse(index);
  return index;
}

void HandleStore::Records::Free(uint32_t index) {
  CountUse(index);
  std::memcpy(Record(index) + sizeof(Uses), &free_, sizeof free_);
  free_ = index;
}

std::optional<HandleToken> HandleStore::Add(const HandleKind& kind, std::span<const uint8_t> handle) {
  auto records = std::find_if(kinds_.begin(), kinds_.end(), [&](const Records& r) { return r.kind() == kind; });
  if (records == kinds_.end()) {
    if (kinds_.size() == kMaxKinds) return std::nullopt;
    kinds_.emplace_back(kind);
    records = kinds_.end() - 1;
  }
  const std::optional<uint32_t> index = records->Take();
  if (!index) return std::nullopt;
  std::copy(handle.begin(), handle.end(), records->handle(*index).begin());
  ++size_;
  const auto number = static_cast<uint64_t>(records - kinds_.begin());
  return HandleToken{uint64_t{records->uses(*index)} << 48 | number << 32 | *index};
}

std::optional<HandleStore::Position> HandleStore::PositionOf(HandleToken token) {
  const auto value = static_cast<uint64_t>(token);
  const auto uses = static_cast<Uses>(value >> 48);
  const size_t number = value >> 32 & (kMaxKinds - 1);
  const auto index = static_cast<uint32_t>(value);
  if (uses % 2 == 0 || number >= kinds_.size()) return std::nullopt;
  Records& records = kinds_[number];
  if (index >= records.count() || records.uses(index) != uses) return std::nullopt;
  return Position{&records, index};
}

std::optional<HandleStore::Found> HandleStore::Find(HandleToken token) {
  const std::optional<Position> at = PositionOf(token);
  if (!at) return std::nullopt;
  return Found{at->records->kind(), at->records->handle(at->index)};
}

bool HandleStore::Erase(HandleToken token) {
  const std::optional<Position> at = PositionOf(token);
  if (!at) return false;
  at->records->Free(at->index);
  --size_;
  return true;
}

}  // namespace virtfs::host
