// StoreBridge: a domain's one connection to xenstored, shared by several libxenstore clients, as its kernel shares it.
//
// xenstored sees one unprivileged domain over one ring. A client connects to a unix socket as if that were xenstored's
// own. Whole messages pass; request ids are made unique, watch tokens get the client's number in front, and the watches
// and transactions of a client that goes are ended. Transaction ids pass through. Source: xen/io/xs_wire.h and
// docs/misc/xenstore.txt of Xen.
//
// Threads: one. Trust: none is needed, test code; a malformed client is disconnected.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "xensim/world.h"

extern "C" {
#include <xen/io/xs_wire.h>
#include <xenevtchn.h>
}

namespace xensim {

class StoreBridge {
 public:
  // `domid` exists; the calling process must be in it ($XENSIM_DOMID). Null with errno.
  static std::unique_ptr<StoreBridge> Create(uint32_t domid, const std::string& socket_path);

  ~StoreBridge();

  // The event channel to introduce the domain with.
  uint32_t port() const { return static_cast<uint32_t>(port_); }

  // Serves until it is killed; returns, with errno, if it cannot go on.
  void Run();

 private:
  struct Message {
    xsd_sockmsg header;
    std::string body;
  };
  struct Client {
    virtfs::UniqueFd socket;
    std::string in;                 // bytes of an unfinished message
    std::string out;                // what the socket did not take yet
    std::set<std::string> watches;  // "path\0token" as xenstored knows them, the last zero included
    std::set<uint32_t> transactions;
  };
  struct Request {
    uint32_t client;
    uint32_t id;
    uint32_t type;
    std::string watch;  // of XS_WATCH and XS_UNWATCH
    uint32_t transaction;
  };

  StoreBridge() = default;

  void Accept();
  // False if the client is to be dropped.
  bool ReadFrom(uint32_t number, Client& client);
  bool WriteTo(Client& client);
  void Drop(uint32_t number);
  bool Forward(uint32_t number, Client& client, Message message);
  void Enqueue(uint32_t number, Message message, std::string watch);
  void Answer(Message message);
  void DispatchEvent(Message message);
  // Moves bytes from and to the ring; true if any moved.
  bool PushRequests();
  bool PullResponses();

  std::shared_ptr<World> world_;
  xenstore_domain_interface* ring_ = nullptr;
  xenevtchn_handle* events_ = nullptr;
  int port_ = -1;
  virtfs::UniqueFd listener_;
  uint32_t next_client_ = 1;
  uint32_t next_request_ = 1;
  std::map<uint32_t, Client> clients_;
  std::map<uint32_t, Request> requests_;
  std::string to_ring_;
  std::string from_ring_;
};

}  // namespace xensim
