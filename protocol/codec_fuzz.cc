// Any bytes as a frame, and as the payload of an Rreaddir.
//
// What decodes must encode to the very bytes it came from (the codec knows one form of each message, but for Tfsync
// without datasync), and what is printed must be short and printable.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "protocol/codec.h"
#include "protocol/print.h"

namespace virtfs::p9 {
namespace {

// Stops the fuzzer, whatever the build: assert is nothing where NDEBUG is set.
void Check(bool holds) {
  if (!holds) std::abort();
}

template <Message M>
void CheckRoundTrip(std::span<const uint8_t> frame, const Header& header, const M& message) {
  std::vector<uint8_t> encoded(EncodedSize(message));
  Check(Encode(header.tag, message, encoded) == encoded.size());
  Check(HeadSize(M::kType, header.size) == std::min<size_t>(encoded.size(), header.size));
  Check(encoded.size() >= kMinHeadSize<M> && encoded.size() <= kMaxHeadSize<M>);
  const Result<M> again = Decode<M>(encoded);
  Check(again.ok() && *again == message);
  if (std::is_same_v<M, Tfsync> && frame.size() < encoded.size()) return;
  Check(std::ranges::equal(encoded, frame.first(encoded.size())));
  Check(PayloadMessage<M> || encoded.size() == frame.size());
}

void FuzzFrame(std::span<const uint8_t> frame) {
  const std::string line = PrintFrame(frame);
  Check(line.size() <= kMaxPrinted && std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));

  const Result<Header> header = ParseHeader(frame);
  const Result<void> visited =
      VisitMessage(frame, [&](const auto& message) { CheckRoundTrip(frame, *header, message); });
  const Result<void> request = VisitRequest(frame, [](const auto&) {});
  Check(visited.ok() || !request.ok());
}

void FuzzDirEntries(std::span<const uint8_t> data) {
  DirEntry entry;
  for (std::span<const uint8_t> rest = data; DecodeDirEntry(rest, entry); data = rest) {
    std::vector<uint8_t> encoded(EncodedSize(entry));
    Check(EncodeDirEntry(entry, encoded) == encoded.size() && encoded.size() == data.size() - rest.size());
    Check(std::ranges::equal(encoded, data.first(encoded.size())));
  }
}

}  // namespace
}  // namespace virtfs::p9

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  virtfs::p9::FuzzFrame({data, size});
  virtfs::p9::FuzzDirEntries({data, size});
  return 0;
}
