#include "backend/transport_9pfs/simulated_ninepfs_guest.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "backend/transport/xen_libraries.h"
#include "xensim/domains.h"

namespace virtfs::backend {
namespace {

std::string MakeDirectory() {
  char name[] = "/dev/shm/virtfs-test-XXXXXX";
  return mkdtemp(name);
}

// What is opened next belongs to that domain.
void ActAs(uint32_t domid) { setenv("XENSIM_DOMID", std::to_string(domid).c_str(), 1); }

}  // namespace

SimulatedNinepfsGuest::SimulatedNinepfsGuest(uint32_t rings, uint32_t order, uint32_t start)
    : directory_(MakeDirectory()), pages_(1U << order), rings_(rings) {
  setenv("XENSIM_DIR", directory_.c_str(), 1);
  EXPECT_TRUE(xensim::World::Create(directory_));
  world_ = xensim::World::Open(directory_);
  EXPECT_TRUE(xensim::CreateDomain(*world_, kDomid));
  world_->state().domains[kDomid].page_limit = xensim::kPagesPerDomain;
  ActAs(kDomid);
  guest_grants_ = xengntshr_open(nullptr, 0);
  events_ = xenevtchn_open(nullptr, 0);
  ActAs(0);
  backend_grants_ = xengnttab_open(nullptr, 0);
  for (uint32_t i = 0; i < rings; ++i) {
    OneRing& ring = rings_[i];
    ring.interface = static_cast<uint32_t*>(xengntshr_share_pages(guest_grants_, 0, 1, &ring.ref, 1));
    std::vector<uint32_t> refs(pages_);
    ring.data =
        static_cast<uint8_t*>(xengntshr_share_pages(guest_grants_, 0, static_cast<int>(pages_), refs.data(), 1));
    ring.port = xenevtchn_bind_unbound_port(events_, 0);
    if (ring.interface == nullptr || ring.data == nullptr || ring.port < 0) {
      ADD_FAILURE() << "no ring " << i;
      return;
    }
    ring.ring = PlainFrontendRing(ring.interface, ring.data, 2048U << order);
    ring.ring.Word(PlainFrontendRing::kOrder).store(order);
    for (uint32_t page = 0; page < pages_; ++page)
      ring.ring.Word(PlainFrontendRing::kRefs + 4 * page).store(refs[page]);
    ring.ring.StartAt(start);
  }
}

SimulatedNinepfsGuest::~SimulatedNinepfsGuest() {
  xengnttab_close(backend_grants_);
  for (const OneRing& ring : rings_) {
    xengntshr_unshare(guest_grants_, ring.data, pages_);
    xengntshr_unshare(guest_grants_, ring.interface, 1);
  }
  xenevtchn_close(events_);
  xengntshr_close(guest_grants_);
  std::filesystem::remove_all(directory_);
}

void SimulatedNinepfsGuest::Send(uint32_t ring, std::span<const uint8_t> message) {
  rings_[ring].ring.Put(message);
  rings_[ring].ring.Publish();
  EXPECT_EQ(xenevtchn_notify(events_, static_cast<evtchn_port_t>(rings_[ring].port)), 0);
}

}  // namespace virtfs::backend
