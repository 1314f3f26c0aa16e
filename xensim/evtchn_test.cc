// xenevtchn.h on the simulation.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "xensim/handles.h"
#include "xensim/ports.h"
#include "xensim/report.h"
#include "xensim/temporary_world.h"

extern "C" {
#include <xen/xen.h>
#include <xenevtchn.h>
}

namespace xensim {
namespace {

class EvtchnTest : public testing::Test {
 protected:
  EvtchnTest() {
    EXPECT_TRUE(CreateDomain(*world_, 1));
    backend_ = xenevtchn_open(nullptr, 0);
    world_.Become(1);
    guest_ = xenevtchn_open(nullptr, 0);
    world_.Become(0);
  }
  ~EvtchnTest() override {
    xenevtchn_close(backend_);
    xenevtchn_close(guest_);
  }

  // Binds the two; takes away the event that a new port starts with.
  void Connect() {
    guest_port_ = xenevtchn_bind_unbound_port(guest_, 0);
    backend_port_ = xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_));
    ASSERT_GT(backend_port_, 0);
    ASSERT_EQ(xenevtchn_pending(backend_), backend_port_);
    ASSERT_EQ(xenevtchn_unmask(backend_, static_cast<evtchn_port_t>(backend_port_)), 0);
  }
  static bool Readable(xenevtchn_handle* handle) {
    pollfd polled = {xenevtchn_fd(handle), POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
  }
  int NotifyBackend() { return xenevtchn_notify(guest_, static_cast<evtchn_port_t>(guest_port_)); }
  int NotifyGuest() { return xenevtchn_notify(backend_, static_cast<evtchn_port_t>(backend_port_)); }

  TemporaryWorld world_;
  xenevtchn_handle* backend_ = nullptr;
  xenevtchn_handle* guest_ = nullptr;
  int backend_port_ = 0;
  int guest_port_ = 0;
};

TEST_F(EvtchnTest, EventsArriveOnceUntilUnmasked) {
  guest_port_ = xenevtchn_bind_unbound_port(guest_, 0);
  ASSERT_EQ(NotifyBackend(), 0) << "nobody is there: dropped, no error";
  backend_port_ = xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_));
  EXPECT_TRUE(Readable(backend_)) << "a new port starts pending";
  EXPECT_EQ(xenevtchn_pending(backend_), backend_port_);
  ASSERT_EQ(NotifyBackend(), 0);
  ASSERT_EQ(NotifyBackend(), 0);
  EXPECT_FALSE(Readable(backend_)) << "masked";
  ASSERT_EQ(xenevtchn_unmask(backend_, static_cast<evtchn_port_t>(backend_port_)), 0);
  EXPECT_EQ(xenevtchn_pending(backend_), backend_port_) << "what came meanwhile, once";
  ASSERT_EQ(xenevtchn_unmask(backend_, static_cast<evtchn_port_t>(backend_port_)), 0);
  EXPECT_FALSE(Readable(backend_));
  ASSERT_EQ(NotifyGuest(), 0);
  EXPECT_EQ(xenevtchn_pending(guest_), guest_port_);
}

TEST_F(EvtchnTest, TheDescriptorBlocksOrNotAsItsOwnerLikes) {
  Connect();
  fcntl(xenevtchn_fd(backend_), F_SETFL, O_NONBLOCK);
  EXPECT_EQ(xenevtchn_pending(backend_), -1);
  EXPECT_EQ(errno, EAGAIN);
  std::thread later([this] {
    pollfd polled = {xenevtchn_fd(backend_), POLLIN, 0};
    EXPECT_EQ(poll(&polled, 1, 10000), 1);
    EXPECT_EQ(xenevtchn_pending(backend_), backend_port_);
    EXPECT_EQ(NotifyGuest(), 0);
  });
  EXPECT_EQ(NotifyBackend(), 0);
  EXPECT_EQ(xenevtchn_pending(guest_), guest_port_) << "blocks";
  later.join();
}

