#include "fsops/host/kernel_file_system.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cstdint>

namespace virtfs::host {
namespace {

struct FileSystem {
  uint32_t magic;
  const char* name;
};

// linux/magic.h has not all of them.
constexpr FileSystem kKernelFileSystems[] = {
    {PROC_SUPER_MAGIC, "proc"},
    {SYSFS_MAGIC, "sysfs"},
    {CGROUP_SUPER_MAGIC, "cgroup"},
    {CGROUP2_SUPER_MAGIC, "cgroup2"},
    {DEBUGFS_MAGIC, "debugfs"},
    {TRACEFS_MAGIC, "tracefs"},
    {SECURITYFS_MAGIC, "securityfs"},
    {SELINUX_MAGIC, "selinuxfs"},
    {SMACK_MAGIC, "smackfs"},
    {BPF_FS_MAGIC, "bpf"},
    {DEVPTS_SUPER_MAGIC, "devpts"},
    {EFIVARFS_MAGIC, "efivarfs"},
    {PSTOREFS_MAGIC, "pstore"},
    {BINFMTFS_MAGIC, "binfmt_misc"},
    {NSFS_MAGIC, "nsfs"},
    {BINDERFS_SUPER_MAGIC, "binder"},
    {RDTGROUP_SUPER_MAGIC, "resctrl"},
    {0x62656570, "configfs"},
    {0x65735543, "fusectl"},
    {0xabba1974, "xenfs"},
    {0x19800202, "mqueue"},
};

}  // namespace

Result<const char*> KernelFileSystemOf(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) < 0) return Errno::Last();
  for (const FileSystem& known : kKernelFileSystems) {
    if (static_cast<uint32_t>(status.f_type) == known.magic) return known.name;
  }
  return static_cast<const char*>(nullptr);
}

}  // namespace virtfs::host
