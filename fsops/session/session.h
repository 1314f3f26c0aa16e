// Session: one 9P2000.L conversation: msize, fids, tags, and every operation, on one exported tree.
//
// A transport gives it Calls and pushes the replies:
//
//     switch (session.Serve(call)) {
//       case kAnswered: push(call); for (Call* next : session.Finish(call)) -> Serve(*next) the same way
//       case kBlocked:  keep the call and Serve it again later (after a few ms, and after any Tflush or Tversion)
//       case kWaiting:  the session holds the call; some Finish will return it
//     }
//
// Before its first Serve each call is made known with Arrive, in the order in which the calls came: with several
// threads a Tflush may otherwise be served before the call that it names has been heard of, and that call's reply would
// follow the Rflush.
//
// Finish is called when the reply is visible to the client, so that whatever waited for it (a Tflush of it, a Tversion)
// is answered after it.
//
// No call ever waits inside Serve for another call, for a lease, or for anything but the file system's own work.
//
// Errors: a client's mistakes and the host's refusals are Rlerror replies; Serve itself cannot fail. Malformed 9P:
// EINVAL. Unknown type: EOPNOTSUPP. No room for the reply (msize or capacity): EMSGSIZE, and nothing was done.
// Anything before a Tversion that was agreed on: EINVAL.
// Threads: every method may be called from any thread at any time, unless it says otherwise; each operation's own
// guarantee stands beside it (operations.h).
// Trust: Call::frame is the guest's bytes, in private memory.
// Source: docs/virtfs.md; diod's protocol.md and Linux's net/9p/9p.h for the messages.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/handle_broker.h"
#include "fsops/session/call.h"
#include "fsops/session/options.h"

namespace virtfs {

namespace host {
class Export;
}

enum class Outcome { kAnswered, kBlocked, kWaiting };

// A session as a value, for another Session to go on with: fids, their identities and open flags, attributes half read
// or written, locks, msize.
//
// The bytes are versioned and checked on Import; they name files by number.
struct SessionImage {
  std::vector<uint8_t> bytes;
  // Of file 1, 2 ...: of the Export's handle broker; for an Export over another one, that one's, of the same files, and
  // for a file that it does not have any token that it does not know. They belong to the image: whoever has it either
  // imports it (once) or drops them.
  std::vector<host::HandleToken> tokens;
  // One for each file of which bytes are locked, in the order of `bytes`: while it is open the locks are in force, so
  // nobody can take them between two sessions. Descriptors cannot go everywhere (to another host, into a file): where
  // none are given, Import locks anew.
  std::vector<std::shared_ptr<const UniqueFd>> lock_files;
};

class Session {
 public:
  // `tree` must outlive the Session.
  Session(host::Export& tree, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // A new Call, which will be Served: from now on a Tflush that arrives later finds its tag, a Tversion that arrives
  // later waits for it. The header of `frame` must be there, the rest may follow before Serve. Never waits. Serve does
  // it itself for a Call that has not arrived. A Call that arrived and will not be Served after all: Finish.
  void Arrive(Call& call);

  // Serves `call` or says why not yet (see above). A new Call, one that was kBlocked, or one that Finish returned.
  Outcome Serve(Call& call);

  // Answers `call` with `error` instead of serving it: kAnswered.
  Outcome Refuse(Call& call, Errno error);

  // Whether Serve of `call`, which has arrived or is kBlocked, would do nothing but answer it EINTR, since a Tflush or
  // a Tversion waits for it.
  bool Cancelled(const Call& call);

  // The reply to `call` can be seen by the client. Returns the calls that waited for that, which are to be Served now.
  [[nodiscard]] std::vector<Call*> Finish(Call& call);

  // Calls that are not answered yet never will be: their transport has gone, and they perhaps with it. While no other
  // method runs.
  void GiveUp();

  // The session's state. Only while no call is in flight (EBUSY). This session must live until the image has been
  // imported: files that are open but have no name any more exist only as long as someone holds them.
  // EOPNOTSUPP: a file system of the export has no handles.
  Result<SessionImage> Export();

  // Takes over what `image` says. Only on a Session that has served nothing yet (EBUSY). EINVAL: not an image, or one
  // of another version; nothing was taken over. A fid whose file cannot be had again answers ESTALE from then on, and
  // so does one that had locked what someone else has locked meanwhile (if there were no lock_files), lest its user
  // goes on as if he still had the lock.
  Result<void> Import(const SessionImage& image);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace virtfs
