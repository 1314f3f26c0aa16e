// Copies between private memory and a guest's mapped pages, which the guest may be changing meanwhile.
//
// Each byte of guest memory is loaded (stored) exactly once. memcpy promises no such thing: a compiler that sees both
// sides may read the source again later instead of the copy. Relaxed atomic accesses compile to plain moves and may
// neither be repeated nor invented; a long copy is one instruction of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace virtfs::backend {

void CopyFromGuest(std::span<uint8_t> to, const void* guest);
void CopyToGuest(void* guest, std::span<const uint8_t> from);

}  // namespace virtfs::backend
