#include "tests/qemu_client.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"

namespace virtfs {
namespace {

constexpr size_t kMemory = 64 << 20;
constexpr uint32_t kPorts = 0xc000;  // where the device's registers shall be
constexpr uint32_t kRing = 0x100000;
constexpr uint32_t kRequest = 0x200000;
constexpr uint32_t kReply = 0x300000;
constexpr uint32_t kReplySize = 0x80000;
constexpr int kQueueSize = 128;  // what QEMU's device has
constexpr auto kPatience = std::chrono::seconds(60);

// Registers of a legacy virtio device.
constexpr uint32_t kGuestFeatures = 4, kQueueAddress = 8, kQueueLength = 12, kQueueSelect = 14, kQueueNotify = 16,
                   kStatus = 18;
constexpr uint32_t kAcknowledge = 1, kDriver = 2, kDriverOk = 4;
constexpr uint16_t kNext = 1, kWrite = 2;  // of descriptors
constexpr uint32_t kVirtio9p = 0x10091af4;

void Require(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "qemu_client: not so: %s (%s)\n", what, strerror(errno));
  abort();
}

std::string Cache() {
  const char* cache = getenv("XEN_VIRTFS_CACHE");
  if (cache != nullptr && *cache != '\0') return cache;
  const passwd* user = getpwuid(getuid());
  return absl::StrCat(user != nullptr ? user->pw_dir : "/root", "/.cache/xen-virtfs");
}

}  // namespace

// As a legacy driver lays it out for a queue of kQueueSize.
struct QemuClient::Ring {
  struct Descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
  } descriptors[kQueueSize];
  struct {
    uint16_t flags;
    std::atomic<uint16_t> index;
    uint16_t ring[kQueueSize];
  } available;
  struct alignas(4096) {
    uint16_t flags;
    std::atomic<uint16_t> index;
    struct {
      uint32_t id;
      uint32_t size;
    } ring[kQueueSize];
  } used;
};

QemuClient::~QemuClient() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (memory_ != nullptr) munmap(memory_, kMemory);
}

absl::Status QemuClient::Start(const std::string& directory, const std::string& fsdev) {
  const std::string root = Cache() + "/debs-root";
  const std::string program = root + "/usr/bin/qemu-system-x86_64";
  if (access((root + "/.have/qemu-system-common").c_str(), F_OK) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("QEMU is not in ", root, ": run ./dev test, which fetches it."));
  }
  const UniqueFd memory(memfd_create("guest", 0));
  const UniqueFd firmware(memfd_create("firmware", 0));  // never run
  int to[2], from[2];
  if (ftruncate(memory.get(), kMemory) != 0 || ftruncate(firmware.get(), 64 << 10) != 0 || pipe2(to, O_CLOEXEC) != 0 ||
      pipe2(from, O_CLOEXEC) != 0) {
    return absl::ErrnoToStatus(errno, "cannot prepare for QEMU");
  }
  UniqueFd to_read(to[0]), from_write(from[1]);
  to_ = UniqueFd(to[1]);
  from_ = UniqueFd(from[0]);
  void* const mapped = mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapped == MAP_FAILED) return absl::ErrnoToStatus(errno, "cannot map its memory");
  memory_ = static_cast<uint8_t*>(mapped);

  const std::vector<std::string> arguments = {
      program,       "-accel",
      "tcg",         "-S",
      "-global",     "apic-common.vapic=off",
      "-machine",    "pc,memory-backend=mem",
      "-m",          "64M",
      "-nodefaults", "-no-user-config",
      "-display",    "none",
      "-monitor",    "none",
      "-serial",     "none",
      "-qtest",      "stdio",
      "-qtest-log",  "none",
      "-bios",       absl::StrCat("/proc/self/fd/", firmware.get()),
      "-object",     absl::StrCat("memory-backend-file,id=mem,size=64M,share=on,mem-path=/proc/self/fd/", memory.get()),
      "-fsdev",      absl::StrCat("local,id=fs,path=", directory, ",", fsdev),
      "-device",     "virtio-9p-pci,fsdev=fs,mount_tag=x,addr=04.0,disable-modern=on,disable-legacy=off,ioeventfd=off"};
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string libraries = absl::StrCat(root, "/usr/lib/x86_64-linux-gnu:", root, "/lib/x86_64-linux-gnu");

  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(to_read.get(), 0);
    dup2(from_write.get(), 1);
    setenv("LD_LIBRARY_PATH", libraries.c_str(), 1);
    umask(022);
    execv(program.c_str(), argv.data());
    perror(program.c_str());
    _exit(127);
  }
  if (pid_ < 0) return absl::ErrnoToStatus(errno, "cannot fork");
  // So that its end is an end of file.
  from_write.reset();
  return SetUpDevice();
}

