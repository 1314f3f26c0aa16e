#include "frontend/ring_client.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno.h"
#include "protocol/codec.h"

namespace virtfs::frontend {
namespace {

constexpr size_t kPage = XEN_VIRTFS_PAGE_SIZE;
constexpr uint32_t kReservedSlots = XEN_VIRTFS_RESERVED_SLOTS;
// A Tflush and a Tclunk take a page each.
constexpr uint32_t kReservedPages = 2;
// One page of payload beside those, and one for the heads.
constexpr uint32_t kLeastPages = 8;
// Of a request of the least msize.
constexpr uint32_t kLeastSlots = 3;

// The id of a chain's slot: which chain, and which of its slots.
constexpr uint16_t SlotId(size_t chain, size_t position) { return static_cast<uint16_t>(chain | position << 8); }

}  // namespace

absl::StatusOr<std::unique_ptr<RingClient>> RingClient::Create(const RingOptions& options) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  UniqueFd failed_event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.ok() || !failed_event.ok()) {
    return absl::InternalError(absl::StrCat("cannot make an eventfd: ", Errno::Last().message()));
  }
  std::unique_ptr<RingClient> client(new RingClient(options, std::move(wake), std::move(failed_event)));

  auto grants = GrantHandle::Open();
  if (!grants.ok()) return grants.status();
  client->grants_ = *std::move(grants);
  auto event_channel = EventChannel::Create(options.backend);
  if (!event_channel.ok()) return event_channel.status();
  client->event_channel_ = *std::move(event_channel);

  const auto create_pool = [&](uint32_t want, uint32_t least, bool writable, std::unique_ptr<PagePool>& pool) {
    auto created = PagePool::Create(*client->grants_, options.backend, want, least, writable);
    if (!created.ok()) return created.status();
    pool = *std::move(created);
    return absl::OkStatus();
  };
  absl::Status status = create_pool(1, 1, true, client->ring_page_);
  if (status.ok()) status = create_pool(options.pages, kLeastPages, options.persistent, client->request_pool_);
  if (status.ok() && !options.persistent) status = create_pool(options.pages, kLeastPages, true, client->reply_pool_);
  if (!status.ok()) return status;

  client->ring_ = std::make_unique<Ring>(client->ring_page_->page(0));
  return client;
}

// docs/virtfs.md, section 10.4: one slot and page for the head, one slot for the other half, and all others payload.
uint32_t RingClient::MaxMsize(uint32_t at_once) const {
  const uint32_t pages = (std::min(request_pool_->size(), reply_pool().size()) - kReservedPages) / at_once;
  const uint32_t slots = std::min({options_.max_chain_slots, (Ring::kSlots - kReservedSlots) / at_once, pages + 1});
  return (std::max(slots, kLeastSlots) - 2) * static_cast<uint32_t>(kPage) + p9::kIoHeaderSize;
}

RingClient::RingClient(const RingOptions& options, UniqueFd wake, UniqueFd failed_event)
    : CallChannel(options.max_poll, std::move(wake), std::move(failed_event)), options_(options) {
  for (size_t id = kMaxChains; id > 0; --id) free_chains_.push_back(static_cast<ChainId>(id - 1));
}

RingClient::~RingClient() = default;

ChainLayout& RingClient::LayOut(const RingCall& call) {
  assert(call.head.size() >= p9::kHeaderSize && call.reply.size() >= p9::kErrorReplySize);
  assert(call.lend == 0 || (call.data.empty() && call.on_done != nullptr));
  scratch_layout_.Assign({call.head.size(), call.payload.size(), call.reply.size(), call.data.size() + call.lend},
                         reply_pool_ == nullptr);
  return scratch_layout_;
}

bool RingClient::EverFits(const RingCall& call) {
  const ChainLayout& layout = LayOut(call);
  if (layout.slots() > std::min(options_.max_chain_slots, Ring::kSlots - kReservedSlots)) return false;
  return HasPages(layout, request_pool_->size(), reply_pool().size(), kReservedPages);
}

// Whether the layout's pages can be had from pools with so many, `kept` of which are to stay.
bool RingClient::HasPages(const ChainLayout& layout, uint32_t request_pages, uint32_t reply_pages,
                          uint32_t kept) const {
  if (reply_pool_ == nullptr) return size_t{layout.request_pages} + layout.reply_pages + kept <= request_pages;
  return layout.request_pages + kept <= request_pages && layout.reply_pages + kept <= reply_pages;
}

// Gives `call` pages and slots, if there are enough.
bool RingClient::TryPush(RingCall& call) {
  const ChainLayout& layout = LayOut(call);
  const size_t slots = layout.slots() + (call.urgent ? 0 : kReservedSlots);
  if (free_chains_.empty() || slots > ring_->free_slots() || layout.slots() > options_.max_chain_slots) return false;
  if (!HasPages(layout, request_pool_->free(), reply_pool().free(), call.urgent ? 0 : kReservedPages)) return false;

  const ChainId id = free_chains_.back();
  free_chains_.pop_back();
  Chain& chain = chains_[id];
  chain.call = &call;
  chain.received = false;
  chain.error = 0;
  chain.fault = nullptr;
  std::swap(chain.layout, scratch_layout_);
  const size_t pages = size_t{chain.layout.request_pages} + chain.layout.reply_pages;
  for (size_t page = 0; page < pages; ++page) chain.pages.push_back(PoolOf(chain.layout, page).Allocate());
  ScatterRequest(chain);

  scratch_slots_.clear();
  const auto add = [&](const Segment& segment, uint16_t flags) {
    const uint32_t gref = PoolOf(chain.layout, segment.page).gref(chain.pages[segment.page]);
    scratch_slots_.push_back({gref, segment.offset, static_cast<uint16_t>(flags | XEN_VIRTFSF_MORE),
                              SlotId(id, scratch_slots_.size()), segment.size});
  };
  for (const Segment& segment : chain.layout.request) add(segment, 0);
  for (const Segment& segment : chain.layout.reply) add(segment, XEN_VIRTFSF_WRITE);
  scratch_slots_.back().flags &= static_cast<uint16_t>(~XEN_VIRTFSF_MORE);
  ring_->Push(scratch_slots_);
  pushed_ = true;
  statistics_.request_bytes += call.head.size() + call.payload.size();
  return true;
}

