// xengnttab.h and xengntshr on the simulation, both sides in one process where nothing speaks against it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string_view>

#include "xensim/grants.h"
#include "xensim/report.h"
#include "xensim/temporary_world.h"

extern "C" {
#include <xenevtchn.h>
}

namespace xensim {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

class GnttabTest : public testing::Test {
 protected:
  GnttabTest() {
    EXPECT_TRUE(CreateDomain(*world_, 1));
    backend_ = xengnttab_open(nullptr, 0);
    world_.Become(1);
    guest_ = xengntshr_open(nullptr, 0);
    world_.Become(0);
  }
  ~GnttabTest() override {
    xengnttab_close(backend_);
    if (guest_ != nullptr) xengntshr_close(guest_);
  }

  // Pages of the guest for domain 0, mapped in the guest at the result.
  char* Share(int count, uint32_t* refs, bool writable = true) {
    return static_cast<char*>(xengntshr_share_pages(guest_, 0, count, refs, writable));
  }
  char* MapOne(uint32_t ref, int prot = kReadWrite) {
    return static_cast<char*>(xengnttab_map_grant_ref(backend_, 1, ref, prot));
  }
  int16_t CopyFrom(uint32_t ref, void* to, uint16_t offset, uint16_t length) {
    xengnttab_grant_copy_segment_t segment = {};
    segment.source.foreign = {ref, offset, 1};
    segment.dest.virt = to;
    segment.len = length;
    segment.flags = GNTCOPY_source_gref;
    EXPECT_EQ(xengnttab_grant_copy(backend_, 1, &segment), 0);
    return segment.status;
  }
  int16_t CopyTo(uint32_t ref, const void* from, uint16_t offset, uint16_t length) {
    xengnttab_grant_copy_segment_t segment = {};
    segment.source.virt = const_cast<void*>(from);
    segment.dest.foreign = {ref, offset, 1};
    segment.len = length;
    segment.flags = GNTCOPY_dest_gref;
    EXPECT_EQ(xengnttab_grant_copy(backend_, 1, &segment), 0);
    return segment.status;
  }

  TemporaryWorld world_;
  xengnttab_handle* backend_ = nullptr;
  xengntshr_handle* guest_ = nullptr;
};

TEST_F(GnttabTest, APageIsSeenByBothSides) {
  uint32_t refs[3];
  char* shared = Share(3, refs);
  ASSERT_NE(shared, nullptr);
  EXPECT_NE(refs[1], refs[0] + 1) << "contiguous refs would hide a bug that real guests find";
  for (int i = 0; i < 3; ++i) shared[size_t{4096} * i] = static_cast<char>('a' + i);
  uint32_t reversed[] = {refs[2], refs[1], refs[0]};
  auto* mapped = static_cast<char*>(xengnttab_map_domain_grant_refs(backend_, 3, 1, reversed, kReadWrite));
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(mapped[0], 'c');
  EXPECT_EQ(mapped[8192], 'a');
  mapped[4096] = 'x';
  EXPECT_EQ(shared[4096], 'x');
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 2), -1) << "only whole mappings";
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped + 4096, 3), -1);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 3), 0);
  EXPECT_EQ(xengntshr_unshare(guest_, shared, 3), 0);
}

