#include "frontend/remote_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace virtfs::frontend {
namespace {

uint32_t ChunkFor(const P9Client& client, const Pipeline& pipeline) {
  return std::max<uint32_t>(std::min(pipeline.chunk, client.max_data()), 1024);
}

}  // namespace

struct RemoteReader::Slot {
  explicit Slot(P9Client& client) : exchange(client) {}

  std::vector<uint8_t> bytes;
  uint64_t offset = 0;
  uint32_t asked = 0;
  Exchange<p9::Tread> exchange;  // Last: it ends before its buffer does.
};

RemoteReader::RemoteReader(P9Client& client, p9::Fid fid, uint64_t expected, const Pipeline& pipeline)
    : client_(client), fid_(fid), expected_(expected), chunk_(ChunkFor(client, pipeline)) {
  const uint64_t pieces = (expected + chunk_ - 1) / chunk_;
  slots_.resize(std::clamp<uint64_t>(pieces, 1, pipeline.depth));
}

RemoteReader::~RemoteReader() = default;

// Asks for one piece more, behind what is asked for. A file whose length is not known is read piece by piece.
void RemoteReader::Ask() {
  const uint64_t left = asked_ < expected_ ? expected_ - asked_ : chunk_;
  std::unique_ptr<Slot>& slot = slots_[(next_ + in_flight_) % slots_.size()];
  if (!slot) slot = std::make_unique<Slot>(client_);
  slot->offset = asked_;
  slot->asked = static_cast<uint32_t>(std::min<uint64_t>(left, chunk_));
  slot->bytes.resize(slot->asked);
  slot->exchange.Start({fid_, slot->offset, slot->asked}, {}, slot->bytes);
  asked_ += slot->asked;
  ++in_flight_;
}

Result<std::span<const uint8_t>> RemoteReader::Next() {
  if (expected_ > 0 && read_ >= expected_ && in_flight_ == 0) return std::span<const uint8_t>();
  while (in_flight_ < slots_.size() && (asked_ < expected_ || in_flight_ == 0)) Ask();
  Slot& slot = *slots_[next_];
  next_ = (next_ + 1) % slots_.size();
  --in_flight_;
  const Result<p9::Rread> reply = slot.exchange.Wait();
  if (!reply.ok()) return reply.error();
  read_ = slot.offset + reply->count;
  if (reply->count < slot.asked) {
    // Short: at the end of the file, or of the server's patience. What was asked for behind it has left a gap, if it
    // brings anything, so begin anew from here.
    for (; in_flight_ > 0; --in_flight_, next_ = (next_ + 1) % slots_.size()) {
      if (Result<p9::Rread> dropped = slots_[next_]->exchange.Wait(); !dropped.ok()) return dropped.error();
    }
    asked_ = read_;
  }
  return std::span<const uint8_t>(slot.bytes).first(reply->count);
}

struct RemoteWriter::Slot {
  explicit Slot(P9Client& client) : exchange(client) {}

  std::vector<uint8_t> bytes;
  uint64_t offset = 0;
  Exchange<p9::Twrite> exchange;
};

RemoteWriter::RemoteWriter(P9Client& client, p9::Fid fid, const Pipeline& pipeline)
    : client_(client), fid_(fid), chunk_(ChunkFor(client, pipeline)), depth_(std::max<uint32_t>(pipeline.depth, 1)) {}

RemoteWriter::~RemoteWriter() = default;

Result<void> RemoteWriter::Append(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (next_ == slots_.size()) slots_.push_back(std::make_unique<Slot>(client_));
    Slot& slot = *slots_[next_];
    if (slot.exchange.started()) {
      if (Result<void> written = Await(slot); !written.ok()) return written;
    }
    const size_t size = std::min(bytes.size(), chunk_ - slot.bytes.size());
    slot.bytes.insert(slot.bytes.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    bytes = bytes.subspan(size);
    if (slot.bytes.size() == chunk_) {
      if (Result<void> sent = Send(); !sent.ok()) return sent;
    }
  }
  return {};
}

// Sends what is gathered, and turns to the next slot.
Result<void> RemoteWriter::Send() {
  Slot& slot = *slots_[next_];
  slot.offset = offset_;
  offset_ += slot.bytes.size();
  slot.exchange.Start({fid_, slot.offset, static_cast<uint32_t>(slot.bytes.size())}, slot.bytes);
  next_ = (next_ + 1) % depth_;
  return {};
}

// Waits for a piece, and sends again what a short write left of it.
Result<void> RemoteWriter::Await(Slot& slot) {
  std::span<const uint8_t> left = slot.bytes;
  for (;;) {
    const Result<p9::Rwrite> reply = slot.exchange.Wait();
    if (!reply.ok()) return reply.error();
    if (reply->count == 0 || reply->count > left.size()) return Errno(EPROTO);
    left = left.subspan(reply->count);
    slot.offset += reply->count;
    if (left.empty()) break;
    slot.exchange.Start({fid_, slot.offset, static_cast<uint32_t>(left.size())}, left);
  }
  slot.bytes.clear();
  return {};
}

Result<void> RemoteWriter::Finish() {
  if (next_ < slots_.size() && !slots_[next_]->bytes.empty() && !slots_[next_]->exchange.started()) {
    if (Result<void> sent = Send(); !sent.ok()) return sent;
  }
  for (const std::unique_ptr<Slot>& slot : slots_) {
    if (!slot->exchange.started()) continue;
    if (Result<void> written = Await(*slot); !written.ok()) return written;
  }
  return {};
}

Result<std::vector<RemoteEntry>> ReadDirectory(P9Client& client, p9::Fid fid) {
  // A directory is read in turns: where the next reply begins is known only from the last.
  constexpr uint32_t kMost = 64 * 1024;
  std::vector<uint8_t> data(std::min(client.max_data(), kMost));
  std::vector<RemoteEntry> entries;
  uint64_t offset = 0;
  for (;;) {
    const Result<p9::Rreaddir> reply =
        client.Call(p9::Treaddir{fid, offset, static_cast<uint32_t>(data.size())}, {}, data);
    if (!reply.ok()) return reply.error();
    if (reply->count == 0) return entries;
    std::span<const uint8_t> left = std::span<const uint8_t>(data).first(reply->count);
    p9::DirEntry entry;
    while (p9::DecodeDirEntry(left, entry)) {
      offset = entry.offset;
      if (entry.name == "." || entry.name == "..") continue;
      // A name that is none would lead us somewhere else in our own tree.
      if (entry.name.empty() || entry.name.find('/') != std::string_view::npos ||
          entry.name.find('\0') != std::string_view::npos) {
        return Errno(EPROTO);
      }
      entries.push_back({std::string(entry.name), entry.type});
    }
    if (!left.empty()) return Errno(EPROTO);
  }
}

}  // namespace virtfs::frontend
