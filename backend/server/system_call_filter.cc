#include "backend/server/system_call_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
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
  uint32_t argument;
  uint32_t mask;
  std::vector<uint32_t> values;
  const char* why;
};

constexpr uint32_t kWhole = UINT32_MAX;

// In front of the others, as they are looked through at each such call; the kernel remembers those of kAllowed.
std::vector<AllowedIf> AllowedWithArguments() {
  return {
      {SYS_ioctl, 1, 0xff00, {'G' << 8, 'E' << 8}, "gntdev and evtchn, whose requests have these letters"},
      {SYS_mmap, 2, PROT_EXEC, {0}, "memory, the guest's pages; nothing that can be executed"},
      {SYS_mprotect, 2, PROT_EXEC, {0}, "stacks of threads"},
      {SYS_clone, 0, CLONE_THREAD, {CLONE_THREAD}, "a thread; no process, no namespace"},
      {SYS_fcntl, 1, kWhole, {F_OFD_GETLK, F_OFD_SETLK, F_GETFL}, "locks; not F_SETOWN, which sends signals"},
      {SYS_prctl, 0, kWhole, {PR_GET_SECUREBITS}, "whether capabilities outlive a change of owner"},
      {SYS_tgkill, 0, kWhole, {static_cast<uint32_t>(getpid())}, "abort"},
  };
}

#if defined(__x86_64__)
constexpr uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
#error "write this machine's AUDIT_ARCH here"
#endif

class Program {
 public:
  // Kills unless the call is of this very machine: other ABIs number theirs otherwise.
  Program() {
    Load(offsetof(seccomp_data, arch));
    Add(BPF_JMP | BPF_JEQ | BPF_K, kMachine, 1, 0);
    Return(SECCOMP_RET_KILL_PROCESS);
    LoadNumber();
#ifdef __x86_64__
    constexpr uint32_t kX32 = 0x40000000;
    Add(BPF_JMP | BPF_JGE | BPF_K, kX32, 0, 1);
    Return(SECCOMP_RET_KILL_PROCESS);
#endif
  }

  void Allow(int number) { Answer(number, SECCOMP_RET_ALLOW); }
  void Answer(int number, uint32_t action) {
    Add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1);
    Return(action);
  }
  void Allow(const AllowedIf& call) {
    // number, load, and, two for each value, kill.
    const auto rest = static_cast<uint8_t>(2 + 2 * call.values.size() + 1);
    Add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call.number), 0, rest);
    // Little-endian: the low half comes first.
    Load(offsetof(seccomp_data, args) + call.argument * sizeof(seccomp_data::args[0]));
    Add(BPF_ALU | BPF_AND | BPF_K, call.mask, 0, 0);
    for (const uint32_t value : call.values) {
      Add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
      Return(SECCOMP_RET_ALLOW);
    }
    Return(SECCOMP_RET_KILL_PROCESS);
  }
  void Return(uint32_t action) { Add(BPF_RET | BPF_K, action, 0, 0); }

  // False, with errno.
  bool Install() {
    sock_fprog program{.len = static_cast<unsigned short>(code_.size()), .filter = code_.data()};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
  }

 private:
  void Load(size_t offset) { Add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset), 0, 0); }
  void LoadNumber() { Load(offsetof(seccomp_data, nr)); }
  void Add(int code, uint32_t k, uint8_t if_true, uint8_t if_false) {
    code_.push_back({.code = static_cast<uint16_t>(code), .jt = if_true, .jf = if_false, .k = k});
  }

  std::vector<sock_filter> code_;
};

}  // namespace

absl::Status ForbidOtherSystemCalls() {
  const std::vector<AllowedIf> with_arguments = AllowedWithArguments();
  Program program;
  for (const AllowedIf& call : with_arguments) program.Allow(call);
  // Its flags lie in memory, where a filter cannot look; the C library then uses clone.
  program.Answer(SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
  for (const Allowed& call : kAllowed) program.Allow(call.number);
  for (const host::SystemCall& call : host::kSystemCalls) {
    bool narrowed = false;
    for (const AllowedIf& other : with_arguments) narrowed = narrowed || other.number == call.number;
    if (!narrowed) program.Allow(call.number);
  }
  program.Return(SECCOMP_RET_KILL_PROCESS);
  if (!program.Install()) return absl::ErrnoToStatus(errno, "cannot restrict its system calls");
  return absl::OkStatus();
}

}  // namespace virtfs::backend
