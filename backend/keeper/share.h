// Share: one device of the guest, from the moment its directory appears in xenstore until nothing is left of it.
//
// It carries out what share_table.h decides: opens the export, writes and reads the nodes, starts its server, answers
// the server's calls to the handle broker, ends it.
//
// Errors: none to the outside. What an operator must know is logged and stands in the node `error` of the share's
// private directory until the share can be served again.
// Threads: one at a time.
// Trust: the backend and private directories are the toolstack's; the frontend directory and the server are hostile.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "backend/counters/counters_memory.h"
#include "backend/keeper/export_mount.h"
#include "backend/keeper/kept_session.h"
#include "backend/keeper/nodes.h"
#include "backend/keeper/pace.h"
#include "backend/keeper/report.h"
#include "backend/keeper/server_process.h"
#include "backend/keeper/share_table.h"
#include "backend/link/broker_service.h"
#include "fsops/host/local_handle_broker.h"
#include "fsops/host/local_user_database.h"
#include "xenstore/paths.h"
#include "xenstore/store.h"

namespace virtfs::backend {

class Share {
 public:
  using Time = Pace::Time;

  // What holds for all shares of the guest.
  struct Circumstances {
    bool guest_gone = false;
    bool stopping = false;  // the keeper is to end
  };

  // The share's backend directory must have its `frontend` and `state`.
  Share(xenstore::Store& store, uint32_t backend, uint32_t guest, xenstore::DeviceType type, uint32_t devid, Time now);

  // Looks at everything and does whatever is to be done now.
  void Step(Time now, const Circumstances& circumstances);

  // Serves what has come over the server's link and notes the server's end. Whether a Step is due now.
  bool Listen(Time now);
  // Descriptors that make it worth while to Listen when they become readable.
  std::vector<int> WakeFds() const;
  // When a Step is due though nothing happens.
  std::optional<Time> WakeTime() const;

  // How it is now. Reads its tag from xenstore.
  ShareReport Report();

  Phase phase() const { return phase_; }
  const xenstore::SharePaths& paths() const { return paths_; }
  // The toolstack detaches both ends at once, so that only a guest's end takes the frontend's nodes and leaves ours.
  bool frontend_lost() const { return frontend_lost_; }

 private:
  // A server and what the keeper has for it. Gone as a whole when the server is reaped.
  struct Running {
    Running(ServerProcess started, const ExportMount& mount, const options::ServerOptions& options);

    ServerProcess process;
    host::LocalHandleBroker broker;
    host::LocalUserDatabase users;
    link::BrokerService service;
    std::optional<Time> kill_time;  // set when its link is closed or broken; max() once killed
  };

  View Look(Time now, const Circumstances& circumstances);
  // What the directory's state node says: kUnknown if there is none, `otherwise` if it is no state.
  xenstore::State ReadState(const std::string& directory, xenstore::State otherwise);
  Result<void> Hear(link::Packet packet);
  void Reap();

  // Tokens that a server may have.
  static size_t HandlesFor(const options::ServerOptions& options);

  // An error is a sentence for the operator.
  absl::Status Do(Action action);
  absl::Status Prepare();
  // Which directory `path` was when it was opened first; nothing if it was not.
  std::optional<ExportIdentity> KnownExport(const std::string& path);
  void RememberExport(const std::string& path, const ExportIdentity& identity);
  absl::Status StartServer();
  void StopServer();
  void Enter(Phase next, Time now);

  // share_session.cc
  void LookForSession(View& view);
  Result<void> HearSession(const link::HandedOver& answer);
  absl::Status KeepSession();
  void TakeSession();
  void ForgetGiven();
  Result<void> Resume(Running& server);

  bool HasBackendNodes();
  // It is there, and no other in its place.
  bool IsPresent();
  // Runs `write` as one transaction if the share is still there, else ENOENT: written into directories that the
  // toolstack has removed, a node would make them again.
  Result<void> IfPresent(absl::FunctionRef<Result<void>()> write);
  // Writes `nodes` and then `state` into the backend directory.
  using Nodes = std::vector<std::pair<std::string, std::string>>;
  void Publish(xenstore::State state, const Nodes& nodes = {});
  // What a frontend must know before it begins.
  Nodes Offer();
  // Sets or, if it is empty, removes the node `error`.
  void PublishError(const std::string& sentence);

  xenstore::Store& store_;
  const uint32_t guest_, devid_;
  const xenstore::DeviceType type_;
  const xenstore::SharePaths paths_;
  const std::string name_;  // "domain 3 share 0", "domain 3 9pfs share 0"

  Phase phase_ = Phase::kPreparing;
  std::optional<Time> deadline_;                          // of the phase
  xenstore::State shown_;                                 // what our `state` says, as far as we know
  xenstore::State frontend_ = xenstore::State::kUnknown;  // what the frontend's said last
  bool frontend_seen_;                                    // its nodes have been there
  bool frontend_lost_ = false;                            // and are no more
  options::ShareOptions options_;
  ExportMount export_;
  Server server_ = Server::kNone;
  std::unique_ptr<Running> running_;  // while server_ is kStarting or kConnected
  std::string last_words_;            // why the last server ended
  CountersView counters_;             // of the server, or of the last one
  std::string session_id_;            // offered last; empty: 9pfs
  std::optional<int64_t> connected_since_;

  std::string hand_over_;                                   // the file that the toolstack wants the session in
  bool keeps_session_ = false;                              // hand_over_ was there since the share was prepared
  UniqueFd session_memory_;                                 // in which the server is to write it
  std::optional<absl::StatusOr<KeptSession>> handed_over_;  // what it has written
  std::string given_;                                       // a file with a session to go on with
  std::optional<KeptSession> kept_;                         // for the next server

  Pace pace_;
  std::optional<Time> return_time_;  // when a closed share may come back
  bool failed_ = false;              // since the share was last Closed
  bool prepare_failed_ = false;      // and that is what `error_` says
  std::string error_;                // in the node `error`, and logged
};

}  // namespace virtfs::backend
