// Preloaded into user-mode Linux: lets its buffer for a process's extended registers be shorter than the processor's.
//
// Linux 6.1's user-mode port keeps 2.7 KB of them. Where the processor has more (AMX: 11 KB), PTRACE_SETREGSET of
// NT_X86_XSTATE with a shorter buffer fails with EFAULT, and the guest panics at its first process ("ptrace set fp regs
// failed, errno = 14"). Here such a call is completed from what the process has now: the caller's bytes, which include
// the legacy area and the header, go over the front of the whole. What the caller never knew of is left alone.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kLongestState = 64 * 1024 };

static long set_registers(long pid, const struct iovec* given) {
  // Not on the stack: that of the guest's kernel is a few pages. All these calls are made by its one thread.
  _Alignas(64) static char state[kLongestState];
  struct iovec whole = {state, sizeof(state)};
  if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) != 0) return -1;
  memcpy(state, given->iov_base, given->iov_len < whole.iov_len ? given->iov_len : whole.iov_len);
  return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...) {
  va_list arguments;
  va_start(arguments, request);
  const long pid = va_arg(arguments, pid_t);
  void* const address = va_arg(arguments, void*);
  void* const data = va_arg(arguments, void*);
  va_end(arguments);
  if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
    // The system call stores the word, the function returns it.
    long word = 0;
    errno = 0;
    return syscall(SYS_ptrace, request, pid, address, &word) < 0 ? -1 : word;
  }
  const long result = syscall(SYS_ptrace, request, pid, address, data);
  const int error = errno;
  if (result == 0 || request != PTRACE_SETREGSET || (uintptr_t)address != NT_X86_XSTATE ||
      (error != EFAULT && error != EINVAL)) {
    return result;
  }
  return set_registers(pid, data);
}
