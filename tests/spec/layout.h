/*
 * What docs/virtfs.md says of the layouts in <xen/io/virtfs.h>, checked by whatever compiler reads it: C99 has no
 * static assertion, so HOLDS makes an array of negative size out of what is false.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <xen/io/virtfs.h>

#define HOLDS_NAMED(line, what) typedef char holds_##line[(what) ? 1 : -1]
#define HOLDS_AT(line, what) HOLDS_NAMED(line, what)
#define HOLDS(what) HOLDS_AT(__LINE__, what)

/* Section 5.1. */
HOLDS(sizeof(struct xen_virtfsif_request) == 12);
HOLDS(offsetof(struct xen_virtfsif_request, gref) == 0);
HOLDS(offsetof(struct xen_virtfsif_request, offset) == 4);
HOLDS(offsetof(struct xen_virtfsif_request, flags) == 6);
HOLDS(offsetof(struct xen_virtfsif_request, id) == 8);
HOLDS(offsetof(struct xen_virtfsif_request, size) == 10);
HOLDS(sizeof(((struct xen_virtfsif_request *)0)->gref) == 4);
HOLDS(sizeof(((struct xen_virtfsif_request *)0)->size) == 2);

/* Section 5.2. */
HOLDS(sizeof(struct xen_virtfsif_response) == 4);
HOLDS(offsetof(struct xen_virtfsif_response, id) == 0);
HOLDS(offsetof(struct xen_virtfsif_response, status) == 2);
HOLDS(((int16_t)-1) < 0 && sizeof(((struct xen_virtfsif_response *)0)->status) == 2);

/* Section 8.4. */
HOLDS(sizeof(struct xen_virtfsif_segment) == 8);
HOLDS(offsetof(struct xen_virtfsif_segment, gref) == 0);
HOLDS(offsetof(struct xen_virtfsif_segment, offset) == 4);
HOLDS(offsetof(struct xen_virtfsif_segment, size) == 6);

/* Section 4.1: the head, and how many slots are in 2^n pages. */
HOLDS(offsetof(struct xen_virtfsif_sring, req_prod) == 0);
HOLDS(offsetof(struct xen_virtfsif_sring, req_event) == 4);
HOLDS(offsetof(struct xen_virtfsif_sring, rsp_prod) == 8);
HOLDS(offsetof(struct xen_virtfsif_sring, rsp_event) == 12);
HOLDS(offsetof(struct xen_virtfsif_sring, ring) == 64);
HOLDS(sizeof(union xen_virtfsif_sring_entry) == 12);
HOLDS(__CONST_RING_SIZE(xen_virtfsif, 4096) == 256);
HOLDS(__CONST_RING_SIZE(xen_virtfsif, 4096 << 1) == 256 << 1);
HOLDS(__CONST_RING_SIZE(xen_virtfsif, 4096 << 2) == 256 << 2);
HOLDS(__CONST_RING_SIZE(xen_virtfsif, 4096 << 3) == 256 << 3);
HOLDS(__CONST_RING_SIZE(xen_virtfsif, 4096 << 4) == 256 << 4);

/* Section 16: the numbers that follow from others. */
HOLDS(XEN_VIRTFS_SLOT_SIZE == sizeof(union xen_virtfsif_sring_entry));
HOLDS(XEN_VIRTFS_SEGMENT_SIZE == sizeof(struct xen_virtfsif_segment));
HOLDS(XEN_VIRTFS_RING_HEAD_SIZE == offsetof(struct xen_virtfsif_sring, ring));
HOLDS(XEN_VIRTFS_SLOTS_PER_PAGE == __CONST_RING_SIZE(xen_virtfsif, XEN_VIRTFS_PAGE_SIZE));
HOLDS(XEN_VIRTFS_MAX_SEGMENTS == XEN_VIRTFS_PAGE_SIZE / XEN_VIRTFS_SEGMENT_SIZE);
HOLDS(XEN_VIRTFS_MAX_CHAIN_SLOTS ==
      (XEN_VIRTFS_SLOTS_PER_PAGE << XEN_VIRTFS_MAX_RING_PAGE_ORDER) - XEN_VIRTFS_RESERVED_SLOTS);
