// A 9P2000.L client on a stream socket, for tests of what listens there. Every call has a bound of its own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "protocol/codec.h"

namespace virtfs {

class StreamClient {
 public:
  StreamClient() = default;
  // A connected socket.
  explicit StreamClient(int socket) : socket_(socket) {
    const timeval bound = {20, 0};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
  }

  // A relay's address: "tcp:127.0.0.1:5640" or "unix:/path".
  static StreamClient Connect(const std::string& address) {
    sockaddr_un path = {};
    sockaddr_in ip = {};
    const sockaddr* to = reinterpret_cast<const sockaddr*>(&path);
    socklen_t size = sizeof(path);
    if (address.starts_with("unix:")) {
      path.sun_family = AF_UNIX;
      address.copy(path.sun_path, sizeof(path.sun_path) - 1, 5);
    } else {
      ip.sin_family = AF_INET;
      inet_pton(AF_INET, address.substr(4, address.rfind(':') - 4).c_str(), &ip.sin_addr);
      ip.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
      to = reinterpret_cast<const sockaddr*>(&ip);
      size = sizeof(ip);
    }
    StreamClient client(socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(client.socket_.get(), to, size) != 0) ADD_FAILURE() << address << ": " << strerror(errno);
    return client;
  }

  int fd() const { return socket_.get(); }
  void Close() { socket_.reset(); }

  void SendBytes(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        ADD_FAILURE() << "send: " << strerror(errno);
        return Close();
      }
      bytes = bytes.subspan(static_cast<size_t>(sent));
    }
  }

  template <typename Message>
  static std::vector<uint8_t> Frame(p9::Tag tag, const Message& message, std::span<const uint8_t> payload = {}) {
    std::vector<uint8_t> frame(p9::EncodedSize(message));
    p9::Encode(tag, message, frame);
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
  }

  template <typename Message>
  void Send(p9::Tag tag, const Message& message, std::span<const uint8_t> payload = {}) {
    SendBytes(Frame(tag, message, payload));
  }

  // The next reply, whole; empty, and no failure, if the stream is over.
  std::vector<uint8_t> Receive() {
    std::vector<uint8_t> frame(p9::kHeaderSize);
    if (!Fill(frame)) return {};
    frame.resize(p9::ParseHeader(frame)->size);
    if (!Fill(std::span(frame).subspan(p9::kHeaderSize))) return {};
    return frame;
  }
  p9::Header ReceiveHeader() {
    const Result<p9::Header> header = p9::ParseHeader(Receive());
    return header.ok() ? *header : p9::Header();
  }
  // The next reply must be the one to a request of type T.
  template <typename T>
  Errno ReceiveError(p9::Tag tag) {
    const std::vector<uint8_t> frame = Receive();
    if (frame.empty()) return Errno(ECONNRESET);
    EXPECT_EQ(p9::ParseHeader(frame)->tag, tag);
    const Result<typename T::Reply> reply = p9::DecodeReply<T>(frame);
    return reply.ok() ? Errno(0) : reply.error();
  }

  // One request alone; the reply's bytes stay until the next.
  template <typename T>
  Result<typename T::Reply> Call(const T& request, std::span<const uint8_t> payload = {}) {
    Send(std::is_same_v<T, p9::Tversion> ? p9::kNoTag : p9::Tag{1}, request, payload);
    reply_ = Receive();
    if (reply_.empty()) return Errno(ECONNRESET);
    return p9::DecodeReply<T>(reply_);
  }
  // The payload of the last reply.
  std::span<const uint8_t> Data() const { return std::span(reply_).subspan(p9::kMinHeadSize<p9::Rread>); }

  // A session with the root as fid 0; the msize that was agreed on.
  uint32_t Begin(uint32_t msize = 512 * 1024) {
    const Result<p9::Rversion> version = Call(p9::Tversion{msize, p9::kVersion});
    if (!version.ok()) {
      ADD_FAILURE() << "Tversion: " << version.error().message();
      return 0;
    }
    const uint32_t agreed = version->msize;
    const Result<p9::Rattach> root = Call(p9::Tattach{0, p9::kNoFid, "", "", 0});
    EXPECT_TRUE(root.ok());
    return agreed;
  }

  // `fid` becomes `name` beneath the root.
  Result<p9::Rwalk> Walk(p9::Fid fid, const std::string& name) { return Call(p9::Twalk{0, fid, {name}}); }

 private:
  bool Fill(std::span<uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t got = recv(fd(), bytes.data(), bytes.size(), 0);
      if (got < 0 && errno != ECONNRESET) ADD_FAILURE() << "recv: " << strerror(errno);
      if (got <= 0) return false;
      bytes = bytes.subspan(static_cast<size_t>(got));
    }
    return true;
  }

  UniqueFd socket_;
  std::vector<uint8_t> reply_;
};

}  // namespace virtfs