TEST_F(EvtchnTest, HandlesAreIsolated) {
  Connect();
  xenevtchn_handle* other = xenevtchn_open(nullptr, 0);
  const auto port = static_cast<evtchn_port_t>(backend_port_);
  EXPECT_EQ(xenevtchn_notify(other, port), -1);
  EXPECT_EQ(errno, ENOTCONN);
  EXPECT_EQ(xenevtchn_unbind(other, port), -1);
  EXPECT_EQ(errno, ENOTCONN);
  EXPECT_EQ(xenevtchn_unmask(other, port), 0) << "Linux ignores it";
  ASSERT_EQ(NotifyBackend(), 0);
  EXPECT_FALSE(Readable(other));
  EXPECT_TRUE(Readable(backend_));
  xenevtchn_close(other);
}

TEST_F(EvtchnTest, BindsOnlyWhatIsOffered) {
  const int offer = xenevtchn_bind_unbound_port(guest_, 2);  // to another domain
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(offer)), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, 1000), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, 1u << 30), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 33, 1), -1);
  EXPECT_EQ(errno, ESRCH);
  Connect();
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_)), -1) << "taken";
  ASSERT_EQ(xenevtchn_unbind(backend_, static_cast<evtchn_port_t>(backend_port_)), 0);
  EXPECT_EQ(xenevtchn_unbind(backend_, static_cast<evtchn_port_t>(backend_port_)), -1);
  EXPECT_EQ(NotifyBackend(), 0);
  const int again = xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_));
  EXPECT_GT(again, 0) << "the guest's port became unbound, and can be bound again";
}

TEST_F(EvtchnTest, ARestrictedHandleReachesOneDomainOnly) {
  Connect();
  ASSERT_TRUE(CreateDomain(*world_, 2));
  world_.Become(2);
  xenevtchn_handle* second = xenevtchn_open(nullptr, 0);
  const auto other = static_cast<evtchn_port_t>(xenevtchn_bind_unbound_port(second, 0));
  const auto fresh = static_cast<evtchn_port_t>(xenevtchn_bind_unbound_port(guest_, 0));
  EXPECT_EQ(xenevtchn_restrict(backend_, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  ASSERT_EQ(xenevtchn_restrict(backend_, 1), 0);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 2, other), -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(xenevtchn_bind_unbound_port(backend_, 1), -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(xenevtchn_bind_virq(backend_, VIRQ_DOM_EXC), -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(xenevtchn_restrict(backend_, 2), -1) << "for ever";
  EXPECT_EQ(errno, EACCES);
  EXPECT_GT(xenevtchn_bind_interdomain(backend_, 1, fresh), 0);
  EXPECT_EQ(NotifyGuest(), 0);
  xenevtchn_close(second);
}

TEST_F(EvtchnTest, AHandleCanBeMadeFromItsDescriptor) {
  Connect();
  const int copy = dup(xenevtchn_fd(backend_));
  ASSERT_EQ(xenevtchn_restrict(backend_, 1), 0);
  EXPECT_EQ(xenevtchn_fdopen(nullptr, copy, XENEVTCHN_NO_CLOEXEC), nullptr);
  EXPECT_EQ(errno, EINVAL);
  xenevtchn_handle* rebuilt = xenevtchn_fdopen(nullptr, copy, 0);
  ASSERT_NE(rebuilt, nullptr);
  EXPECT_EQ(xenevtchn_close(backend_), 0);
  backend_ = rebuilt;
  EXPECT_EQ(NotifyBackend(), 0);
  EXPECT_EQ(xenevtchn_pending(backend_), backend_port_) << "its ports came along";
  EXPECT_EQ(xenevtchn_bind_unbound_port(backend_, 1), -1) << "and its restriction";
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  EXPECT_EQ(xenevtchn_fdopen(nullptr, pipes[0], 0), nullptr);
}

TEST_F(EvtchnTest, AKilledOwnerFreesItsPortsAndUnbindsThePeer) {
  guest_port_ = xenevtchn_bind_unbound_port(guest_, 0);
  const pid_t pid = ForkAndHold([this] {
    xenevtchn_handle* doomed = xenevtchn_open(nullptr, 0);
    if (xenevtchn_bind_interdomain(doomed, 1, static_cast<evtchn_port_t>(guest_port_)) < 0) _exit(1);
    if (xenevtchn_bind_unbound_port(doomed, 1) < 0) _exit(1);
  });
  ASSERT_GT(pid, 0);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_)), -1);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(NotifyBackend(), 0) << "into the void, no SIGPIPE";
  EXPECT_GT(xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_)), 0);
  uint32_t ports = 0;
  for (const Holding& holding : HoldingsOf(*world_, 0)) ports += holding.ports;
  EXPECT_EQ(ports, 1U);
}

