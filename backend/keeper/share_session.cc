// A Share's session between two servers: handed over by one, kept in a file or here, given to the next.

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/keeper/log.h"
#include "backend/keeper/share.h"
#include "backend/link/channel.h"
#include "backend/link/session_memory.h"

namespace virtfs::backend {

// What the toolstack wants of the session now; into `view`.
void Share::LookForSession(View& view) {
  if (type_ != xenstore::DeviceType::kVirtfs) return;
  const auto path_in = [this](const char* node) {
    const Result<std::string> path = store_.Read(absl::StrCat(paths_.private_dir, "/", node));
    return path.ok() ? *path : std::string();
  };
  hand_over_ = view.present ? path_in(xenstore::kHandOverNode) : "";
  given_ = view.present ? path_in(xenstore::kSessionNode) : "";
  // Also if it is withdrawn while the guest closes: then the session goes on as soon as the guest comes back.
  keeps_session_ = view.present && (keeps_session_ || !hand_over_.empty());
  view.hand_over = !hand_over_.empty();
  view.session_given = !given_.empty() && !kept_;
}

void Share::StopServer() {
  if (!running_) return;
  if (keeps_session_) {
    Result<UniqueFd> memory = link::MakeSessionMemory();
    if (memory.ok() && link::Send(running_->process.link(), link::HandOver{}, memory->get(), link::Wait::kNo).ok()) {
      session_memory_ = *std::move(memory);
      handed_over_ = absl::AbortedError("the server ended without handing its session over");
      return;
    }
  }
  // One that cannot be told is broken, and is killed when its time is up.
  (void)link::Send(running_->process.link(), link::Stop{}, -1, link::Wait::kNo);
}

// While its broker still knows what the tokens are.
Result<void> Share::HearSession(const link::HandedOver& answer) {
  if (!session_memory_.ok()) return Errno(EPROTO);
  const UniqueFd memory = std::move(session_memory_);
  if (answer.error != 0) {
    handed_over_ =
        absl::UnavailableError(absl::StrCat("the server cannot hand its session over: ", strerror(answer.error)));
    return {};
  }
  if (answer.tokens > HandlesFor(options_.server)) return Errno(EPROTO);
  Result<link::SessionBytes> bytes = link::ReadSession(memory.get(), answer.tokens, answer.image);
  if (!bytes.ok()) return bytes.error();
  const Result<std::string> place = PlaceOf(export_.root.get());
  if (!place.ok()) {
    handed_over_ =
        absl::UnavailableError(absl::StrCat("path=", options_.path, " has no handle: ", place.error().message()));
    return {};
  }
  KeptSession session = {.id = session_id_, .place = *place, .files = {}, .image = std::move(bytes->image)};
  session.files.reserve(bytes->tokens.size());
  for (const host::HandleToken token : bytes->tokens) session.files.push_back(running_->broker.Show(token));
  handed_over_ = std::move(session);
  return {};
}

absl::Status Share::KeepSession() {
  if (std::optional<absl::StatusOr<KeptSession>> session = std::exchange(handed_over_, std::nullopt)) {
    if (!session->ok()) return session->status();
    kept_ = **std::move(session);
  }
  if (!kept_ || hand_over_.empty()) return absl::OkStatus();
  if (absl::Status written = WriteSessionFile(hand_over_, *kept_); !written.ok()) return written;
  Log(LogLevel::kInfo, name_, absl::StrCat("its session is kept in ", hand_over_));
  kept_.reset();
  return absl::OkStatus();
}

// Once the export is open. A session that cannot go on is no reason not to serve.
void Share::TakeSession() {
  keeps_session_ = false;
  if (given_.empty() || kept_) return;
  absl::StatusOr<KeptSession> session = ReadSessionFile(given_);
  const Result<std::string> place = PlaceOf(export_.root.get());
  if (session.ok() && (!place.ok() || *place != session->place)) {
    session = absl::FailedPreconditionError(
        absl::StrCat("path=", options_.path, " is not the directory that the session in ", given_, " is of"));
  }
  if (session.ok()) {
    kept_ = *std::move(session);
    return;
  }
  PublishError(std::string(session.status().message()));
  ForgetGiven();
}

void Share::ForgetGiven() {
  given_.clear();
  (void)IfPresent([&] { return store_.Remove(absl::StrCat(paths_.private_dir, "/", xenstore::kSessionNode)); });
}

Result<void> Share::Resume(Running& server) {
  if (!kept_) return {};
  std::vector<host::HandleToken> tokens;
  tokens.reserve(kept_->files.size());
  for (const host::FileHandle& file : kept_->files) {
    const Result<host::HandleToken> token = server.broker.Adopt(file);
    if (!token.ok() && token.error() != Errno(ESTALE)) return token.error();
    // The broker knows no token 0: the file is gone.
    tokens.push_back(token.ok() ? *token : host::HandleToken{0});
  }
  const Result<UniqueFd> memory = link::MakeSessionMemory();
  if (!memory.ok()) return memory.error();
  if (Result<void> written = link::WriteSession(memory->get(), tokens, kept_->image); !written.ok()) return written;
  const link::Resume resume = {.tokens = tokens.size(), .image = kept_->image.size()};
  if (Result<void> sent = link::Send(server.process.link(), resume, memory->get(), link::Wait::kNo); !sent.ok()) {
    return sent;
  }
  Log(LogLevel::kInfo, name_, "its session goes on");
  // Once: after this it changes.
  kept_.reset();
  ForgetGiven();
  return {};
}

}  // namespace virtfs::backend
