// The whole way in two processes: this one is the guest, xen-virtfsd the other, on the simulated Xen that run.sh has
// started. Beside each operation's time stand the Xen calls that it took on either side (guest_*: this process,
// host_*: the server): on real Xen each is a hypercall. bench/README.md says how to read the figures.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "frontend/device.h"
#include "frontend/p9_client.h"
#include "xensim/world.h"

namespace virtfs::frontend {
namespace {

constexpr uint32_t kMsize = 512 * 1024 + 24;
constexpr uint32_t kLargeRead = 512 * 1024;
// What a reply can carry on the largest 9pfs ring, at the msize that Linux has there (512 KiB), in whole pages.
constexpr uint32_t kLargestNinepfsRead = 508 * 1024;
constexpr uint64_t kFileSize = 64 << 20;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "ring_benchmark: %s\n", what.c_str());
  std::exit(1);
}

enum class Way { kPersistent, kPersistentBlocking, kCopy, kNinepfs, kNinepfsBlocking };

// A connection to the share "bench", or to the same directory as a 9pfs device, "bench9"; it holds the file "file".
// Blocking: every wait sleeps at once.
class Guest {
 public:
  explicit Guest(Way way) {
    const bool is_9pfs = way == Way::kNinepfs || way == Way::kNinepfsBlocking;
    DeviceOptions options;
    options.tag = is_9pfs ? "bench9" : "bench";
    options.ninepfs = is_9pfs;
    options.ninepfs_order = 9;
    options.persistent = way != Way::kCopy;
    if (way == Way::kPersistentBlocking || way == Way::kNinepfsBlocking) options.max_poll = {};
    auto device = Device::Connect(options);
    if (!device.ok()) Die(std::string(device.status().message()));
    device_ = *std::move(device);
    client_ = std::make_unique<P9Client>(device_->channel(), std::chrono::seconds(30));
    if (!client_->Version(kMsize).ok()) Die("Tversion failed");
    auto root = client_->Attach();
    if (!root.ok()) Die("Tattach failed");
    root_ = *std::move(root);
    const std::string_view names[] = {"file"};
    auto file = client_->Walk(root_.get(), names);
    if (!file.ok()) Die("no file in the share");
    file_ = *std::move(file);
    if (!client_->Call(p9::Tlopen{.fid = file_.get(), .flags = O_RDWR}).ok()) Die("Tlopen failed");
  }

  P9Client& client() { return *client_; }
  p9::Fid file() const { return file_.get(); }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<P9Client> client_;
  RemoteFid root_, file_;
};

// A share has one connection at a time, so it is changed as the benchmarks go.
std::unique_ptr<Guest>& Current() {
  static std::unique_ptr<Guest> guest;
  return guest;
}

Guest& Connect(Way way) {
  static Way current;
  std::unique_ptr<Guest>& guest = Current();
  if (guest == nullptr || current != way) {
    guest.reset();
    guest = std::make_unique<Guest>(way);
    current = way;
  }
  return *guest;
}

// The Xen calls of one domain between two moments.
class Calls {
 public:
  explicit Calls(uint32_t domid) : domid_(domid), world_(xensim::World::Open()) {
    if (world_ == nullptr) Die("no simulated Xen; run this by ./dev bench");
    for (uint32_t i = 0; i < xensim::kCalls; ++i) before_[i] = Now(i);
  }

  void Report(benchmark::State& state, const std::string& side) const {
    using xensim::Call;
    for (const Call call : {Call::kMap, Call::kUnmap, Call::kCopy, Call::kNotify}) {
      const auto i = static_cast<uint32_t>(call);
      state.counters[side + "_" + xensim::kCallNames[i]] =
          benchmark::Counter(static_cast<double>(Now(i) - before_[i]), benchmark::Counter::kAvgIterations);
    }
  }

 private:
  uint64_t Now(uint32_t call) const { return world_->state().domains[domid_].counters[call].calls.load(); }

  uint32_t domid_;
  std::shared_ptr<xensim::World> world_;
  uint64_t before_[xensim::kCalls];
};

// Keeps `depth` requests in flight: one iteration is one reply.
template <typename T, typename Make>
void RunAtDepth(benchmark::State& state, Guest& guest, size_t depth, uint32_t data_size, Make make) {
  std::vector<std::unique_ptr<Exchange<T>>> exchanges;
  std::vector<std::vector<uint8_t>> data(depth, std::vector<uint8_t>(data_size));
  for (size_t i = 0; i < depth; ++i) exchanges.push_back(std::make_unique<Exchange<T>>(guest.client()));
  const Calls guest_calls(xensim::World::CallerDomain());
  const Calls host_calls(0);
  size_t turn = 0;
  for (auto _ : state) {
    Exchange<T>& exchange = *exchanges[turn];
    if (exchange.started() && !exchange.Wait().ok()) Die("a request failed");
    exchange.Start(make(), {}, data[turn]);
    turn = (turn + 1) % depth;
  }
  for (auto& exchange : exchanges) {
    if (exchange->started() && !exchange->Wait().ok()) Die("a request failed");
  }
  guest_calls.Report(state, "guest");
  host_calls.Report(state, "host");
  state.SetItemsProcessed(state.iterations());
  if (data_size != 0) state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * data_size);
}