TEST_F(EvtchnTest, AnOfferOfAKilledProcessCannotBeBound) {
  const pid_t pid = ForkAndHold([this] {
    world_.Become(1);
    if (xenevtchn_bind_unbound_port(xenevtchn_open(nullptr, 0), 0) != 1) _exit(1);
  });
  ASSERT_GT(pid, 0);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, 1), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(EvtchnTest, AChildMayCloseWhatItInherited) {
  Connect();
  const pid_t pid = fork();
  if (pid == 0) _exit(xenevtchn_close(backend_));
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(NotifyBackend(), 0);
  EXPECT_EQ(xenevtchn_pending(backend_), backend_port_) << "the parent's is untouched";
}

TEST_F(EvtchnTest, ADyingDomainRaisesItsVirqAndClosesItsPorts) {
  Connect();
  xenevtchn_handle* store = xenevtchn_open(nullptr, 0);
  const int virq = xenevtchn_bind_virq(store, VIRQ_DOM_EXC);
  ASSERT_GT(virq, 0);
  EXPECT_EQ(xenevtchn_bind_virq(store, VIRQ_DOM_EXC), -1);
  EXPECT_EQ(errno, EEXIST);
  ASSERT_TRUE(DestroyDomain(*world_, 1));
  EXPECT_EQ(xenevtchn_pending(store), virq);
  EXPECT_EQ(NotifyBackend(), -1);
  EXPECT_EQ(NotifyGuest(), 0);
  EXPECT_EQ(xenevtchn_bind_unbound_port(guest_, 0), -1);
  EXPECT_EQ(xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(guest_port_)), -1);
  EXPECT_EQ(errno, ESRCH);
  xenevtchn_close(store);
}

TEST_F(EvtchnTest, PortsAndHandlesRunOut) {
  int bound = 0;
  while (xenevtchn_bind_unbound_port(guest_, 0) > 0) ++bound;
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(bound, static_cast<int>(kMaxPorts) - 1);
  for (int i = 0; i < 3000; ++i) {  // closed handles are used again
    xenevtchn_handle* handle = xenevtchn_open(nullptr, 0);
    ASSERT_NE(handle, nullptr) << i;
    xenevtchn_close(handle);
  }
}

TEST_F(EvtchnTest, NoEventIsLostBetweenTwoProcesses) {
  Connect();
  constexpr int kRounds = 20000;
  const pid_t pid = fork();
  if (pid == 0) {  // the guest, who must open its own handle
    world_.Become(1);
    xenevtchn_handle* events = xenevtchn_open(nullptr, 0);
    const int offer = xenevtchn_bind_unbound_port(events, 0);
    *reinterpret_cast<std::atomic<int>*>(world_->Page(1, 2)) = offer;
    for (int i = 0; i < kRounds; ++i) {
      const int port = xenevtchn_pending(events);
      xenevtchn_unmask(events, static_cast<evtchn_port_t>(port));
      xenevtchn_notify(events, static_cast<evtchn_port_t>(port));
    }
    _exit(0);
  }
  auto& offer = *reinterpret_cast<std::atomic<int>*>(world_->Page(1, 2));
  while (offer == 0) std::this_thread::yield();
  const int port = xenevtchn_bind_interdomain(backend_, 1, static_cast<evtchn_port_t>(offer.load()));
  ASSERT_GT(port, 0);
  ASSERT_EQ(xenevtchn_pending(backend_), port);
  xenevtchn_unmask(backend_, static_cast<evtchn_port_t>(port));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_EQ(xenevtchn_notify(backend_, static_cast<evtchn_port_t>(port)), 0);
    pollfd polled = {xenevtchn_fd(backend_), POLLIN, 0};
    ASSERT_EQ(poll(&polled, 1, 20000), 1) << "lost in round " << i;
    ASSERT_EQ(xenevtchn_pending(backend_), port);
    xenevtchn_unmask(backend_, static_cast<evtchn_port_t>(port));
  }
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  std::printf("an event there and back: %.1f us\n", took.count() / kRounds);
  waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace xensim
