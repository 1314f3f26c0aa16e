// QemuClient: a 9P client of the 9p server inside QEMU, on a directory of this machine. For tests that compare it with
// ours.
//
// QEMU runs as a device alone (its processor is stopped: no guest, no KVM, no firmware): this process does what a
// guest's driver would do to a legacy virtio-9p-pci device, registers by qtest commands on QEMU's standard input, the
// virtqueue and the messages in memory that both map. One request at a time.
//
// Errors: Start gives a sentence; a QEMU that stops working later aborts the test.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/session/test_call.h"
#include "protocol/codec.h"

namespace virtfs {

class QemuClient {
 public:
  QemuClient() = default;
  QemuClient(const QemuClient&) = delete;
  QemuClient& operator=(const QemuClient&) = delete;
  ~QemuClient();

  // Serves `directory`. `fsdev`: further options of QEMU's -fsdev local, "security_model=...". The program is Debian's
  // 7.2, unpacked by tools/fetch_debs.sh.
  absl::Status Start(const std::string& directory, const std::string& fsdev);

  // Strings of the reply live until the next request.
  template <p9::Request T>
  Result<typename T::Reply> operator()(const T& request, std::string_view data = {}) {
    const p9::Tag tag = std::is_same_v<T, p9::Tversion> ? p9::kNoTag : p9::Tag{1};
    std::vector<uint8_t> frame = TestCall::FrameOf(tag, request);
    frame.insert(frame.end(), data.begin(), data.end());
    Exchange(frame);
    return p9::DecodeReply<T>(reply_);
  }

  // The payload of the last Rread or Rreaddir.
  std::span<const uint8_t> payload() const { return std::span(reply_).subspan(p9::kMinHeadSize<p9::Rread>); }

 private:
  struct Ring;

  void Exchange(const std::vector<uint8_t>& frame);
  // A qtest command; its answer without "OK".
  std::string Command(const std::string& text);
  uint32_t In(const char* width, uint32_t port);
  void Out(const char* width, uint32_t port, uint32_t value);
  uint32_t ReadConfig(uint32_t offset);
  void WriteConfig(uint32_t offset, uint32_t value);
  absl::Status SetUpDevice();

  pid_t pid_ = -1;
  UniqueFd to_;
  UniqueFd from_;
  std::string received_;
  uint8_t* memory_ = nullptr;
  uint16_t used_ = 0;
  std::vector<uint8_t> reply_;
};

}  // namespace virtfs
