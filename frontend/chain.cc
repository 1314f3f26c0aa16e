#include "frontend/chain.h"

#include <algorithm>

#include "xen/io/virtfs.h"

namespace virtfs::frontend {
namespace {

constexpr size_t kPage = XEN_VIRTFS_PAGE_SIZE;

// Hands out bytes, page by page.
class Placer {
 public:
  uint16_t pages() const { return static_cast<uint16_t>(page_ + (used_ > 0 ? 1 : 0)); }

  void NextPage() {
    page_ += used_ > 0 ? 1 : 0;
    used_ = 0;
  }

  void Place(size_t size, std::vector<Segment>& half) {
    if (size > kPage - used_) NextPage();
    while (size > 0) {
      const size_t part = std::min(size, kPage - used_);
      Append({static_cast<uint16_t>(page_), static_cast<uint16_t>(used_), static_cast<uint16_t>(part)}, half);
      size -= part;
      used_ += part;
      if (used_ == kPage) NextPage();
    }
  }

 private:
  static void Append(const Segment& segment, std::vector<Segment>& half) {
    if (!half.empty() && half.back().page == segment.page && half.back().offset + half.back().size == segment.offset) {
      half.back().size = static_cast<uint16_t>(half.back().size + segment.size);
    } else {
      half.push_back(segment);
    }
  }

  size_t page_ = 0;
  size_t used_ = 0;  // Of that page.
};

}  // namespace

void ChainLayout::Assign(const ExchangeSize& size, bool shared) {
  request.clear();
  reply.clear();
  Placer placer;
  placer.Place(size.head, request);
  placer.Place(size.payload, request);
  if (!shared) placer.NextPage();
  request_pages = placer.pages();
  placer.Place(size.reply, reply);
  placer.Place(size.data, reply);
  reply_pages = static_cast<uint16_t>(placer.pages() - request_pages);
}

}  // namespace virtfs::frontend
