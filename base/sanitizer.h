// VIRTFS_SANITIZED: 1 in a build under AddressSanitizer or ThreadSanitizer, of gcc or of clang, else 0.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VIRTFS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VIRTFS_SANITIZED 1
#endif
#endif
#ifndef VIRTFS_SANITIZED
#define VIRTFS_SANITIZED 0
#endif
