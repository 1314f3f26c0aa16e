// What a relay has to know of a 9P request to pass it on: how much room its reply needs, which fid is in doubt if the
// reply never comes.
//
// Threads: functions. Trust: frames are anybody's bytes; only a header of the right size is sure.
// Source: docs/virtfs.md, sections 10.5 and 13.6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/codec.h"

namespace virtfs::frontend {

// Holds any reply but those of Tread, Treaddir, Treadlink and Tgetlock.
inline constexpr size_t kSmallReply = 256;

// May use what is kept free for these, so that they pass by requests that wait.
constexpr bool IsUrgent(uint8_t type) { return type == p9::Tflush::kType || type == p9::Tclunk::kType; }

// What a Tflush flushes; kNoTag, which nothing has, if it is malformed.
p9::Tag OldTag(std::span<const uint8_t> tflush);

// Bytes that the reply to the request with this header and head may have, at most `msize` but never less than an
// Rlerror has.
size_t ReplyRoom(const p9::Header& header, std::span<const uint8_t> head, uint32_t msize);

// The fid of which nobody knows whether it exists when the request was sent and not answered; kNoFid if there is none.
p9::Fid FidAtStake(const p9::Header& header, std::span<const uint8_t> head);

// Whether an answered Rread or Rreaddir, given its header and the 4 bytes behind, says how much data it has. True for
// other replies.
bool CountIsRight(std::span<const uint8_t> reply);

}  // namespace virtfs::frontend
