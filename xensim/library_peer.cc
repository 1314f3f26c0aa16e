// A program like any other that uses Xen: linked with Debian's libraries, it meets the simulated ones at run time only.
//
//   library_peer guest                            shares two pages and a port, waits for an answer
//   library_peer backend PAGE COPIED PORT         answers, from within an empty root, as nobody, without capabilities
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
#include <xenevtchn.h>
#include <xengnttab.h>
}

namespace {

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::printf("line %d: %s: %s\n", __LINE__, #condition, std::strerror(errno)); \
      std::exit(1);                                                                 \
    }                                                                               \
  } while (false)

constexpr int kRounds = 2000;

void LockDown() {
  char root[] = "/tmp/library_peer.XXXXXX";
  CHECK(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0);
  CHECK(mkdtemp(root) != nullptr && chroot(root) == 0 && chdir("/") == 0);
  CHECK(setgroups(0, nullptr) == 0 && setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(access("/proc", F_OK) != 0 && access("/dev/shm", F_OK) != 0);
}

template <typename Operation>
void Time(const char* what, Operation operation) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) operation();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  std::printf("%s: %.2f us\n", what, took.count() / kRounds);
}

int Guest() {
  xengntshr_handle* sharing = xengntshr_open(nullptr, 0);
  xenevtchn_handle* events = xenevtchn_open(nullptr, 0);
  CHECK(sharing != nullptr && events != nullptr);
  uint32_t refs[2];
  auto* page = static_cast<char*>(xengntshr_share_pages(sharing, 0, 2, refs, 1));
  CHECK(page != nullptr);
  const int port = xenevtchn_bind_unbound_port(events, 0);
  CHECK(port > 0);
  std::memcpy(page, "ping", sizeof("ping"));
  std::memcpy(page + 4096, "copied", sizeof("copied"));
  std::printf("ready %u %u %d.\n", refs[0], refs[1], port);
  std::fflush(stdout);
  CHECK(xenevtchn_pending(events) == port);
  CHECK(xenevtchn_unmask(events, static_cast<evtchn_port_t>(port)) == 0);
  CHECK(std::strcmp(page, "copied") == 0);
  CHECK(xengntshr_unshare(sharing, page, 2) == 0);
  xengntshr_close(sharing);
  xenevtchn_close(events);
  return 0;
}

[[noreturn]] void Backend(uint32_t page_ref, uint32_t copied_ref, evtchn_port_t remote_port) {
  xengnttab_handle* grants = xengnttab_open(nullptr, 0);
  xenevtchn_handle* events = xenevtchn_open(nullptr, 0);
  CHECK(grants != nullptr && events != nullptr);
  LockDown();
  CHECK(xenevtchn_restrict(events, 1) == 0);
  auto* page = static_cast<char*>(xengnttab_map_grant_ref(grants, 1, page_ref, PROT_READ | PROT_WRITE));
  CHECK(page != nullptr && std::strcmp(page, "ping") == 0);
  const int port = xenevtchn_bind_interdomain(events, 1, remote_port);
  CHECK(port > 0 && xenevtchn_pending(events) == port);

  xengnttab_grant_copy_segment_t segment = {};
  segment.source.foreign = {copied_ref, 0, 1};
  segment.dest.virt = page;
  segment.len = 4096;
  segment.flags = GNTCOPY_source_gref;
  Time("grant_copy of a page",
       [&] { CHECK(xengnttab_grant_copy(grants, 1, &segment) == 0 && segment.status == GNTST_okay); });
  Time("map and unmap of a page", [&] {
    void* at = xengnttab_map_grant_ref(grants, 1, copied_ref, PROT_READ);
    CHECK(at != nullptr && xengnttab_unmap(grants, at, 1) == 0);
  });
  CHECK(xengnttab_unmap(grants, page, 1) == 0);
  CHECK(xenevtchn_notify(events, static_cast<evtchn_port_t>(port)) == 0);
  CHECK(xenevtchn_unbind(events, static_cast<evtchn_port_t>(port)) == 0);
  xenevtchn_close(events);
  xengnttab_close(grants);
  std::fflush(stdout);
  _exit(0);  // a leak checker could not work without /proc
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "guest") == 0) return Guest();
  if (argc != 5) return 2;
  const auto number = [&](int i) { return static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10)); };
  Backend(number(2), number(3), number(4));
}
