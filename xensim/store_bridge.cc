#include "xensim/store_bridge.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace xensim {
namespace {

// Room for a whole ring's worth of requests in waiting; beyond it clients have to wait.
constexpr size_t kMaxWaiting = 64 << 10;

std::atomic_ref<uint32_t> Index(XENSTORE_RING_IDX& index) { return std::atomic_ref<uint32_t>(index); }

std::string Encode(const xsd_sockmsg& header, const std::string& body) {
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  return bytes + body;
}

// Takes the first whole message out of `bytes`. False if there is none; `*broken` if there never will be.
bool TakeMessage(std::string* bytes, xsd_sockmsg* header, std::string* body, bool* broken) {
  if (bytes->size() < sizeof(*header)) return false;
  std::memcpy(header, bytes->data(), sizeof(*header));
  if (header->len > XENSTORE_PAYLOAD_MAX) {
    *broken = true;
    return false;
  }
  if (bytes->size() < sizeof(*header) + header->len) return false;
  *body = bytes->substr(sizeof(*header), header->len);
  bytes->erase(0, sizeof(*header) + header->len);
  return true;
}

// "path\0token\0" with the client's number in front of the token; empty if `body` is not of that form.
std::string MarkToken(const std::string& body, uint32_t client) {
  const size_t end = body.find('\0');
  if (end == std::string::npos || body.size() < end + 2 || body.back() != '\0') return {};
  return body.substr(0, end + 1) + std::to_string(client) + ":" + body.substr(end + 1);
}

}  // namespace

std::unique_ptr<StoreBridge> StoreBridge::Create(uint32_t domid, const std::string& socket_path) {
  std::unique_ptr<StoreBridge> bridge(new StoreBridge);
  bridge->world_ = World::Open();
  if (bridge->world_ == nullptr) return nullptr;
  bridge->ring_ = reinterpret_cast<xenstore_domain_interface*>(bridge->world_->Page(domid, kXenstoreRef));
  bridge->events_ = xenevtchn_open(nullptr, 0);
  if (bridge->events_ == nullptr) return nullptr;
  bridge->port_ = xenevtchn_bind_unbound_port(bridge->events_, 0);
  if (bridge->port_ < 0) return nullptr;

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    return nullptr;
  }
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
  unlink(socket_path.c_str());
  bridge->listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (bind(bridge->listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(bridge->listener_.get(), SOMAXCONN) != 0) {
    return nullptr;
  }
  return bridge;
}

StoreBridge::~StoreBridge() { xenevtchn_close(events_); }

