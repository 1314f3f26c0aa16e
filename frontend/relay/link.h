// Link: where a relay's ring comes from, and comes from again after the backend has gone.
//
// Threads: those of a relay's loop; changed_fd() may be polled beside everything.
#pragma once

#include "frontend/ring_client.h"

namespace virtfs::frontend {

class Link {
 public:
  virtual ~Link() = default;

  // The connection; null while there is none. One that has failed stays until Renew.
  virtual RingClient* ring() = 0;
  // Whether the 9P session of the connection before goes on in this one.
  virtual bool session_goes_on() = 0;
  // The connection has failed and nobody uses it any more: makes another, in the background.
  virtual void Renew() = 0;
  // There is no ring, and the share was taken away: nobody should wait for it to come back, though it may.
  virtual bool gone() = 0;
  // An eventfd that counts when ring() is no longer null, and when gone() becomes true.
  virtual int changed_fd() const = 0;
};

}  // namespace virtfs::frontend