absl::Status QemuClient::SetUpDevice() {
  if (Command("endianness").empty()) return absl::InternalError("QEMU does not run; its words are above");
  if (ReadConfig(0) != kVirtio9p) return absl::InternalError("QEMU has no virtio-9p device");
  WriteConfig(0x10, kPorts);
  WriteConfig(0x04, 0x5);  // I/O and bus mastering
  Out("outb", kPorts + kStatus, 0);
  Out("outb", kPorts + kStatus, kAcknowledge);
  Out("outb", kPorts + kStatus, kAcknowledge | kDriver);
  Out("outl", kPorts + kGuestFeatures, 0);
  Out("outw", kPorts + kQueueSelect, 0);
  if (In("inw", kPorts + kQueueLength) != kQueueSize) return absl::InternalError("the device has another queue");
  Out("outl", kPorts + kQueueAddress, kRing >> 12);
  auto& ring = *reinterpret_cast<Ring*>(memory_ + kRing);
  ring.available.flags = 1;  // no interrupts
  Out("outb", kPorts + kStatus, kAcknowledge | kDriver | kDriverOk);
  return absl::OkStatus();
}

void QemuClient::Exchange(const std::vector<uint8_t>& frame) {
  auto& ring = *reinterpret_cast<Ring*>(memory_ + kRing);
  Require(frame.size() <= kReply - kRequest, "the request fits");
  memcpy(memory_ + kRequest, frame.data(), frame.size());
  ring.descriptors[0] = {kRequest, static_cast<uint32_t>(frame.size()), kNext, 1};
  ring.descriptors[1] = {kReply, kReplySize, kWrite, 0};
  const uint16_t index = ring.available.index.load();
  ring.available.ring[index % kQueueSize] = 0;
  ring.available.index.store(static_cast<uint16_t>(index + 1));
  Out("outw", kPorts + kQueueNotify, 0);

  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (ring.used.index.load() == used_) {
    Require(std::chrono::steady_clock::now() < deadline, "QEMU answers in time");
    std::this_thread::yield();
  }
  const uint32_t size = ring.used.ring[used_ % kQueueSize].size;
  ++used_;
  Require(size <= kReplySize, "the answer fits");
  reply_.assign(memory_ + kReply, memory_ + kReply + size);
}

std::string QemuClient::Command(const std::string& text) {
  const std::string line = text + "\n";
  Require(write(to_.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()), "QEMU takes commands");
  size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    char bytes[256];
    const ssize_t size = read(from_.get(), bytes, sizeof(bytes));
    if (size <= 0) return "";
    received_.append(bytes, static_cast<size_t>(size));
  }
  std::string answer = received_.substr(0, end);
  received_.erase(0, end + 1);
  Require(answer.starts_with("OK"), "QEMU obeys");
  return answer.size() > 3 ? answer.substr(3) : "OK";
}

uint32_t QemuClient::In(const char* width, uint32_t port) {
  return static_cast<uint32_t>(strtoul(Command(absl::StrCat(width, " ", port)).c_str(), nullptr, 0));
}

void QemuClient::Out(const char* width, uint32_t port, uint32_t value) {
  Command(absl::StrCat(width, " ", port, " ", value));
}

// Of the device in slot 4.
uint32_t QemuClient::ReadConfig(uint32_t offset) {
  Out("outl", 0xcf8, 0x80000000 | 4 << 11 | offset);
  return In("inl", 0xcfc);
}

void QemuClient::WriteConfig(uint32_t offset, uint32_t value) {
  Out("outl", 0xcf8, 0x80000000 | 4 << 11 | offset);
  Out("outl", 0xcfc, value);
}

}  // namespace virtfs
