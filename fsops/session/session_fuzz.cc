// Sequences of requests, of all types, under all security models, two in flight, on a private directory.
//
// Input: one byte for the model and the options, one for the limits; then steps. A step is a control byte and what it
// wants: a request (type byte, then about a byte per field: session_fuzz_input.h), an act of another process of the
// host, or a hand-over of the session to a successor.
//
// Properties: every call is answered exactly once, by its own reply type or an Rlerror with an errno, within its
// capacity and msize; nothing beside the export is read or changed; after a Tversion no Inode, descriptor, handle or
// lock is left but the root's; what a session exports another can import, and what is made of that by changing bytes
// does no harm; no sanitizer complains.

#include <dirent.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fsops/host/credentials.h"
#include "fsops/host/export.h"
#include "fsops/host/local_handle_broker.h"
#include "fsops/session/session.h"
#include "fsops/session/session_fuzz_input.h"
#include "fsops/session/session_fuzz_tree.h"
#include "fsops/session/test_call.h"

namespace virtfs {
namespace {

constexpr int kMaxSteps = 200;
constexpr uint32_t kCapacity = 8192;

// How many descriptors this process has.
size_t Descriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  size_t count = 0;
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

class Run {
 public:
  Run(const FuzzTree& tree, FuzzInput& input) : files_(tree), input_(input), requests_(input) {
    const uint8_t mode = input.Byte();
    const uint8_t limits = input.Byte();
    static constexpr std::array kModels = {host::SecurityModel::kPassthrough, host::SecurityModel::kMappedXattr,
                                           host::SecurityModel::kMappedFile, host::SecurityModel::kNone};
    host::ExportOptions options;
    options.model = kModels[mode & 3];
    options.readonly = (mode & 0x1c) == 0x1c;
    options.max_descriptors = (mode & 0x20) != 0 ? 3 : 64;
    options.umask = (mode & 0x40) != 0 ? 022 : 0;
    // Bounds what a run can write, too.
    options.max_files = (limits & 1) != 0 ? 8 : 200;
    options.max_space = (limits & 2) != 0 ? 16 << 10 : 1 << 20;
    session_options_.max_fids = (limits & 4) != 0 ? 4 : 100;
    session_options_.max_open_files = (limits & 8) != 0 ? 2 : 100;
    session_options_.max_xattr_bytes = (limits & 0x10) != 0 ? 200 : 1 << 20;
    session_options_.max_locks = (limits & 0x20) != 0 ? 3 : 100;
    session_options_.devices =
        (limits & 0x40) != 0 ? SessionOptions::Devices::kForbid : SessionOptions::Devices::kRemap;

    broker_ = std::make_unique<host::LocalHandleBroker>(tree.Root().get());
    Result<std::unique_ptr<host::Export>> made = host::Export::Make(
        tree.Root(), UniqueFd(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)), *broker_, options);
    Require(made.ok(), "the directory can be exported");
    tree_ = *std::move(made);
    session_ = std::make_unique<Session>(*tree_, session_options_);
    Start();
  }

  void Steps() {
    for (int step = 0; step < kMaxSteps && !input_.empty(); ++step) {
      const uint8_t control = input_.Byte();
      switch (control >> 4) {
        case 15:
          files_.HostActs(input_);
          break;
        case 14:
          Drain();
          if ((control & 8) != 0) {
            ImportChanged();
          } else {
            HandOver();
          }
          break;
        default:
          Request(control);
          break;
      }
    }
    Drain();
  }

  // Nothing of it must be left.
  void End() {
    Start();
    Require(tree_->inodes() == 1 && tree_->held_descriptors() == 1, "a version leaves only the root");
    session_.reset();
    tree_.reset();
    Require(broker_->kept() == 0, "no handle is left");
  }

 private:
  // A version, and a fid for the root.
  void Start() {
    Send(p9::kNoTag, p9::Tversion{.msize = 32768, .version = p9::kVersion});
    Send(1, p9::Tattach{.fid = 0, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = 0});
    msize_ = 32768;
  }
  template <p9::Request T>
  void Send(p9::Tag tag, const T& request) {
    pending_.push_back(std::make_unique<TestCall>(tag, request, "", kCapacity));
    session_->Arrive(pending_.back()->call());
    Drain();
  }

  void Request(uint8_t control) {
    const uint8_t type =
        (control & 8) != 0 && input_.Byte() == 0 ? FuzzRequests::kRaw : input_.Byte() % FuzzRequests::kRaw;
    const uint32_t capacity = (control & 7) == 7 ? 11 + input_.Byte() : kCapacity;
    // One of two that may be in flight; a tag may be used twice.
    const auto tag = static_cast<p9::Tag>((control >> 4) % 4);
    pending_.push_back(requests_.Make(tag, type, capacity));
    session_->Arrive(pending_.back()->call());
    if (pending_.size() < 2 && (control & 1) != 0) return;
    if ((control & 2) != 0) std::ranges::reverse(pending_);
    Drain();
  }