TEST_F(GnttabTest, OnlyTheChosenDomainMayMapAndOnlyAsGranted) {
  uint32_t ref;
  char* shared = Share(1, &ref, /*writable=*/false);
  EXPECT_EQ(MapOne(ref, kReadWrite), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(MapOne(kPagesPerDomain), nullptr);
  EXPECT_EQ(MapOne(9), nullptr) << "not granted";
  EXPECT_EQ(xengnttab_map_grant_ref(backend_, 5, ref, PROT_READ), nullptr) << "no such domain";
  char* readable = MapOne(ref, PROT_READ);
  ASSERT_NE(readable, nullptr);
  shared[7] = 7;
  EXPECT_EQ(readable[7], 7);
  ASSERT_TRUE(CreateDomain(*world_, 2));
  world_.Become(2);
  xengnttab_handle* stranger = xengnttab_open(nullptr, 0);
  EXPECT_EQ(xengnttab_map_grant_ref(stranger, 1, ref, PROT_READ), nullptr);
  xengnttab_close(stranger);
  // All or nothing.
  uint32_t mixed[] = {ref, 9};
  EXPECT_EQ(xengnttab_map_domain_grant_refs(backend_, 2, 1, mixed, PROT_READ), nullptr);
  EXPECT_EQ(xengnttab_unmap(backend_, readable, 1), 0);
}

TEST_F(GnttabTest, Copies) {
  uint32_t refs[2];
  char* shared = Share(2, refs);
  char buffer[4096] = {};
  std::string_view("hello").copy(shared + 10, 5);
  EXPECT_EQ(CopyFrom(refs[0], buffer, 10, 5), GNTST_okay);
  EXPECT_EQ(std::memcmp(buffer, "hello", 5), 0);
  EXPECT_EQ(CopyTo(refs[1], "world", 4091, 5), GNTST_okay);
  EXPECT_EQ(std::memcmp(shared + 8192 - 5, "world", 5), 0);
  EXPECT_EQ(CopyFrom(9, buffer, 0, 1), GNTST_bad_gntref);
  uint32_t constant;
  Share(1, &constant, /*writable=*/false);
  EXPECT_EQ(CopyTo(constant, "x", 0, 1), GNTST_general_error);

  xengnttab_grant_copy_segment_t over = {};
  over.source.foreign = {refs[0], 4000, 1};
  over.dest.virt = buffer;
  over.len = 97;
  over.flags = GNTCOPY_source_gref;
  EXPECT_EQ(xengnttab_grant_copy(backend_, 1, &over), -1) << "beyond the page";
  EXPECT_EQ(errno, EINVAL);
  over.flags = 0;
  EXPECT_EQ(xengnttab_grant_copy(backend_, 1, &over), -1) << "no page at all";

  // A bad segment leaves the others of its call be.
  xengnttab_grant_copy_segment_t both[2] = {};
  for (auto& segment : both) {
    segment.dest.virt = buffer;
    segment.len = 1;
    segment.flags = GNTCOPY_source_gref;
  }
  both[0].source.foreign = {9, 0, 1};
  both[1].source.foreign = {refs[0], 11, 1};
  EXPECT_EQ(xengnttab_grant_copy(backend_, 2, both), 0);
  EXPECT_EQ(both[0].status, GNTST_bad_gntref);
  EXPECT_EQ(both[1].status, GNTST_okay);
  EXPECT_EQ(buffer[0], 'e');
}

TEST_F(GnttabTest, ARevokedGrantKeepsItsMapping) {
  uint32_t ref;
  char* shared = Share(1, &ref);
  char* mapped = MapOne(ref);
  ASSERT_NE(mapped, nullptr);
  ASSERT_TRUE(Revoke(*world_, 1, ref));
  shared[0] = 'r';
  EXPECT_EQ(mapped[0], 'r');
  char byte;
  EXPECT_EQ(MapOne(ref), nullptr);
  EXPECT_EQ(CopyFrom(ref, &byte, 0, 1), GNTST_bad_gntref);
  EXPECT_FALSE(Revoke(*world_, 1, ref));
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 1), 0);
  EXPECT_EQ(xengntshr_unshare(guest_, shared, 1), 0);
}

TEST_F(GnttabTest, AnUnsharedPageIsNotReusedWhileItIsMapped) {
  world_->state().domains[1].page_limit = 2;
  uint32_t ref;
  char* shared = Share(1, &ref);
  char* mapped = MapOne(ref);
  ASSERT_EQ(xengntshr_unshare(guest_, shared, 1), 0);
  EXPECT_EQ(MapOne(ref), nullptr);
  uint32_t others[2];
  EXPECT_EQ(Share(2, others), nullptr) << "the page counts until it is unmapped";
  EXPECT_EQ(errno, ENOSPC);
  ASSERT_NE(Share(1, others), nullptr);
  EXPECT_NE(others[0], ref);
  mapped[0] = 'm';
  ASSERT_EQ(xengnttab_unmap(backend_, mapped, 1), 0);
  char* again = Share(1, others);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again[0], 0) << "fresh pages are zero";
}

