// Session: one 9P2000.L conversation: msize, fids, tags, and every operation, on one exported tree.
//
// A transport gives it Calls and pushes the replies:
//
//     switch (session.Serve(call)) {
//       case kAnswered: push(call); for (Call* next : session.Finish(call)) -> Serve(*next) the same way
//       case kBlocked:  keep the call and Serve it again later (after a few ms, and after any Tflush)
//       case kWaiting:  the session holds the call; some Finish will return it
//     }
//
// Finish is called when the reply is visible to the client, so that whatever waited for it (a Tflush of it, a Tversion)
// is answered after it.
//
// Threads: every method may be called from any thread at any time; each operation's own guarantee stands beside it.
// Trust: Call::frame is the guest's bytes.
#pragma once
// (contract; the room's owner completes it)
