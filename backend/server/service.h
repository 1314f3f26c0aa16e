// Service: what a Pool's threads do with a Call. The contract is that of Session (fsops/session/session.h), whose
// methods these are; the pool's own tests put something else here that blocks and waits as they please.
#pragma once

#include <vector>

#include "fsops/session/call.h"
#include "fsops/session/session.h"

namespace virtfs::backend {

class Service {
 public:
  virtual ~Service() = default;
  virtual void Arrive(Call& call) = 0;
  virtual Outcome Serve(Call& call) = 0;
  virtual Outcome Refuse(Call& call, Errno error) = 0;
  [[nodiscard]] virtual std::vector<Call*> Finish(Call& call) = 0;
  virtual bool Cancelled(const Call& call) = 0;
};

class SessionService final : public Service {
 public:
  explicit SessionService(Session& session) : session_(session) {}
  void Arrive(Call& call) override { session_.Arrive(call); }
  Outcome Serve(Call& call) override { return session_.Serve(call); }
  Outcome Refuse(Call& call, Errno error) override { return session_.Refuse(call, error); }
  std::vector<Call*> Finish(Call& call) override { return session_.Finish(call); }
  bool Cancelled(const Call& call) override { return session_.Cancelled(call); }

 private:
  Session& session_;
};

}  // namespace virtfs::backend