TEST_F(GnttabTest, LimitsAreThoseOfLinux) {
  std::vector<uint32_t> refs(1025);
  EXPECT_EQ(Share(1025, refs.data()), nullptr);
  EXPECT_EQ(errno, ENOSPC);
  ASSERT_NE(Share(1024, refs.data()), nullptr);
  EXPECT_EQ(std::set<uint32_t>(refs.begin(), refs.begin() + 1024).size(), 1024U);
  uint32_t more;
  EXPECT_EQ(Share(1, &more), nullptr);

  ASSERT_EQ(xengnttab_set_max_grants(backend_, 2), 0);
  EXPECT_EQ(xengnttab_map_domain_grant_refs(backend_, 3, 1, refs.data(), PROT_READ), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  void* mapped = xengnttab_map_domain_grant_refs(backend_, 2, 1, refs.data(), PROT_READ);
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(MapOne(refs[5]), nullptr);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 2), 0);
}

TEST_F(GnttabTest, UnmapNotifiesThePeer) {
  xenevtchn_handle* events = xenevtchn_open(nullptr, 0);
  world_.Become(1);
  xenevtchn_handle* guest_events = xenevtchn_open(nullptr, 0);
  const int offer = xenevtchn_bind_unbound_port(guest_events, 0);
  const int port = xenevtchn_bind_interdomain(events, 1, static_cast<evtchn_port_t>(offer));
  ASSERT_GT(port, 0);
  uint32_t ref;
  char* shared = Share(1, &ref);
  shared[100] = 1;
  void* mapped = xengnttab_map_grant_ref_notify(backend_, 1, ref, kReadWrite, 100, static_cast<evtchn_port_t>(port));
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(xengnttab_map_grant_ref_notify(backend_, 1, ref, kReadWrite, 4096, UINT32_MAX), nullptr);
  // The notification holds the port, as in Linux: closing the handle does not take it away.
  xenevtchn_close(events);
  EXPECT_EQ(shared[100], 1);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 1), 0);
  EXPECT_EQ(shared[100], 0);
  EXPECT_EQ(xenevtchn_pending(guest_events), offer);
  xenevtchn_close(guest_events);
}

TEST_F(GnttabTest, AKilledBackendGivesBackItsMappings) {
  world_->state().domains[1].page_limit = 8;
  uint32_t refs[8];
  char* shared = Share(8, refs);
  shared[0] = 1;
  const pid_t pid = ForkAndHold([&] {
    xengnttab_handle* backend = xengnttab_open(nullptr, 0);
    if (xengnttab_map_domain_grant_refs(backend, 8, 1, refs, kReadWrite) == nullptr) _exit(1);
    if (xengnttab_map_grant_ref_notify(backend, 1, refs[0], kReadWrite, 0, UINT32_MAX) == nullptr) _exit(1);
  });
  ASSERT_GT(pid, 0);
  ASSERT_EQ(xengntshr_unshare(guest_, shared, 8), 0);
  EXPECT_EQ(Share(1, refs), nullptr);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  char* again = Share(8, refs);
  EXPECT_NE(again, nullptr) << "reaped where pages are looked for";
  for (const Holding& holding : HoldingsOf(*world_, 0)) EXPECT_EQ(holding.mapped_pages, 0U);
}

TEST_F(GnttabTest, AKilledGuestTakesItsPagesAway) {
  uint32_t* refs = static_cast<uint32_t*>(mmap(nullptr, 4096, kReadWrite, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t pid = ForkAndHold([&] {
    world_.Become(1);
    auto* page = static_cast<char*>(xengntshr_share_pages(xengntshr_open(nullptr, 0), 0, 2, refs, 1));
    if (page == nullptr) _exit(1);
    page[0] = 'g';
  });
  ASSERT_GT(pid, 0);
  char* mapped = MapOne(refs[0]);
  ASSERT_NE(mapped, nullptr);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(mapped[0], 'g') << "what is mapped stays";
  EXPECT_EQ(MapOne(refs[0]), nullptr);
  EXPECT_EQ(MapOne(refs[1]), nullptr);
  char byte;
  EXPECT_EQ(CopyFrom(refs[1], &byte, 0, 1), GNTST_bad_gntref);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 1), 0);
}

TEST_F(GnttabTest, MappingsOutliveTheHandleAndShowAsLeaks) {
  uint32_t ref;
  char* shared = Share(1, &ref);
  char* mapped = MapOne(ref);
  xengnttab_close(backend_);
  shared[0] = 's';
  EXPECT_EQ(mapped[0], 's');
  std::vector<Holding> holdings = HoldingsOf(*world_, 0);
  ASSERT_EQ(holdings.size(), 1U);
  EXPECT_TRUE(holdings[0].closed);
  EXPECT_EQ(holdings[0].mapped_pages, 1U);
  EXPECT_EQ(holdings[0].pid, getpid());
  munmap(mapped, kPageSize);
  EXPECT_TRUE(HoldingsOf(*world_, 0).empty());
  backend_ = xengnttab_open(nullptr, 0);
}

