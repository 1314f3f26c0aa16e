// Preloaded into the real xenstored: the two files of /proc/xen by which it finds domain 0's ring are in $XENSIM_DIR.
#include <dlfcn.h>
#include <fcntl.h>

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using OpenFunction = int (*)(const char*, int, ...);

int Open(const char* symbol, const char* path, int flags, mode_t mode) {
  const auto real = reinterpret_cast<OpenFunction>(dlsym(RTLD_NEXT, symbol));
  const char* directory = getenv("XENSIM_DIR");
  if (directory != nullptr && std::strncmp(path, "/proc/xen/", 10) == 0) {
    return real((std::string(directory) + "/" + (path + 10)).c_str(), flags, mode);
  }
  return real(path, flags, mode);
}

mode_t ModeArgument(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeArgument(flags, arguments);
  va_end(arguments);
  return Open("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeArgument(flags, arguments);
  va_end(arguments);
  return Open("open64", path, flags, mode);
}

}  // extern "C"
