#include "backend/server/system_call_filter.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "fsops/host/system_calls.h"

namespace virtfs::backend {
namespace {

struct Allowed {
  int number;
  const char* why;
};

// Whatever their arguments are. Those on files are in fsops/host/system_calls.h.
constexpr Allowed kAllowed[] = {
    {SYS_futex, "locks; the ends of threads"},
    {SYS_set_robust_list, "a thread's begin"},
    {SYS_rseq, "a thread's begin"},
    {SYS_rt_sigprocmask, "a thread's begin and end"},
    {SYS_rt_sigaction, "the first thread: the C library has signals of its own; abort"},
    {SYS_sched_getaffinity, "how many processors there are"},
    {SYS_sched_yield, "waiting for another thread for a moment"},
    {SYS_gettid, "sanity checks of the C library"},
    {SYS_getpid, "sanity checks of the C library"},
    {SYS_exit, "a thread's end"},
    {SYS_exit_group, "the end"},
    {SYS_rt_sigreturn, "the way back from a signal, should one come"},
    {SYS_restart_syscall, "the kernel's own, after a stop"},
    {SYS_clock_gettime, "where the vDSO has no clock"},
    {SYS_clock_nanosleep, "waiting for a moment"},
    {SYS_getrandom, "seeds of hash tables"},
    {SYS_brk, "memory"},
    {SYS_munmap, "memory; the guest's pages"},
    {SYS_mremap, "memory"},
    {SYS_madvise, "memory; stacks of threads that have ended"},
    {SYS_epoll_create1, "a pool begins"},
    {SYS_epoll_ctl, "a pool begins"},
    {SYS_epoll_wait, "a thread of the pool sleeps"},
    {SYS_epoll_pwait, "likewise, on other machines"},
    {SYS_eventfd2, "a pool begins"},
    {SYS_poll, "whether the event channel has something"},
    {SYS_ppoll, "likewise, on other machines"},
    {SYS_read, "event channel, eventfd"},
    {SYS_write, "event channel, eventfd, standard error"},
    {SYS_sendmsg, "to the keeper"},
    {SYS_recvmsg, "from the keeper"},
    {SYS_shutdown, "of the link to the keeper"},
    {SYS_newfstatat, "what standard error is, before the first write; files, by the C library's fstat"},
#ifdef SYS_alarm
    {SYS_alarm, "a bound for the last answers"},
#endif
    {SYS_setitimer, "likewise, on other machines"},
};

// With the low half of one argument and-ed with `mask` being one of `values`.
struct AllowedIf {
  int number;
  unsigned argument;
  uint32_t mask;
  std::vector<uint32_t> values;
  const char* why;
};

constexpr uint32_t kWhole = UINT32_MAX;

std::vector<AllowedIf> AllowedWithArguments() {
  return {
      {SYS_ioctl, 1, 0xff00, {'G' << 8, 'E' << 8}, "gntdev and evtchn, whose requests have these letters"},
      {SYS_mmap, 2, PROT_EXEC, {0}, "memory, the guest's pages; nothing that can be executed"},
      {SYS_mprotect, 2, PROT_EXEC, {0}, "stacks of threads"},
      {SYS_clone, 0, CLONE_THREAD, {CLONE_THREAD}, "a thread; no process, no namespace"},
      {SYS_fcntl,
       1,
       kWhole,
       {F_OFD_GETLK, F_OFD_SETLK, F_GETFL, F_DUPFD_CLOEXEC},
       "locks; not F_SETOWN, which sends signals"},
      {SYS_prctl, 0, kWhole, {PR_GET_SECUREBITS}, "whether capabilities outlive a change of owner"},
      {SYS_tgkill, 0, kWhole, {static_cast<uint32_t>(getpid())}, "abort"},
  };
}

// Collects libseccomp's errors: the first one counts.
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_KILL_PROCESS)), error_(context_ == nullptr ? -ENOMEM : 0) {
    // A balanced tree: as few comparisons for the last call of the list as for the first.
    if (error_ == 0) Keep(seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2));
    // Calls of the machine's other ABIs, which number theirs otherwise.
    if (error_ == 0) Keep(seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  }
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void Answer(int number, uint32_t action) {
    if (error_ == 0) Keep(seccomp_rule_add_exact_array(context_, action, number, 0, nullptr));
  }
  void Allow(int number) { Answer(number, SCMP_ACT_ALLOW); }
  void Allow(const AllowedIf& call) {
    for (const uint32_t value : call.values) {
      const scmp_arg_cmp comparison = {call.argument, SCMP_CMP_MASKED_EQ, call.mask, value};
      if (error_ == 0) Keep(seccomp_rule_add_exact_array(context_, SCMP_ACT_ALLOW, call.number, 1, &comparison));
    }
  }
  // 0, or an errno.
  int Install() {
    if (error_ == 0) Keep(seccomp_load(context_));
    return -error_;
  }

 private:
  void Keep(int error) {
    if (error < 0) error_ = error;
  }

  const scmp_filter_ctx context_;
  int error_;
};

}  // namespace

absl::Status ForbidOtherSystemCalls() {
  Filter filter;
  const std::vector<AllowedIf> with_arguments = AllowedWithArguments();
  for (const AllowedIf& call : with_arguments) filter.Allow(call);
  // Its flags lie in memory, where a filter cannot look; the C library then uses clone.
  filter.Answer(SYS_clone3, SCMP_ACT_ERRNO(ENOSYS));
  for (const Allowed& call : kAllowed) filter.Allow(call.number);
  for (const host::SystemCall& call : host::kSystemCalls) {
    const bool narrowed = std::any_of(with_arguments.begin(), with_arguments.end(),
                                      [&](const AllowedIf& other) { return other.number == call.number; });
    if (!narrowed) filter.Allow(call.number);
  }
  if (const int error = filter.Install(); error != 0) {
    return absl::ErrnoToStatus(error, "cannot restrict its system calls");
  }
  return absl::OkStatus();
}

}  // namespace virtfs::backend