void StoreBridge::Run() {
  for (;;) {
    std::vector<pollfd> polled = {{xenevtchn_fd(events_), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    std::vector<uint32_t> numbers;
    for (const auto& [number, client] : clients_) {
      const short want =
          static_cast<short>((to_ring_.size() < kMaxWaiting ? POLLIN : 0) | (client.out.empty() ? 0 : POLLOUT));
      polled.push_back({client.socket.get(), want, 0});
      numbers.push_back(number);
    }
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (polled[0].revents != 0) {
      const int port = xenevtchn_pending(events_);
      if (port < 0 || xenevtchn_unmask(events_, static_cast<evtchn_port_t>(port)) != 0) return;
    }
    if (polled[1].revents != 0) Accept();
    for (size_t i = 0; i < numbers.size(); ++i) {
      const short ready = polled[i + 2].revents;
      Client& client = clients_.at(numbers[i]);
      const bool keep = ((ready & POLLOUT) == 0 || WriteTo(client)) &&
                        ((ready & (POLLIN | POLLHUP | POLLERR)) == 0 || ReadFrom(numbers[i], client));
      if (!keep) Drop(numbers[i]);
    }
    const bool pulled = PullResponses();
    const bool pushed = PushRequests();
    if (pulled || pushed) xenevtchn_notify(events_, port());
  }
}

void StoreBridge::Accept() {
  virtfs::UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.ok()) clients_[next_client_++].socket = std::move(socket);
}

bool StoreBridge::ReadFrom(uint32_t number, Client& client) {
  char buffer[4096];
  const ssize_t size = recv(client.socket.get(), buffer, sizeof(buffer), 0);
  if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
  client.in.append(buffer, static_cast<size_t>(size));
  Message message;
  bool broken = false;
  while (TakeMessage(&client.in, &message.header, &message.body, &broken)) {
    if (!Forward(number, client, std::move(message))) return false;
    message = {};
  }
  return !broken;
}

bool StoreBridge::WriteTo(Client& client) {
  const ssize_t size = send(client.socket.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  client.out.erase(0, static_cast<size_t>(size));
  return true;
}

void StoreBridge::Drop(uint32_t number) {
  auto client = clients_.extract(number);
  for (const std::string& watch : client.mapped().watches) {
    Enqueue(number, {{.type = XS_UNWATCH, .req_id = 0, .tx_id = 0, .len = 0}, watch}, watch);
  }
  for (const uint32_t transaction : client.mapped().transactions) {
    Enqueue(number, {{.type = XS_TRANSACTION_END, .req_id = 0, .tx_id = transaction, .len = 0}, std::string("F\0", 2)},
            {});
  }
}

bool StoreBridge::Forward(uint32_t number, Client& client, Message message) {
  std::string watch;
  if (message.header.type == XS_WATCH || message.header.type == XS_UNWATCH) {
    watch = MarkToken(message.body, number);
    if (watch.empty() || watch.size() > XENSTORE_PAYLOAD_MAX) return false;
    message.body = watch;
    // Before the answer, as events may come before it.
    if (message.header.type == XS_WATCH) client.watches.insert(watch);
  }
  Enqueue(number, std::move(message), std::move(watch));
  return true;
}

void StoreBridge::Enqueue(uint32_t number, Message message, std::string watch) {
  const uint32_t id = next_request_++;
  requests_[id] = {number, message.header.req_id, message.header.type, std::move(watch), message.header.tx_id};
  message.header.req_id = id;
  message.header.len = static_cast<uint32_t>(message.body.size());
  to_ring_ += Encode(message.header, message.body);
}

void StoreBridge::Answer(Message message) {
  const auto found = requests_.find(message.header.req_id);
  if (found == requests_.end()) return;
  const Request request = std::move(found->second);
  requests_.erase(found);
  const bool failed = message.header.type == XS_ERROR;
  const auto client = clients_.find(request.client);
  if (client == clients_.end()) {
    // What was begun for a client that is gone is ended for it.
    if (!failed && request.type == XS_TRANSACTION_START) {
      const auto transaction = static_cast<uint32_t>(strtoul(message.body.c_str(), nullptr, 10));
      Enqueue(request.client,
              {{.type = XS_TRANSACTION_END, .req_id = 0, .tx_id = transaction, .len = 0}, std::string("F\0", 2)}, {});
    }
    return;
  }
  if (request.type == XS_TRANSACTION_START && !failed) {
    client->second.transactions.insert(static_cast<uint32_t>(strtoul(message.body.c_str(), nullptr, 10)));
  }
  if (request.type == XS_TRANSACTION_END) client->second.transactions.erase(request.transaction);
  if (request.type == XS_UNWATCH && !failed) client->second.watches.erase(request.watch);
  if (request.type == XS_WATCH && failed && message.body != std::string("EEXIST\0", 7)) {
    client->second.watches.erase(request.watch);
  }
  message.header.req_id = request.id;
  client->second.out += Encode(message.header, message.body);
}

void StoreBridge::DispatchEvent(Message message) {
  const size_t end = message.body.find('\0');
  if (end == std::string::npos) return;
  const size_t mark = message.body.find(':', end);
  if (mark == std::string::npos) return;
  const auto number = static_cast<uint32_t>(strtoul(message.body.c_str() + end + 1, nullptr, 10));
  const auto client = clients_.find(number);
  if (client == clients_.end()) return;
  message.body.erase(end + 1, mark - end);
  message.header.len = static_cast<uint32_t>(message.body.size());
  client->second.out += Encode(message.header, message.body);
}

bool StoreBridge::PushRequests() {
  bool moved = false;
  while (!to_ring_.empty()) {
    const uint32_t produced = ring_->req_prod;
    const uint32_t used = produced - Index(ring_->req_cons).load(std::memory_order_acquire);
    const uint32_t at = MASK_XENSTORE_IDX(produced);
    const size_t room = std::min<size_t>(XENSTORE_RING_SIZE - used, XENSTORE_RING_SIZE - at);
    const size_t size = std::min(room, to_ring_.size());
    if (size == 0) break;
    std::memcpy(ring_->req + at, to_ring_.data(), size);
    Index(ring_->req_prod).store(produced + static_cast<uint32_t>(size), std::memory_order_release);
    to_ring_.erase(0, size);
    moved = true;
  }
  return moved;
}

bool StoreBridge::PullResponses() {
  bool moved = false;
  for (;;) {
    const uint32_t consumed = ring_->rsp_cons;
    const uint32_t ready = Index(ring_->rsp_prod).load(std::memory_order_acquire) - consumed;
    if (ready == 0) break;
    const uint32_t at = MASK_XENSTORE_IDX(consumed);
    const uint32_t size = std::min<uint32_t>(ready, XENSTORE_RING_SIZE - at);
    from_ring_.append(ring_->rsp + at, size);
    Index(ring_->rsp_cons).store(consumed + size, std::memory_order_release);
    moved = true;
  }
  Message message;
  bool broken = false;
  while (TakeMessage(&from_ring_, &message.header, &message.body, &broken)) {
    if (message.header.type == XS_WATCH_EVENT) {
      DispatchEvent(std::move(message));
    } else {
      Answer(std::move(message));
    }
    message = {};
  }
  // Sent at once where the socket takes it; the rest waits for POLLOUT.
  std::vector<uint32_t> gone;
  for (auto& [number, client] : clients_) {
    if (!client.out.empty() && !WriteTo(client)) gone.push_back(number);
  }
  for (const uint32_t number : gone) Drop(number);
  return moved;
}

}  // namespace xensim