void Getattr(benchmark::State& state, Way way, size_t depth) {
  Guest& guest = Connect(way);
  RunAtDepth<p9::Tgetattr>(state, guest, depth, 0,
                           [&] { return p9::Tgetattr{.fid = guest.file(), .request_mask = 0x7ff}; });
}

void Read(benchmark::State& state, Way way, size_t depth, uint32_t size) {
  Guest& guest = Connect(way);
  uint64_t offset = 0;
  RunAtDepth<p9::Tread>(state, guest, depth, size, [&] {
    const p9::Tread read{.fid = guest.file(), .offset = offset, .count = size};
    offset = offset + 2 * uint64_t{size} > kFileSize ? 0 : offset + size;
    return read;
  });
}

// pread of the same file into memory that is shared as the ring's pages are.
void BarePread(benchmark::State& state, uint32_t size) {
  const char* path = std::getenv("VIRTFS_BENCH_FILE");
  const UniqueFd file(path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC));
  if (!file.ok()) Die("VIRTFS_BENCH_FILE does not name the file");
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("no memory");
  uint64_t offset = 0;
  for (auto _ : state) {
    if (pread(file.get(), memory, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size)) Die("pread");
    offset = offset + 2 * uint64_t{size} > kFileSize ? 0 : offset + size;
  }
  munmap(memory, size);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * size);
}

void Register() {
  const auto add = []([[maybe_unused]] const char* name, [[maybe_unused]] auto run) {
#ifndef __clang_analyzer__  // Which takes what RegisterBenchmark keeps for a leak.
    benchmark::RegisterBenchmark(name, run)->UseRealTime();
#endif
  };
  add("getattr/depth:1/blocking", [](auto& state) { Getattr(state, Way::kPersistentBlocking, 1); });
  add("getattr/depth:1", [](auto& state) { Getattr(state, Way::kPersistent, 1); });
  add("getattr/depth:16", [](auto& state) { Getattr(state, Way::kPersistent, 16); });
  add("bare_pread/4K", [](auto& state) { BarePread(state, 4096); });
  add("read/4K/depth:1", [](auto& state) { Read(state, Way::kPersistent, 1, 4096); });
  add("read/4K/depth:16", [](auto& state) { Read(state, Way::kPersistent, 16, 4096); });
  add("bare_pread/512K", [](auto& state) { BarePread(state, kLargeRead); });
  // 512 KiB take 128 slots and more: a one-page ring holds no second one.
  add("read/512K/depth:1", [](auto& state) { Read(state, Way::kPersistent, 1, kLargeRead); });
  add("read/128K/depth:4", [](auto& state) { Read(state, Way::kPersistent, 4, 128 * 1024); });
  add("read/64K/depth:1", [](auto& state) { Read(state, Way::kPersistent, 1, 64 * 1024); });
  add("read/508K/depth:1", [](auto& state) { Read(state, Way::kPersistent, 1, kLargestNinepfsRead); });
  add("getattr/depth:1/blocking/9pfs", [](auto& state) { Getattr(state, Way::kNinepfsBlocking, 1); });
  add("getattr/depth:1/9pfs", [](auto& state) { Getattr(state, Way::kNinepfs, 1); });
  add("getattr/depth:16/9pfs", [](auto& state) { Getattr(state, Way::kNinepfs, 16); });
  add("read/4K/depth:1/9pfs", [](auto& state) { Read(state, Way::kNinepfs, 1, 4096); });
  add("read/4K/depth:16/9pfs", [](auto& state) { Read(state, Way::kNinepfs, 16, 4096); });
  add("read/64K/depth:1/9pfs", [](auto& state) { Read(state, Way::kNinepfs, 1, 64 * 1024); });
  add("read/128K/depth:4/9pfs", [](auto& state) { Read(state, Way::kNinepfs, 4, 128 * 1024); });
  add("read/508K/depth:1/9pfs", [](auto& state) { Read(state, Way::kNinepfs, 1, kLargestNinepfsRead); });
  add("read/4K/depth:16/grant_copy", [](auto& state) { Read(state, Way::kCopy, 16, 4096); });
  add("read/512K/depth:1/grant_copy", [](auto& state) { Read(state, Way::kCopy, 1, kLargeRead); });
}

}  // namespace
}  // namespace virtfs::frontend

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  virtfs::frontend::Register();
  benchmark::RunSpecifiedBenchmarks();
  virtfs::frontend::Current().reset();
  return 0;
}
