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
#include <span>

#include "base/result.h"

namespace virtfs::host {

// No user's or group's: in a system call it leaves the id as it is.
inline constexpr uint32_t kNoId = 0xffffffff;

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;

  friend bool operator==(const Owner&, const Owner&) = default;
};

// Whose rights the operations of this process have.
enum class Rights : uint8_t {
  kOfRoot,   // the process's own capabilities, whoever owns what is made
  kOfUsers,  // those of the user that a thread acts for (users.h)
};

// Once at the start, before threads: umask 0 (a mode from a guest already has the guest's umask applied); and, for
// kOfRoot, before CAP_SETPCAP is given up: SECBIT_NO_SETUID_FIXUP, which threads inherit. Failure of the latter is not
// one of the process: only foreign owners are then refused. For kOfUsers that bit must not be set: then the kernel
// takes CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID and CAP_MKNOD out of force whenever a thread's fsuid turns
// from 0 to another, and puts back what is permitted when it returns to 0.
void PrepareCredentials(Rights rights = Rights::kOfRoot);

// From now on this thread creates files for `owner`. EPERM: not permitted to, nothing has changed. EINVAL: an id of
// 0xffffffff. System calls: none if the owner is the last one, else setfsgid and setfsuid, twice each (the second tells
// whether the first worked).
Result<void> AssumeOwner(const Owner& owner);

// From now on this thread acts as this user and with these groups. EPERM: not permitted to; then it may have the new
// groups with the old ids, and must not act before another call has succeeded. System calls: setgroups if the groups
// are others than the last time, and those of AssumeOwner.
Result<void> AssumeUser(const Owner& user, std::span<const uint32_t> groups);

}  // namespace virtfs::host
