// Encoding and decoding of every message, on its golden example; and finding a request's type.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "protocol/codec.h"
#include "protocol/golden.h"

namespace virtfs::p9 {
namespace {

template <Message M>
void BM_Encode(benchmark::State& state) {
  M message = Golden<M>::kMessage;
  uint8_t out[512];
  for (auto _ : state) {
    benchmark::DoNotOptimize(message);
    benchmark::DoNotOptimize(Encode(kGoldenTag, message, out));
    benchmark::ClobberMemory();
  }
}

template <Message M>
void BM_Decode(benchmark::State& state) {
  const std::vector<uint8_t> frame = BytesOf(Golden<M>::kBytes);
  for (auto _ : state) {
    Result<M> message = Decode<M>(frame);
    benchmark::DoNotOptimize(message);
  }
}

// What a server does with each request: the type is looked up, the message decoded in place.
template <Request M>
void BM_Visit(benchmark::State& state) {
  const std::vector<uint8_t> frame = BytesOf(Golden<M>::kBytes);
  for (auto _ : state) {
    benchmark::DoNotOptimize(VisitRequest(frame, [](const auto& message) {
      benchmark::DoNotOptimize(&message);
      return int{message.kType};
    }));
  }
}

}  // namespace
}  // namespace virtfs::p9

int main(int argc, char** argv) {
  using namespace virtfs::p9;  // NOLINT(google-build-using-namespace)
#ifndef __clang_analyzer__     // It takes what RegisterBenchmark keeps for leaked.
  ForEachMessage(Messages(), []<Message M>() {
    const std::string name(MessageName<M>());
    benchmark::RegisterBenchmark(("Codec/Encode/" + name).c_str(), BM_Encode<M>);
    benchmark::RegisterBenchmark(("Codec/Decode/" + name).c_str(), BM_Decode<M>);
    if constexpr (Request<M>) benchmark::RegisterBenchmark(("Codec/Visit/" + name).c_str(), BM_Visit<M>);
  });
#endif
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
