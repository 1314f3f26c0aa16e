// Whose a new file is. A file is born with the right owner: the creating thread takes the owner's fsuid and fsgid for
// the system call that creates; nothing is chowned afterwards, so there is no moment at which it belongs to another.
//
// The ids are the thread's own (the raw system calls, which glibc's process-wide setuid machinery does not touch) and
// stay until another owner is needed: a guest's thread of work mostly has one owner, and then a creation costs no
// further system call. SECBIT_NO_SETUID_FIXUP keeps the thread's capabilities whatever its fsuid is, so a foreign fsuid
// left behind changes nothing for the operations that follow.
//
// Needs CAP_SETUID, CAP_SETGID, and CAP_SETPCAP once (or the securebit inherited). Without them a file for anyone but
// the process itself cannot be made: EPERM, before anything was done. The ids need no passwd entry.
//
// Side effect of the kernel: a change of fsuid clears the thread's PR_SET_PDEATHSIG and the process's dumpable flag.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace virtfs::host {

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;

  friend bool operator==(const Owner&, const Owner&) = default;
};

// Once at the start, before threads and before CAP_SETPCAP is given up: umask 0 (a mode from a guest already has the
// guest's umask applied) and SECBIT_NO_SETUID_FIXUP, which threads inherit. Failure of the latter is not one of the
// process: only foreign owners are then refused.
void PrepareCredentials();

// From now on this thread creates files for `owner`. EPERM: not permitted to, nothing has changed. EINVAL: an id of
// 0xffffffff. System calls: none if the owner is the last one, else setfsgid and setfsuid, twice each (the second tells
// whether the first worked).
Result<void> AssumeOwner(const Owner& owner);

}  // namespace virtfs::host
