/* SPDX-License-Identifier: MIT */
/*
 * virtfs.h: sharing a directory of the backend's domain over a ring of grant references.
 * The specification is docs/virtfs.md.
 */
#ifndef __XEN_PUBLIC_IO_VIRTFS_H__
#define __XEN_PUBLIC_IO_VIRTFS_H__

#include <stdint.h>

#include <xen/io/ring.h>
#include <xen/grant_table.h>

/* Request slot flags. */
#define _XEN_VIRTFSF_MORE 0
#define XEN_VIRTFSF_MORE (1U << _XEN_VIRTFSF_MORE)
#define _XEN_VIRTFSF_WRITE 1
#define XEN_VIRTFSF_WRITE (1U << _XEN_VIRTFSF_WRITE)
#define _XEN_VIRTFSF_INDIRECT 2
#define XEN_VIRTFSF_INDIRECT (1U << _XEN_VIRTFSF_INDIRECT)

/* Response statuses. */
#define XEN_VIRTFS_STATUS_OKAY 0
#define XEN_VIRTFS_STATUS_BAD_GREF (-1)      /* a buffer could not be mapped or copied */
#define XEN_VIRTFS_STATUS_BAD_ORDER (-2)     /* no read slot, or a read slot after a write slot */
#define XEN_VIRTFS_STATUS_BAD_EXTENT (-3)    /* offset + size beyond the page */
#define XEN_VIRTFS_STATUS_BAD_FLAGS (-4)     /* a flag that is unknown or was not negotiated */
#define XEN_VIRTFS_STATUS_SHORT_REQUEST (-5) /* the read half is shorter than the 9P message it begins */
#define XEN_VIRTFS_STATUS_NO_ROOM (-6)       /* the write half cannot hold an Rlerror (11 bytes) */

struct xen_virtfsif_request {
    grant_ref_t gref;
    uint16_t offset;
    uint16_t flags;
    uint16_t id;
    uint16_t size;
};

struct xen_virtfsif_response {
    uint16_t id;
    int16_t status;
};

DEFINE_RING_TYPES(xen_virtfsif, struct xen_virtfsif_request, struct xen_virtfsif_response);

#endif /* __XEN_PUBLIC_IO_VIRTFS_H__ */
