#include "backend/transport_virtfs/virtfs_transport.h"

#include "protocol/codec.h"

namespace virtfs::backend {

static_assert(XEN_VIRTFS_MIN_REQUEST == p9::kHeaderSize && XEN_VIRTFS_MIN_CAPACITY == p9::kErrorReplySize);

VirtfsTransport::~VirtfsTransport() {
  requests_.ForEach([this](ChainRequest& request) {
    bytes_.Close(request.read.window);
    bytes_.Close(request.write.window);
  });
}

void VirtfsTransport::Recycle(Request& recycled) {
  ChainRequest& request = static_cast<ChainRequest&>(recycled);
  request.read.buffer.Reset();
  request.write.buffer.Reset();
  requests_.Put(request);
}

Transport::Taken VirtfsTransport::Take(Request*& taken) {
  ChainRequest& request = requests_.Get();
  switch (ring_.Take(request.slots)) {
    case Ring::Taken::kNothing:
      Recycle(request);
      return Taken::kNothing;
    case Ring::Taken::kFault:
      Recycle(request);
      return Taken::kFault;
    case Ring::Taken::kChain:
      break;
  }
  request.ids.clear();
  for (const Slot& slot : request.slots) request.ids.push_back(slot.id);

  Chain& chain = request.chain;
  int16_t status = ParseChain(request.slots, sized_, chain);
  if (status == XEN_VIRTFS_STATUS_OKAY && !bytes_.OpenRead(chain.read, chain.read_size, request.read)) {
    status = XEN_VIRTFS_STATUS_BAD_GREF;
  }
  if (status == XEN_VIRTFS_STATUS_OKAY) {
    const Result<p9::Header> header = p9::ParseHeader({request.read.buffer.data(), p9::kHeaderSize});
    if (header.ok() && header->size <= chain.read_size) {
      request.fetched = false;
      request.retry_pause = {};
      request.size = header->size;
      request.type = header->type;
      request.frame = {request.read.buffer.data(), p9::kHeaderSize};
      taken = &request;
      return Taken::kRequest;
    }
    status = XEN_VIRTFS_STATUS_SHORT_REQUEST;
  }
  Respond(request, status);
  Recycle(request);
  return Taken::kAnswered;
}

bool VirtfsTransport::Fetch(Request& fetched) {
  ChainRequest& request = static_cast<ChainRequest&>(fetched);
  const uint32_t head = p9::HeadSize(request.type, request.size);
  if (!bytes_.Fetch(request.read, head, request.size, request.data) ||
      !bytes_.OpenWrite(request.chain.write, request.chain.capacity, request.write, request.room)) {
    Respond(request, XEN_VIRTFS_STATUS_BAD_GREF);
    return false;
  }
  // What a malformed message of any other type has behind its head is nothing to anybody.
  if (request.type != p9::Twrite::kType) request.data = Payload();
  request.frame = {request.read.buffer.data(), head};
  request.capacity = request.chain.capacity;
  request.scratch = {request.write.buffer.data(), size_t{bytes_.ReplyBound(request.capacity)}};
  request.head_size = 0;
  request.payload_size = 0;
  request.fetched = true;
  return true;
}

bool VirtfsTransport::Answer(Request& answered) {
  ChainRequest& request = static_cast<ChainRequest&>(answered);
  const bool delivered = bytes_.Deliver(request.write, request.head_size, request.payload_size);
  Respond(request, delivered ? XEN_VIRTFS_STATUS_OKAY : XEN_VIRTFS_STATUS_BAD_GREF);
  return true;
}

void VirtfsTransport::Respond(ChainRequest& request, int16_t status) {
  bytes_.Close(request.read.window);
  bytes_.Close(request.write.window);
  bool notify;
  {
    std::lock_guard lock(responses_);
    notify = ring_.Respond(request.ids, status);
  }
  if (notify) events_.Notify();
}

}  // namespace virtfs::backend