void RingClient::Publish() {
  if (!std::exchange(pushed_, false)) return;
  if (ring_->Publish()) {
    event_channel_->Notify();
    ++statistics_.notifications;
  }
}

// Takes all chains that are answered off the ring into received_. Returns what rule the backend broke, if any.
const char* RingClient::TakeResponses() {
  int available = ring_->Available();
  if (available < 0) return "it answered more than it was asked, or took answers back";
  while (available > 0) {
    const xen_virtfsif_response first = ring_->Take();
    const size_t id = first.id & 0xff;
    if (first.id != SlotId(id, 0) || id >= kMaxChains) return "it answered with an id that no request has";
    Chain& chain = chains_[id];
    if (chain.call == nullptr || chain.received) return "it answered a request that is not in flight";
    const int slots = static_cast<int>(chain.layout.slots());
    if (slots > available) return "it answered a part of a chain";
    for (int i = 1; i < slots; ++i) {
      const xen_virtfsif_response next = ring_->Take();
      if (next.id != SlotId(id, static_cast<size_t>(i)) || next.status != first.status) {
        return "it answered one chain with different ids or statuses";
      }
    }
    available -= slots;
    chain.received = true;
    chain.error = first.status == XEN_VIRTFS_STATUS_OKAY ? 0 : EIO;
    received_.push_back(static_cast<ChainId>(id));
  }
  return nullptr;
}

void RingClient::CopyReceived() {
  // Until a chain is freed, nobody else touches it or its pages.
  for (const ChainId id : received_) {
    if (chains_[id].error == 0) CopyReply(chains_[id]);
  }
}

void RingClient::CompleteReceived() {
  for (const ChainId id : received_) {
    Chain& chain = chains_[id];
    RingCall& call = *std::exchange(chain.call, nullptr);
    if (chain.fault != nullptr) {
      FailLocked(chain.fault);
      chain.error = EIO;
    }
    if (chain.error == 0 && call.lent()) {
      call.chain_ = id;
    } else {
      FreeChain(id);
    }
    if (chain.error == 0) statistics_.reply_bytes += call.reply_size;
    Complete(call, chain.error);
  }
  received_.clear();
}

void RingClient::FailPushed() {
  for (Chain& chain : chains_) {
    // A received chain is the receiver's. The pages of the others stay allocated: the backend may still write there.
    if (chain.call != nullptr && !chain.received) Complete(*std::exchange(chain.call, nullptr), EIO);
  }
}

void RingClient::FreeChain(ChainId id) {
  Chain& chain = chains_[id];
  for (size_t page = 0; page < chain.pages.size(); ++page) PoolOf(chain.layout, page).Release(chain.pages[page]);
  chain.pages.clear();
  free_chains_.push_back(id);
}

std::span<uint8_t> RingClient::BytesOf(const Chain& chain, const Segment& segment) const {
  return PoolOf(chain.layout, segment.page).page(chain.pages[segment.page]).subspan(segment.offset, segment.size);
}

void RingClient::ScatterRequest(const Chain& chain) const {
  std::span<const uint8_t> parts[] = {chain.call->head, chain.call->payload};
  for (const Segment& segment : chain.layout.request) {
    std::span<uint8_t> room = BytesOf(chain, segment);
    for (std::span<const uint8_t>& part : parts) {
      const size_t size = std::min(part.size(), room.size());
      if (size > 0) std::memcpy(room.data(), part.data(), size);
      part = part.subspan(size);
      room = room.subspan(size);
    }
  }
}

// Copies a reply out of the shared pages: each byte once. The header is checked in the copy, before it is used.
void RingClient::CopyReply(Chain& chain) const {
  RingCall& call = *chain.call;
  auto segment = chain.layout.reply.begin();
  size_t used = 0;  // Of *segment.
  const auto gather = [&](std::span<uint8_t> out) {
    while (!out.empty()) {
      const std::span<const uint8_t> bytes = BytesOf(chain, *segment).subspan(used);
      const size_t size = std::min(out.size(), bytes.size());
      std::memcpy(out.data(), bytes.data(), size);
      out = out.subspan(size);
      used += size;
      if (used == segment->size) {
        ++segment;
        used = 0;
      }
    }
  };
  gather(call.reply);
  const Result<p9::Header> reply = p9::ParseHeader(call.reply);
  const Result<p9::Header> request = p9::ParseHeader(call.head);
  if (!reply.ok() || reply->size > call.reply.size() + call.data.size() + call.lend) {
    chain.fault = "a reply is longer than its room, or no 9P message";
  } else if (reply->tag != request->tag) {
    chain.fault = "a reply has the tag of another request";
  } else if (reply->type != request->type + 1 && reply->type != p9::Rlerror::kType) {
    chain.fault = "a reply has the type of another request's";
  } else {
    call.reply_size = reply->size;
    if (reply->size > call.reply.size() && call.lend == 0) gather(call.data.first(reply->size - call.reply.size()));
  }
}

}  // namespace virtfs::frontend
