#include "backend/transport_virtfs/simulated_guest.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <bit>
#include <cstring>
#include <filesystem>

#include "backend/transport/guest_copy.h"
#include "backend/transport/xen_libraries.h"
#include "xensim/domains.h"
#include "xensim/grants.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kSlots = XEN_VIRTFS_SLOTS_PER_PAGE;

std::string MakeDirectory() {
  char name[] = "/dev/shm/virtfs-test-XXXXXX";
  return mkdtemp(name);
}

// What is opened next belongs to that domain.
void ActAs(uint32_t domid) { setenv("XENSIM_DOMID", std::to_string(domid).c_str(), 1); }

}  // namespace

SimulatedGuest::SimulatedGuest(uint32_t pages, bool writable) : directory_(MakeDirectory()), refs_(pages) {
  setenv("XENSIM_DIR", directory_.c_str(), 1);
  EXPECT_TRUE(xensim::World::Create(directory_));
  world_ = xensim::World::Open(directory_);
  EXPECT_TRUE(xensim::CreateDomain(*world_, kDomid));
  ActAs(kDomid);
  guest_grants_ = xengntshr_open(nullptr, 0);
  events_ = xenevtchn_open(nullptr, 0);
  ActAs(0);
  backend_grants_ = xengnttab_open(nullptr, 0);

  ring_ = static_cast<uint32_t*>(xengntshr_share_pages(guest_grants_, 0, 1, &ring_ref_, 1));
  pages_ = static_cast<uint8_t*>(
      xengntshr_share_pages(guest_grants_, 0, static_cast<int>(pages), refs_.data(), writable ? 1 : 0));
  port_ = xenevtchn_bind_unbound_port(events_, 0);
  EXPECT_NE(ring_, nullptr);
  EXPECT_NE(pages_, nullptr);
  EXPECT_GE(port_, 0);
  StartAt(0);
}

SimulatedGuest::~SimulatedGuest() {
  xengnttab_close(backend_grants_);
  xengntshr_unshare(guest_grants_, pages_, static_cast<uint32_t>(refs_.size()));
  xengntshr_unshare(guest_grants_, ring_, 1);
  xenevtchn_close(events_);
  xengntshr_close(guest_grants_);
  std::filesystem::remove_all(directory_);
}

void SimulatedGuest::Revoke(uint32_t index) { EXPECT_TRUE(xensim::Revoke(*world_, kDomid, refs_[index])); }

void SimulatedGuest::StartAt(uint32_t index) {
  prod_ = cons_ = index;
  Word(kReqProd).store(index);
  Word(kRspProd).store(index);
  Word(kReqEvent).store(index + 1);
  Word(kRspEvent).store(index + 1);
}

void SimulatedGuest::WriteSlot(uint32_t index, const Slot& slot) {
  const auto words = std::bit_cast<std::array<uint32_t, 3>>(slot);
  const uint32_t offset = 64 + 12 * (index % kSlots);
  for (uint32_t i = 0; i < 3; ++i) Word(offset + 4 * i).store(words[i], std::memory_order_relaxed);
}

void SimulatedGuest::Publish(std::span<const Slot> slots) {
  const uint32_t old = prod_;
  for (size_t i = 0; i < slots.size(); ++i) {
    Slot slot = slots[i];
    if (i + 1 < slots.size()) slot.flags |= XEN_VIRTFSF_MORE;
    WriteSlot(prod_++, slot);
  }
  Word(kReqProd).store(prod_);
  if (prod_ - Word(kReqEvent).load() < prod_ - old) Notify();
}

void SimulatedGuest::Notify() { EXPECT_EQ(xenevtchn_notify(events_, static_cast<evtchn_port_t>(port_)), 0); }

std::optional<xen_virtfsif_response> SimulatedGuest::Response(std::chrono::milliseconds bound) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  for (;;) {
    if (Word(kRspProd).load() != cons_) {
      const uint32_t offset = 64 + 12 * (cons_++ % kSlots);
      return std::bit_cast<xen_virtfsif_response>(Word(offset).load(std::memory_order_relaxed));
    }
    Word(kRspEvent).store(cons_ + 1);
    if (Word(kRspProd).load() != cons_) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    pollfd ready{.fd = xenevtchn_fd(events_), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, static_cast<int>(left.count())) == 1) {
      const int port = xenevtchn_pending(events_);
      EXPECT_EQ(port, port_);
      EXPECT_EQ(xenevtchn_unmask(events_, static_cast<evtchn_port_t>(port)), 0);
    }
  }
}

int16_t SimulatedGuest::Status(size_t count) {
  last_ids_.clear();
  std::optional<int16_t> status;
  for (size_t i = 0; i < count; ++i) {
    const auto response = Response();
    if (!response || (status && response->status != *status)) return 1;
    status = response->status;
    last_ids_.push_back(response->id);
  }
  return status.value_or(1);
}

void SimulatedGuest::Send(std::span<const uint8_t> message, uint32_t first_page, uint32_t reply_pages) {
  std::vector<Slot> slots;
  uint32_t at = first_page;
  for (size_t sent = 0; sent < message.size(); sent += 4096) {
    const size_t size = std::min<size_t>(4096, message.size() - sent);
    CopyToGuest(page(at), message.subspan(sent, size));
    slots.push_back({.gref = gref(at++),
                     .offset = 0,
                     .flags = 0,
                     .id = static_cast<uint16_t>(next_id_++),
                     .size = static_cast<uint16_t>(size)});
  }
  for (uint32_t i = 0; i < reply_pages; ++i) {
    slots.push_back({.gref = gref(at++),
                     .offset = 0,
                     .flags = XEN_VIRTFSF_WRITE,
                     .id = static_cast<uint16_t>(next_id_++),
                     .size = 4096});
  }
  Publish(slots);
}

}  // namespace virtfs::backend
