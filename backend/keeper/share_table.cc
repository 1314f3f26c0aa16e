#include "backend/keeper/share_table.h"

namespace virtfs::backend {
namespace {

using xenstore::State;

bool Always(const View&) { return true; }
bool Vanished(const View& v) { return !v.present; }
bool TimeIsUp(const View& v) { return v.time_is_up; }
bool CloseAsked(const View& v) { return v.close_asked; }
bool AskedToClose(const View& v) { return !v.online || v.close_asked || v.hand_over; }
bool SessionGiven(const View& v) { return v.session_given; }
bool ServerConnected(const View& v) { return v.server == Server::kConnected; }
bool ServerEnded(const View& v) { return v.server == Server::kEnded; }
bool NoServer(const View& v) { return v.server == Server::kNone || v.server == Server::kEnded; }

bool FrontendReady(const View& v) { return v.frontend == State::kInitialised || v.frontend == State::kConnected; }
// It closes, has closed, or has started anew without closing.
bool FrontendLeft(const View& v) {
  return v.frontend == State::kClosing || v.frontend == State::kClosed || v.frontend == State::kInitialising ||
         v.frontend == State::kUnknown;
}
bool MayReturn(const View& v) {
  return v.online && !v.hand_over && v.may_return &&
         (v.frontend == State::kClosed || v.frontend == State::kInitialising || v.frontend == State::kUnknown);
}
// The frontend went before its server was ready, or the toolstack wants the share gone.
bool NoLongerWanted(const View& v) { return AskedToClose(v) || FrontendLeft(v); }

// Within a phase the first row counts: what ends a share stands before what goes on with it.
constexpr Row kTable[] = {
    // in               sees             does                  next               if that fails
    {Phase::kPreparing, Vanished, Action::kNothing, Phase::kGone, Phase::kGone},
    {Phase::kPreparing, AskedToClose, Action::kNothing, Phase::kClosed, Phase::kClosed},
    {Phase::kPreparing, Always, Action::kPrepare, Phase::kWaiting, Phase::kClosed},

    {Phase::kWaiting, Vanished, Action::kNothing, Phase::kGone, Phase::kGone},
    {Phase::kWaiting, AskedToClose, Action::kKeepSession, Phase::kClosed, Phase::kClosed},
    // Published anew, under the id of that session. The frontend looks at it only when it is connected.
    {Phase::kWaiting, SessionGiven, Action::kPrepare, Phase::kWaiting, Phase::kClosed},
    {Phase::kWaiting, FrontendReady, Action::kStartServer, Phase::kConnecting, Phase::kClosed},

    {Phase::kConnecting, Vanished, Action::kStopServer, Phase::kLeaving, Phase::kLeaving},
    {Phase::kConnecting, ServerEnded, Action::kReport, Phase::kClosed, Phase::kClosed},
    {Phase::kConnecting, NoLongerWanted, Action::kStopServer, Phase::kReleasing, Phase::kReleasing},
    {Phase::kConnecting, ServerConnected, Action::kNothing, Phase::kServing, Phase::kServing},
    {Phase::kConnecting, TimeIsUp, Action::kKillServer, Phase::kReleasing, Phase::kReleasing},

    {Phase::kServing, Vanished, Action::kStopServer, Phase::kLeaving, Phase::kLeaving},
    {Phase::kServing, ServerEnded, Action::kReport, Phase::kFailing, Phase::kFailing},
    {Phase::kServing, FrontendLeft, Action::kStopServer, Phase::kReleasing, Phase::kReleasing},
    {Phase::kServing, AskedToClose, Action::kNothing, Phase::kClosing, Phase::kClosing},

    {Phase::kClosing, Vanished, Action::kStopServer, Phase::kLeaving, Phase::kLeaving},
    {Phase::kClosing, ServerEnded, Action::kReport, Phase::kClosed, Phase::kClosed},
    {Phase::kClosing, FrontendLeft, Action::kStopServer, Phase::kReleasing, Phase::kReleasing},
    {Phase::kClosing, TimeIsUp, Action::kStopServer, Phase::kReleasing, Phase::kReleasing},

    {Phase::kReleasing, NoServer, Action::kKeepSession, Phase::kClosed, Phase::kClosed},
    {Phase::kReleasing, Vanished, Action::kNothing, Phase::kLeaving, Phase::kLeaving},
    {Phase::kReleasing, TimeIsUp, Action::kKillServer, Phase::kReleasing, Phase::kReleasing},

    {Phase::kFailing, Vanished, Action::kNothing, Phase::kGone, Phase::kGone},
    {Phase::kFailing, Always, Action::kNothing, Phase::kClosed, Phase::kClosed},

    {Phase::kClosed, Vanished, Action::kNothing, Phase::kGone, Phase::kGone},
    // Whoever writes Closing waits for Closed, even if it was Closed all along.
    {Phase::kClosed, CloseAsked, Action::kNothing, Phase::kClosed, Phase::kClosed},
    {Phase::kClosed, MayReturn, Action::kPrepare, Phase::kWaiting, Phase::kClosed},

    {Phase::kLeaving, NoServer, Action::kNothing, Phase::kGone, Phase::kGone},
    {Phase::kLeaving, TimeIsUp, Action::kKillServer, Phase::kLeaving, Phase::kLeaving},
};

}  // namespace

const char* NameOf(Phase phase) {
  constexpr const char* kNames[] = {"Preparing", "Waiting", "Connecting", "Serving", "Closing",
                                    "Releasing", "Failing", "Closed",     "Leaving", "Gone"};
  return kNames[static_cast<uint8_t>(phase)];
}

State StateOf(Phase phase) {
  switch (phase) {
    case Phase::kWaiting:
      return State::kInitWait;
    case Phase::kServing:
      return State::kConnected;
    case Phase::kClosing:
    case Phase::kFailing:
      return State::kClosing;
    case Phase::kClosed:
      return State::kClosed;
    case Phase::kPreparing:
    case Phase::kConnecting:
    case Phase::kReleasing:
    case Phase::kLeaving:
    case Phase::kGone:
      return State::kUnknown;
  }
  return State::kUnknown;
}

std::span<const Row> ShareTable() { return kTable; }

const Row* Decide(Phase phase, const View& view) {
  for (const Row& row : kTable) {
    if (row.in == phase && row.sees(view)) return &row;
  }
  return nullptr;
}

}  // namespace virtfs::backend