  // Serves what is pending until all is answered.
  void Drain() {
    std::vector<TestCall*> ready;
    for (const auto& call : pending_) ready.push_back(call.get());
    size_t left = pending_.size();
    while (!ready.empty()) {
      TestCall* call = ready.front();
      ready.erase(ready.begin());
      const Outcome outcome = session_->Serve(call->call());
      // There are no leases.
      Require(outcome != Outcome::kBlocked, "nothing blocks");
      if (outcome == Outcome::kWaiting) continue;
      Check(*call);
      --left;
      for (Call* next : session_->Finish(call->call())) {
        for (const auto& one : pending_) {
          if (&one->call() == next) ready.push_back(one.get());
        }
      }
    }
    Require(left == 0, "every call is answered");
    pending_.clear();
  }

  void Check(TestCall& call) {
    const Call& served = call.call();
    Require(served.head_size <= served.scratch.size(), "the head fits into its memory");
    Require(size_t{served.head_size} + served.payload_size <= served.capacity, "the reply fits into its room");
    const std::vector<uint8_t> reply = call.Reply();
    const Result<p9::Header> header = p9::ParseHeader(reply);
    Require(header.ok() && header->size == reply.size() && header->tag == call.tag(), "the reply has a header");
    const uint8_t request = served.frame[4];
    Require(header->type == p9::Rlerror::kType || header->type == request + 1, "the reply is of the request's type");
    if (header->type == p9::Rversion::kType) {
      msize_ = p9::DecodeReply<p9::Tversion>(reply)->msize;
    } else {
      Require(reply.size() <= std::max<uint32_t>(msize_, 11), "the reply is within msize");
    }
    const Result<bool> sound = p9::VisitMessage(reply, [](const auto& message) {
      if constexpr (requires { message.ecode; }) return message.ecode >= 1 && message.ecode <= 4095;
      return true;
    });
    Require(sound.ok() && *sound, "the reply is well-formed, an errno is one");
    const std::string_view text(reinterpret_cast<const char*>(reply.data()), reply.size());
    Require(text.find(FuzzTree::kSecret) == text.npos, "nothing outside was read");
    if (header->type == p9::Rread::kType) CheckRead(served, reply);
  }

  static void CheckRead(const Call& call, const std::vector<uint8_t>& reply) {
    const Result<p9::Tread> request = p9::Decode<p9::Tread>(call.frame);
    const Result<p9::Rread> read = p9::DecodeReply<p9::Tread>(reply);
    Require(request.ok() && read.ok() && read->count <= request->count, "no more is read than was asked for");
  }

  void HandOver() {
    const Result<SessionImage> image = session_->Export();
    Require(image.ok(), "a session that is idle can be exported");
    auto next = std::make_unique<Session>(*tree_, session_options_);
    Require(next->Import(*image).ok(), "what was exported can be imported");
    session_ = std::move(next);
  }

  // An image can be a taken-over server's: up to four bytes of it are others. What becomes of it goes at once.
  void ImportChanged() {
    Result<SessionImage> image = session_->Export();
    Require(image.ok(), "a session that is idle can be exported");
    image->lock_files.clear();
    for (int i = 0; i < 4; ++i) {
      const size_t at = (size_t{input_.Byte()} << 8 | input_.Byte()) % image->bytes.size();
      image->bytes[at] ^= input_.Byte();
    }
    Session next(*tree_, session_options_);
    static_cast<void>(next.Import(*image));
    for (const host::HandleToken token : image->tokens) broker_->Drop(token);
  }

  const FuzzTree& files_;
  FuzzInput& input_;
  FuzzRequests requests_;
  SessionOptions session_options_;
  std::unique_ptr<host::LocalHandleBroker> broker_;
  std::unique_ptr<host::Export> tree_;
  std::unique_ptr<Session> session_;
  std::vector<std::unique_ptr<TestCall>> pending_;  // Arrived and not served.
  uint32_t msize_ = 0;
};

}  // namespace
}  // namespace virtfs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace virtfs;
  static const FuzzTree tree;
  // An Export takes the working directory, and whoever called still needs it.
  static const UniqueFd directory(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  // The thread still has the owner of what it made last.
  Require(host::AssumeOwner({0, 0}).ok(), "this runs as root");
  tree.Fill();
  const size_t before = Descriptors();
  {
    FuzzInput input({data, size});
    Run run(tree, input);
    run.Steps();
    run.End();
  }
  Require(fchdir(directory.get()) == 0, "the working directory is still there");
  Require(Descriptors() == before, "no descriptor is left");
  tree.CheckOutside();
  tree.Empty();
  return 0;
}