TEST_F(GnttabTest, ADestroyedDomainIsGoneWithItsLastMapping) {
  uint32_t refs[2];
  char* shared = Share(2, refs);
  shared[0] = 'd';
  char* mapped = MapOne(refs[0]);
  ASSERT_TRUE(DestroyDomain(*world_, 1));
  EXPECT_EQ(mapped[0], 'd');
  EXPECT_EQ(MapOne(refs[1]), nullptr);
  EXPECT_EQ(world_->state().domains[1].state, DomainState::kDying);
  EXPECT_FALSE(CreateDomain(*world_, 1));
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(Share(1, refs), nullptr);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 1), 0);
  EXPECT_EQ(world_->state().domains[1].state, DomainState::kAbsent);
  EXPECT_TRUE(CreateDomain(*world_, 1));
  EXPECT_FALSE(DestroyDomain(*world_, 9));
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(GnttabTest, AnyCallCanBeMadeToFail) {
  uint32_t ref;
  char* shared = Share(1, &ref);
  char byte;
  ASSERT_TRUE(AddFault(*world_, Call::kMap, kAnyDomain, 1, 2, ENOMEM));
  char* first = MapOne(ref);
  EXPECT_NE(first, nullptr);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(MapOne(ref), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
  char* last = MapOne(ref);
  EXPECT_NE(last, nullptr);
  ASSERT_TRUE(AddFault(*world_, Call::kShare, 0, 0, -1, EPERM));
  char* other = Share(1, &ref);
  EXPECT_NE(other, nullptr) << "a fault of domain 0 is none of domain 1";
  ASSERT_TRUE(AddFault(*world_, Call::kCopySegment, 0, 0, 1, EIO));
  EXPECT_EQ(CopyFrom(ref, &byte, 0, 1), GNTST_general_error);
  EXPECT_EQ(CopyFrom(ref, &byte, 0, 1), GNTST_okay);
  ASSERT_TRUE(AddFault(*world_, Call::kUnmap, kAnyDomain, 0, -1, EBUSY));
  EXPECT_EQ(xengnttab_unmap(backend_, first, 1), -1);
  ClearFaults(*world_);
  EXPECT_EQ(world_->state().armed_faults, 0U);
  EXPECT_EQ(xengnttab_unmap(backend_, first, 1), 0);
  EXPECT_EQ(xengnttab_unmap(backend_, last, 1), 0);
  EXPECT_EQ(xengntshr_unshare(guest_, shared, 1), 0);
}

TEST_F(GnttabTest, CallsAreCounted) {
  uint32_t refs[3];
  char* shared = Share(3, refs);
  ResetCounts(*world_);
  void* mapped = xengnttab_map_domain_grant_refs(backend_, 3, 1, refs, PROT_READ);
  char byte;
  CopyFrom(refs[0], &byte, 0, 1);
  xengnttab_unmap(backend_, mapped, 3);
  xengntshr_unshare(guest_, shared, 3);
  MapOne(refs[0]);  // fails: a call, no page
  EXPECT_EQ(CountOf(*world_, 0, Call::kMap).calls, 2U);
  EXPECT_EQ(CountOf(*world_, 0, Call::kMap).units, 3U);
  EXPECT_EQ(CountOf(*world_, 0, Call::kUnmap).units, 3U);
  EXPECT_EQ(CountOf(*world_, 0, Call::kCopy).units, 1U);
  EXPECT_EQ(CountOf(*world_, 1, Call::kUnshare).units, 3U);
  EXPECT_NE(StatsJson(*world_).find("\"map\":{\"calls\":2,\"units\":3}"), std::string::npos);
}

TEST_F(GnttabTest, AProcessMayDieHoldingTheLock) {
  uint32_t ref;
  Share(1, &ref);
  char* mapped = MapOne(ref);
  const pid_t pid = fork();
  if (pid == 0) {
    Locked locked(*world_);
    world_->state().grants[1][ref].maps = 77;  // half of a change
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(xengnttab_unmap(backend_, mapped, 1), 0);
  EXPECT_EQ(world_->state().grants[1][ref].maps, 0U);
}

}  // namespace
}  // namespace xensim
