// The life of one share as a table: what the backend does in each phase when it sees something.
//
// This is docs/virtfs.md section 12.3, with the phases that lie between xenbus states (a server that starts or is
// draining) made visible. It is pure: no system calls, no xenstore, no clock; Share does what it says.
//
//       Preparing --> Waiting --> Connecting --> Serving --> Closing --> Releasing --> Closed --> Waiting ...
//                                     |             |                                    ^
//                                     +-- a fault --+----------> Failing ----------------+
#pragma once

#include <cstdint>
#include <span>

#include "xenstore/paths.h"

namespace virtfs::backend {

enum class Phase : uint8_t {
  kPreparing,   // the export is not open yet
  kWaiting,     // for the frontend
  kConnecting,  // a server has been started and has not said Connected
  kServing,
  kClosing,    // the frontend was asked to close; the server still serves
  kReleasing,  // the server was told to stop
  kFailing,    // the server is gone or never came: the frontend is shown Closing
  kClosed,
  kLeaving,  // the share's directory is gone or the guest is: the server was told to stop; nothing is written any more
  kGone,     // nothing is left of it
};

const char* NameOf(Phase phase);

// The xenbus state that the frontend is shown in a phase. kUnknown: whatever it was shown before.
xenstore::State StateOf(Phase phase);

enum class Server : uint8_t {
  kNone,       // none was started, or it has been reaped
  kStarting,   // has not said Connected
  kConnected,  // serves
  kEnded,      // has exited by itself or lost its link, and is reaped
};

// All that a decision may depend on.
struct View {
  bool present = true;         // the share's directory exists and its guest lives
  bool online = true;          // and nobody has told the keeper to end
  bool close_asked = false;    // the toolstack has written Closing into our state
  bool hand_over = false;      // it wants the share closed for now, and its session
  bool session_given = false;  // it has given us a session to go on with, which we have not taken yet
  xenstore::State frontend = xenstore::State::kUnknown;
  Server server = Server::kNone;
  bool time_is_up = false;  // the phase has lasted as long as it may
  bool may_return = true;   // Closed long enough to try again
};

enum class Action : uint8_t {
  kNothing,
  kPrepare,      // open the export, write our nodes
  kStartServer,  // read the frontend's nodes, start a server
  kStopServer,   // tell it to drain and end, and to hand over its session if that is wanted
  kKillServer,   // it did not
  kReport,       // the server's last words, for the operator
  kKeepSession,  // bring what was handed over, or waited for a server, to where the toolstack wants it
};

struct Row {
  Phase in;
  bool (*sees)(const View&);
  Action does;
  Phase next;
  Phase otherwise;  // where to if the action fails
};

std::span<const Row> ShareTable();

// The first row that applies; null if nothing is to be done now.
const Row* Decide(Phase phase, const View& view);

}  // namespace virtfs::backend
