#include "frontend/ninepfs_client.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno.h"

namespace virtfs::frontend {

absl::StatusOr<std::unique_ptr<NinepfsClient>> NinepfsClient::Create(const NinepfsOptions& options) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  UniqueFd failed_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.ok() || !failed_event.ok()) {
    return absl::InternalError(absl::StrCat("cannot make an eventfd: ", Errno::Last().message()));
  }
  std::unique_ptr<NinepfsClient> client(new NinepfsClient(options, std::move(wake), std::move(failed_event)));
  auto grants = GrantHandle::Open();
  if (!grants.ok()) return grants.status();
  client->grants_ = *std::move(grants);
  auto events = EventChannel::Create(options.backend, options.rings);
  if (!events.ok()) return events.status();
  client->events_ = *std::move(events);
  client->max_msize_ = UINT32_MAX;
  for (uint32_t i = 0; i < options.rings; ++i) {
    auto ring = NinepfsRing::Create(*client->grants_, options.backend, options.order);
    if (!ring.ok()) return ring.status();
    client->max_msize_ = std::min(client->max_msize_, (*ring)->size() / 2);
    client->rings_.push_back(*std::move(ring));
  }
  return client;
}

NinepfsClient::NinepfsClient(const NinepfsOptions& options, UniqueFd wake, UniqueFd failed_event)
    : CallChannel(options.max_poll, std::move(wake), std::move(failed_event)) {}

bool NinepfsClient::EverFits(const RingCall& call) { return call.head.size() + call.payload.size() <= max_msize_; }

bool NinepfsClient::TryPush(RingCall& call) {
  assert(call.head.size() >= p9::kHeaderSize && call.reply.size() >= p9::kErrorReplySize && call.lend == 0);
  const p9::Tag tag = p9::ParseHeader(call.head)->tag;
  if (pushed_.contains(tag)) return false;
  const uint32_t ring = tag % rings();
  const NinepfsRing::Result pushed = rings_[ring]->Push(call.head, call.payload);
  if (pushed == NinepfsRing::Result::kFault) request_fault_ = true;
  if (pushed != NinepfsRing::Result::kYes) return false;
  pushed_[tag] = {.call = &call, .ring = ring};
  statistics_.request_bytes += call.head.size() + call.payload.size();
  return true;
}

void NinepfsClient::Notify(uint32_t ring) {
  events_->Notify(ring);
  ++statistics_.notifications;
}

void NinepfsClient::Publish() {
  for (uint32_t ring = 0; ring < rings(); ++ring) {
    if (rings_[ring]->Publish()) Notify(ring);
  }
}

bool NinepfsClient::Readable() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->Readable(); });
}

const char* NinepfsClient::TakeResponses() {
  if (request_fault_) return "it took more off a ring than there was";
  for (uint32_t ring = 0; ring < rings(); ++ring) {
    for (;;) {
      Received received{.call = nullptr, .ring = ring, .found = {}};
      const p9::Header& reply = received.found.header;
      const NinepfsRing::Result found = rings_[ring]->Next(received.found);
      if (found == NinepfsRing::Result::kFault) return "it published more than a ring has, or no 9P message";
      if (found == NinepfsRing::Result::kNo) break;
      const auto pushed = pushed_.find(reply.tag);
      if (pushed == pushed_.end() || pushed->second.ring != ring) return "it answered a request that is not in flight";
      received.call = pushed->second.call;
      const uint8_t type = p9::ParseHeader(received.call->head)->type;
      if (reply.type != type + 1 && reply.type != p9::Rlerror::kType) {
        return "a reply has the type of another request's";
      }
      if (reply.size > received.call->reply.size() + received.call->data.size()) {
        return "a reply is longer than its room";
      }
      pushed_.erase(pushed);
      received_.push_back(received);
    }
  }
  return nullptr;
}

// Each byte is copied once. The header is the one that was checked, whatever the ring says by now.
void NinepfsClient::CopyReceived() {
  for (const Received& received : received_) {
    RingCall& call = *received.call;
    const NinepfsRing& ring = *rings_[received.ring];
    const uint32_t size = received.found.header.size;
    const auto head = static_cast<uint32_t>(std::min<size_t>(size, call.reply.size()));
    std::copy(received.found.bytes.begin(), received.found.bytes.end(), call.reply.begin());
    ring.Copy(received.found.position + p9::kHeaderSize, call.reply.first(head).subspan(p9::kHeaderSize));
    ring.Copy(received.found.position + head, call.data.first(size - head));
  }
}

void NinepfsClient::CompleteReceived() {
  for (const Received& received : received_) {
    received.call->reply_size = received.found.header.size;
    statistics_.reply_bytes += received.found.header.size;
    Complete(*received.call, 0);
  }
  received_.clear();
  for (uint32_t ring = 0; ring < rings(); ++ring) {
    if (rings_[ring]->Release()) Notify(ring);
  }
}

void NinepfsClient::FailPushed() {
  for (const auto& [tag, pushed] : pushed_) Complete(*pushed.call, EIO);
  pushed_.clear();
}

}  // namespace virtfs::frontend
