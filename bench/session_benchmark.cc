// The session in process, each operation beside the bare system calls that do the same, on a directory of its own in
// TEST_TMPDIR or /tmp: no ring, no other process. bench/README.md says how to read the figures.
#include <benchmark/benchmark.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fsops/host/credentials.h"
#include "fsops/host/export.h"
#include "fsops/host/local_handle_broker.h"
#include "fsops/session/session.h"
#include "protocol/codec.h"

namespace virtfs {
namespace {

constexpr uint32_t kMsize = 512 * 1024 + 24;
constexpr size_t kFileSize = 64 << 20;
constexpr int kDirectoryEntries = 10000;
constexpr p9::Fid kRootFid = 1, kFileFid = 2, kDirectoryFid = 3, kSpareFid = 4;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "session_benchmark: %s\n", what.c_str());
  std::exit(1);
}

// A directory with one large file and one directory of many entries, made once and removed at the end.
class Tree {
 public:
  Tree() {
    const char* base = std::getenv("TEST_TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/virtfs-bench.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) Die("mkdtemp in " + path_);
    root_.reset(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    file_.reset(openat(root_.get(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    const std::vector<char> block(1 << 20, 'x');
    for (size_t done = 0; done < kFileSize; done += block.size()) {
      if (write(file_.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size())) Die("write");
    }
    mkdirat(root_.get(), "many", 0755);
    many_.reset(openat(root_.get(), "many", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < kDirectoryEntries; ++i) {
      const std::string name = "entry-" + std::to_string(i);
      UniqueFd(openat(many_.get(), name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    }
  }
  ~Tree() { std::filesystem::remove_all(path_); }

  int root() const { return root_.get(); }
  int file() const { return file_.get(); }
  int many() const { return many_.get(); }

 private:
  std::string path_;
  UniqueFd root_, file_, many_;
};

// A client of a session in the same thread: one call at a time.
class Client {
 public:
  explicit Client(const Tree& tree)
      : broker_(tree.root()),
        scratch_(kMsize),
        room_(kMsize),
        room_segment_{room_.data(), room_.size()},
        data_(kMsize, 'y'),
        data_segment_{data_.data(), data_.size()} {
    auto made = host::Export::Make(UniqueFd(fcntl(tree.root(), F_DUPFD_CLOEXEC, 0)),
                                   UniqueFd(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), broker_, {});
    if (!made.ok()) Die("no export");
    export_ = *std::move(made);
    SessionOptions options;
    options.max_msize = kMsize;
    session_ = std::make_unique<Session>(*export_, options);
    Run(p9::Tversion{.msize = kMsize, .version = "9P2000.L"});
    Run(p9::Tattach{.fid = kRootFid, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 0});
    Open("file", kFileFid, O_RDWR);
    Open("many", kDirectoryFid, O_RDONLY | O_DIRECTORY);
  }

  // Serves one request; returns the reply's head (valid until the next one).
  template <typename T>
  std::span<const uint8_t> Run(const T& request, uint32_t data_size = 0) {
    const p9::Tag tag = T::kType == p9::Tversion::kType ? p9::kNoTag : 1;
    const size_t head = p9::Encode(tag, request, frame_);
    Call call;
    call.frame = {frame_, head};
    call.data = Payload({&data_segment_, 1}, data_size);
    call.room = Payload({&room_segment_, 1}, room_.size());
    call.capacity = kMsize;
    call.scratch = scratch_;
    session_->Arrive(call);
    if (session_->Serve(call) != Outcome::kAnswered) Die("a call was not answered");
    if (!session_->Finish(call).empty()) Die("a call waited");
    if (scratch_[4] != T::Reply::kType) Die("type " + std::to_string(T::kType) + " failed");
    return {scratch_.data(), call.head_size};
  }

  uint8_t* room() { return room_.data(); }

 private:
  void Open(std::string_view name, p9::Fid fid, uint32_t flags) {
    Walk(name, fid);
    Run(p9::Tlopen{.fid = fid, .flags = flags});
  }

 public:
  void Walk(std::string_view name, p9::Fid newfid) {
    p9::Twalk walk{.fid = kRootFid, .newfid = newfid, .wname = {}};
    walk.wname.push_back(name);
    Run(walk);
  }

 private:
  host::LocalHandleBroker broker_;
  std::unique_ptr<host::Export> export_;
  std::unique_ptr<Session> session_;
  uint8_t frame_[4096];
  std::vector<uint8_t> scratch_, room_;
  iovec room_segment_;
  std::vector<uint8_t> data_;
  iovec data_segment_;
};

Tree& TheTree() {
  static Tree tree;
  return tree;
}

Client& TheClient() {
  static Client client(TheTree());
  return client;
}

void BM_Getattr(benchmark::State& state) {
  Client& client = TheClient();
  for (auto _ : state) client.Run(p9::Tgetattr{.fid = kFileFid, .request_mask = 0x7ff});
}

void BM_Bare_Statx(benchmark::State& state) {
  const UniqueFd path(openat(TheTree().root(), "file", O_PATH | O_CLOEXEC));
  for (auto _ : state) {
    struct statx status;
    benchmark::DoNotOptimize(statx(path.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status));
  }
}

void BM_WalkClunk(benchmark::State& state) {
  Client& client = TheClient();
  for (auto _ : state) {
    client.Walk("file", kSpareFid);
    client.Run(p9::Tclunk{.fid = kSpareFid});
  }
}

void BM_Bare_OpenPathStatxClose(benchmark::State& state) {
  for (auto _ : state) {
    const UniqueFd path(openat(TheTree().root(), "file", O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct statx status;
    benchmark::DoNotOptimize(statx(path.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status));
  }
}

uint64_t NextOffset(uint64_t offset, uint64_t size) { return offset + 2 * size > kFileSize ? 0 : offset + size; }

void BM_Read(benchmark::State& state) {
  Client& client = TheClient();
  const auto size = static_cast<uint32_t>(state.range(0));
  uint64_t offset = 0;
  for (auto _ : state) {
    client.Run(p9::Tread{.fid = kFileFid, .offset = offset, .count = size});
    offset = NextOffset(offset, size);
  }
  state.SetBytesProcessed(state.iterations() * size);
}

void BM_Bare_Pread(benchmark::State& state) {
  Client& client = TheClient();  // the same memory as BM_Read
  const auto size = static_cast<size_t>(state.range(0));
  uint64_t offset = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(pread(TheTree().file(), client.room(), size, static_cast<off_t>(offset)));
    offset = NextOffset(offset, size);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * size));
}

void BM_Write(benchmark::State& state) {
  Client& client = TheClient();
  const auto size = static_cast<uint32_t>(state.range(0));
  uint64_t offset = 0;
  for (auto _ : state) {
    client.Run(p9::Twrite{.fid = kFileFid, .offset = offset, .count = size}, size);
    offset = NextOffset(offset, size);
  }
  state.SetBytesProcessed(state.iterations() * size);
}

void BM_Bare_Pwrite(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  const std::vector<char> data(size, 'y');
  uint64_t offset = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(pwrite(TheTree().file(), data.data(), size, static_cast<off_t>(offset)));
    offset = NextOffset(offset, size);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * size));
}

// Offset of the entry behind the last one of a Rreaddir's `data`; counts the entries.
uint64_t LastCookie(std::span<const uint8_t> data, int* entries) {
  uint64_t cookie = 0;
  for (size_t at = 0; at + 24 <= data.size();) {
    std::memcpy(&cookie, &data[at + 13], 8);
    uint16_t name_size = 0;
    std::memcpy(&name_size, &data[at + 22], 2);
    at += 24 + name_size;
    ++*entries;
  }
  return cookie;
}

// The whole directory, msize - 24 bytes at a time as Linux asks.
void BM_Readdir10000(benchmark::State& state) {
  Client& client = TheClient();
  const auto count = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    int entries = 0;
    for (uint64_t cookie = 0;;) {
      const auto reply = client.Run(p9::Treaddir{.fid = kDirectoryFid, .offset = cookie, .count = count});
      if (reply.size() <= 11) break;
      cookie = LastCookie(reply.subspan(11), &entries);
    }
    if (entries != kDirectoryEntries + 2) Die("entries: " + std::to_string(entries));
  }
  state.SetItemsProcessed(state.iterations() * kDirectoryEntries);
}

void BM_Bare_Getdents10000(benchmark::State& state) {
  std::vector<char> buffer(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    lseek(TheTree().many(), 0, SEEK_SET);
    while (syscall(SYS_getdents64, TheTree().many(), buffer.data(), buffer.size()) > 0) {
    }
  }
  state.SetItemsProcessed(state.iterations() * kDirectoryEntries);
}

BENCHMARK(BM_Bare_Statx);
BENCHMARK(BM_Getattr);
BENCHMARK(BM_Bare_OpenPathStatxClose);
BENCHMARK(BM_WalkClunk);
BENCHMARK(BM_Bare_Pread)->Arg(4096)->Arg(65536)->Arg(524288);
BENCHMARK(BM_Read)->Arg(4096)->Arg(65536)->Arg(524288);
BENCHMARK(BM_Bare_Pwrite)->Arg(4096)->Arg(65536)->Arg(524288);
BENCHMARK(BM_Write)->Arg(4096)->Arg(65536)->Arg(524288);
BENCHMARK(BM_Bare_Getdents10000)->Arg(4072)->Arg(524288);
BENCHMARK(BM_Readdir10000)->Arg(4072)->Arg(524288);

}  // namespace
}  // namespace virtfs

BENCHMARK_MAIN();
