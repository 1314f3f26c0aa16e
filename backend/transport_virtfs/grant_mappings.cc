#include "backend/transport_virtfs/grant_mappings.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>

#include "backend/transport/xen_libraries.h"

namespace virtfs::backend {

void AppendSegment(std::vector<iovec>& segments, uint8_t* address, size_t size) {
  if (!segments.empty()) {
    iovec& last = segments.back();
    if (static_cast<uint8_t*>(last.iov_base) + last.iov_len == address) {
      last.iov_len += size;
      return;
    }
  }
  segments.push_back({.iov_base = address, .iov_len = size});
}

GrantMappings::GrantMappings(xengntdev_handle* handle, uint32_t domid, size_t max_pages)
    : handle_(handle), domid_(domid), max_pages_(max_pages) {}

GrantMappings::~GrantMappings() {
  while (!regions_.empty()) Unmap(regions_.begin());
}

bool GrantMappings::Pin(std::span<const Extent> extents, std::vector<iovec>& segments, std::vector<Region*>& pins) {
  std::lock_guard lock(mutex_);
  const size_t segments_before = segments.size();
  const size_t pins_before = pins.size();
  for (size_t i = 0; i < extents.size(); ++i) {
    const Extent& extent = extents[i];
    auto page = pages_.find(extent.gref);
    if (page == pages_.end()) {
      // Those before it are pinned, so making room cannot take them away.
      const bool mapped = MapMissing(extents.subspan(i));
      page = pages_.find(extent.gref);
      if (!mapped || page == pages_.end()) {
        segments.resize(segments_before);
        while (pins.size() > pins_before) {
          --pins.back()->pins;
          pins.pop_back();
        }
        return false;
      }
    }
    Region& region = *page->second.region;
    if (pins.size() == pins_before || pins.back() != &region) {
      pins.push_back(&region);
      ++region.pins;
      regions_.splice(regions_.end(), regions_, region.self);
    }
    AppendSegment(segments, region.address + size_t{page->second.index} * XEN_VIRTFS_PAGE_SIZE + extent.offset,
                  extent.size);
  }
  return true;
}

void GrantMappings::Unpin(std::vector<Region*>& pins) {
  std::lock_guard lock(mutex_);
  for (Region* region : pins) --region->pins;
  pins.clear();
}

size_t GrantMappings::mapped_pages() {
  std::lock_guard lock(mutex_);
  return mapped_;
}

// Maps the first extents' pages that are not there, up to a region of them.
bool GrantMappings::MapMissing(std::span<const Extent> extents) {
  missing_.clear();
  for (const Extent& extent : extents) {
    if (missing_.size() == kRegionPages) break;
    if (pages_.contains(extent.gref)) continue;
    if (std::find(missing_.begin(), missing_.end(), extent.gref) == missing_.end()) missing_.push_back(extent.gref);
  }
  MakeRoom(missing_.size());
  if (MapRegion(missing_)) return true;
  if (missing_.size() == 1) return false;
  // One bad reference fails the whole call. The others are good for later requests.
  bool all = true;
  for (uint32_t& gref : missing_) all = MapRegion({&gref, 1}) && all;
  return all;
}

bool GrantMappings::MapRegion(std::span<uint32_t> grefs) {
  const auto count = static_cast<uint32_t>(grefs.size());
  void* address = xengnttab_map_domain_grant_refs(handle_, count, domid_, grefs.data(), PROT_READ | PROT_WRITE);
  if (address == nullptr) return false;
  regions_.push_back({.address = static_cast<uint8_t*>(address), .grefs = {grefs.begin(), grefs.end()}, .self = {}});
  Region& region = regions_.back();
  region.self = std::prev(regions_.end());
  for (uint32_t i = 0; i < count; ++i) pages_[grefs[i]] = {.region = &region, .index = i};
  mapped_ += count;
  return true;
}

void GrantMappings::MakeRoom(size_t pages) {
  for (auto region = regions_.begin(); region != regions_.end() && mapped_ + pages > max_pages_;) {
    const auto next = std::next(region);
    if (region->pins == 0) Unmap(region);
    region = next;
  }
}

void GrantMappings::Unmap(std::list<Region>::iterator region) {
  assert(region->pins == 0);
  const auto count = static_cast<uint32_t>(region->grefs.size());
  for (const uint32_t gref : region->grefs) pages_.erase(gref);
  xengnttab_unmap(handle_, region->address, count);
  mapped_ -= count;
  regions_.erase(region);
}

}  // namespace virtfs::backend
