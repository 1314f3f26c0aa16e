// Where the bytes of one request and its reply lie in pages: the layout of a chain.
//
// The request's head, its payload, the reply's head and the reply's data are placed one behind the other. What does not
// fit into what is left of a page begins a new one, so that a small exchange takes one page and large data lie in whole
// pages, which is what both sides' copies like best.
//
//     | request reply |                                       small: one page, two slots
//     | Tread  head |  | data | data | ...                    one page for both heads, data in whole pages
//
// Threads: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace virtfs::frontend {

// One slot: `size` bytes at `offset` of the chain's page number `page`.
struct Segment {
  uint16_t page;
  uint16_t offset;
  uint16_t size;

  friend bool operator==(const Segment&, const Segment&) = default;
};

struct ExchangeSize {
  size_t head = 0;
  size_t payload = 0;
  size_t reply = 0;
  size_t data = 0;
};

struct ChainLayout {
  std::vector<Segment> request;  // The read half.
  std::vector<Segment> reply;    // The write half.
  uint16_t request_pages = 0;    // Pages 0 to this; a page that both halves use counts here.
  uint16_t reply_pages = 0;      // The pages behind those.

  size_t slots() const { return request.size() + reply.size(); }

  // Lays `size` out anew. `shared`: both halves may lie in the same page (it is granted writable).
  void Assign(const ExchangeSize& size, bool shared);
};

}  // namespace virtfs::frontend
