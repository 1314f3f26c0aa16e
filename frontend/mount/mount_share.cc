#include "frontend/mount/mount_share.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/errno.h"
#include "frontend/mount/modules.h"
#include "frontend/mount/relay_process.h"

namespace virtfs::frontend {
namespace {

constexpr char kType[] = "9p";

int Complain(int status, const std::string& sentence) {
  fprintf(stderr, "mount.virtfs: %s\n", sentence.c_str());
  return status;
}

std::string Explain(int error, const MountRequest& request) {
  const std::string what = absl::StrCat("cannot mount ", request.tag, " on ", request.directory, ": ");
  switch (error) {
    case EPERM:
      return what + "only root can";
    case ENODEV:
      return what + "this kernel has no 9p file system (module 9p)";
    case EPROTONOSUPPORT:
    case ENOENT:
      return what + "this kernel's 9p has no transport fd (module 9pnet_fd)";
    case EINVAL:
      return absl::StrCat(what, "the kernel refuses the options ", request.client_options, "; dmesg may say which");
    default:
      return absl::StrCat(what, Errno(error).message(), "; dmesg may say more");
  }
}

}  // namespace

MountSystem MountSystem::Real() {
  return {.load_modules = LoadModules,
          .mount = [](const char* source, const char* target, const char* type, unsigned long flags,
                      const char* data) { return ::mount(source, target, type, flags, data) == 0 ? 0 : errno; },
          .program = "/proc/self/exe"};
}

int MountShare(const MountRequest& request, const MountSystem& system) {
  struct stat status;
  if (stat(request.directory.c_str(), &status) != 0) {
    return Complain(kMountFailed, absl::StrCat("mount point ", request.directory, ": ", Errno::Last().message()));
  }
  if (!S_ISDIR(status.st_mode)) {
    return Complain(kMountFailed, absl::StrCat("mount point ", request.directory, " is no directory"));
  }
  const auto mount = [&](const std::string& data) {
    if (request.verbose) {
      printf("mount.virtfs: mount -t %s -o %s %s %s (flags %#lx)\n", kType, data.c_str(), request.tag.c_str(),
             request.directory.c_str(), request.flags);
    }
    if (request.fake) return 0;
    const int error = system.mount(request.tag.c_str(), request.directory.c_str(), kType, request.flags, data.c_str());
    return error == 0 ? 0 : Complain(kMountFailed, Explain(error, request));
  };
  // The 9p client's options stay what they are; so does its relay.
  if ((request.flags & MS_REMOUNT) != 0) return mount("");
  if (request.fake) return mount(request.Data(-1, request.msize));

  if (const absl::Status loaded = system.load_modules(); !loaded.ok()) {
    return Complain(kMountFailed, std::string(loaded.message()));
  }
  absl::StatusOr<RelayProcess> relay = RelayProcess::Start(
      system.program, {.tag = request.tag, .msize = request.msize, .pages = request.pages, .wait = request.wait});
  if (!relay.ok()) {
    return Complain(absl::IsInternal(relay.status()) ? kMountSystem : kMountFailed,
                    absl::StrCat(request.tag, ": ", std::string(relay.status().message())));
  }
  const int result = mount(request.Data(relay->stream(), std::min(request.msize, relay->msize())));
  if (result == 0) relay->LetGo();
  return result;
}

}  // namespace virtfs::frontend
