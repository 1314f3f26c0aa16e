/* SPDX-License-Identifier: MIT */
/*
 * virtfs.h -- a directory shared over a ring of grant references
 *
 * docs/virtfs.md of this project is the specification: it says what each side
 * must and must not do.  This header is the same ABI in C; the test in
 * tests/spec/ compares the two.
 *
 * From the draft that Wei Liu posted to xen-devel in 2016 ("[RFC] VirtFS
 * support on Xen").
 */

#ifndef __XEN_PUBLIC_IO_VIRTFS_H__
#define __XEN_PUBLIC_IO_VIRTFS_H__

#include <stddef.h>
#include <stdint.h>

/* Both are in Debian's libxen-dev, and in xen.git's xen/include/public. */
#include <xen/grant_table.h>
#include <xen/io/ring.h>

/*
 * OVERVIEW
 * ========
 *
 * A frontend reaches a directory of the backend's domain with 9P2000.L.  Each
 * 9P request travels with the room for its reply: a chain of ring slots, each
 * of which names a piece of a granted page.  The backend reads the request out
 * of the first slots' pages, writes the reply into the pages of the last ones,
 * and answers every slot.  Chains may be answered in any order.
 *
 *
 * RING
 * ====
 *
 * 2^ring-page-order pages.  All words are in the machine's byte order.
 *
 *         0         1         2         3        octet
 *    +---------+---------+---------+---------+
 *    |               req_prod                |   0   written by the frontend
 *    +---------+---------+---------+---------+
 *    |               req_event               |   4   written by the backend
 *    +---------+---------+---------+---------+
 *    |               rsp_prod                |   8   written by the backend
 *    +---------+---------+---------+---------+
 *    |               rsp_event               |  12   written by the frontend
 *    +---------+---------+---------+---------+
 *    |          reserved, zero (48)          |  16
 *    +---------+---------+---------+---------+
 *    |              slot 0 (12)              |  64
 *    +---------+---------+---------+---------+
 *    |              slot 1 (12)              |  76
 *    +---------+---------+---------+---------+
 *    |                  ...                  |
 *    +---------+---------+---------+---------+
 *
 * The number of slots is the largest power of two that fits: 256 << order.
 * Indices run freely over 32 bits; index i is in slot i mod the number of
 * slots.  Requests and responses share the slots.
 *
 * ring.h gives the layout (DEFINE_RING_TYPES below).  A side that does not
 * trust the other should not use ring.h's index macros, several of which read
 * a shared word more than once: load each word once, and check the copy.
 *
 *
 * REQUEST SLOT (struct xen_virtfsif_request, 12 octets)
 * =====================================================
 *
 *         0         1         2         3        octet
 *    +---------+---------+---------+---------+
 *    |                 gref                  |   0
 *    +---------+---------+---------+---------+
 *    |      offset       |       flags       |   4
 *    +---------+---------+---------+---------+
 *    |        id         |       size        |   8
 *    +---------+---------+---------+---------+
 *
 * RESPONSE SLOT (struct xen_virtfsif_response, 4 octets of 12)
 * ============================================================
 *
 *         0         1         2         3        octet
 *    +---------+---------+---------+---------+
 *    |        id         |      status       |   0
 *    +---------+---------+---------+---------+
 *    |          unused, not written          |   4
 *    |                                       |   8
 *    +---------+---------+---------+---------+
 *
 * SEGMENT (struct xen_virtfsif_segment, 8 octets)
 * ===============================================
 *
 *         0         1         2         3        octet
 *    +---------+---------+---------+---------+
 *    |                 gref                  |   0
 *    +---------+---------+---------+---------+
 *    |      offset       |       size        |   4
 *    +---------+---------+---------+---------+
 *
 *
 * CHAIN
 * =====
 *
 * Slot 1 .. n are one request if all but the last have XEN_VIRTFSF_MORE:
 *
 *    |  slot 1  |   ...   |  slot r  | slot r+1 |   ...   |  slot n  |
 *    |   MORE   |  MORE   |   MORE   |   MORE   |  MORE   |          |
 *    |          |         |          |  WRITE   |  WRITE  |  WRITE   |
 *    |<--------- read half --------->|<-------- write half -------->|
 *    |          9P request           |      room for 9P reply       |
 *
 *  - At least one read slot; read slots first.
 *  - The read half holds at least the size[4] octets of the 9P request.
 *  - The write half holds at least XEN_VIRTFS_MIN_CAPACITY octets.
 *  - At most max-chain-slots slots.
 *  - req_prod moves from the end of one chain to the end of another, never to
 *    the middle of one.
 *  - The frontend keeps XEN_VIRTFS_RESERVED_SLOTS slots of each ring free for
 *    Tflush and Tclunk.
 *  - n responses in a row answer it, moved to by one step of rsp_prod.  The
 *    k-th has the id of slot k; all have the same status.
 *
 * size 0, and every size if the frontend did not write "version", means that
 * the buffer reaches to the end of its page.
 *
 * A slot with XEN_VIRTFSF_INDIRECT is alone in its half.  offset and size name
 * an array of struct xen_virtfsif_segment in its page, both multiples of 8;
 * the segments are the buffers of that half.
 *
 *
 * XENSTORE
 * ========
 *
 *    B = /local/domain/<backend>/backend/virtfs/<frontend>/<devid>
 *        owned by the backend, readable by the frontend
 *    F = /local/domain/<frontend>/device/virtfs/<devid>
 *        owned by the frontend, readable by the backend
 *    P = /local/domain/<backend>/virtfs/<frontend>/<devid>
 *        owned by the backend, readable by nobody else
 *
 * Numbers are decimal.  A flag is "0" or "1".  A gref or a port is a number.
 * A size is a number of bytes, or one with K, M, G or T (powers of 1024).
 *
 * Written by the toolstack when it attaches the device:
 *
 *    B/frontend            path of F
 *    B/frontend-id         domain id
 *    B/online              flag; set to "0" to detach
 *    B/state               "1", from then on the backend's
 *    P/path                what is exported
 *    P/security_model      passthrough | none | mapped-xattr | mapped-file
 *    P/transport           virtfs (or 9pfs, where the device is one of those), default "virtfs"
 *    P/readonly            flag, default "0"
 *    P/max-msize           4096 .. 4194304, default 1048576
 *    P/enforce             client | server, default client
 *    P/uid-map             GUEST:HOST:COUNT[+...], default: every id is itself
 *    P/gid-map             likewise
 *    P/squash              none | root | all, default none
 *    P/anon-uid            0 .. 4294967294, default 65534
 *    P/anon-gid            0 .. 4294967294, default 65534
 *    P/fmode               octal, default 0600
 *    P/dmode               octal, default 0700
 *    P/umask               octal, default 0
 *    P/multidevs           remap | forbid | warn, default remap
 *    P/max-fids            16 .. 16777216, default 1048576
 *    P/max-open-files      1 .. 1048576, default 4096
 *    P/max-xattr-bytes     size, default 16M
 *    P/max-locks           1 .. 16777216, default 16384
 *    P/max-requests        0 .. 65535, default 0: what the ring holds
 *    P/max-files           number, default 0: no limit
 *    P/max-space           size, default 0: no limit
 *    P/throttle-ops        0 .. 1000000000 per second, default 0: no limit
 *    P/throttle-ops-burst  0 .. 1000000000, default 0: those of a second
 *    P/throttle-bytes      size per second, default 0: no limit
 *    P/throttle-bytes-burst size, default 0: those of a second
 *    F/backend             path of B
 *    F/backend-id          domain id
 *    F/tag                 what the guest mounts: 1 .. 255 octets
 *    F/state               "1", from then on the frontend's
 *
 * Written by the backend before InitWait:
 *
 *    B/versions            "1"
 *    B/max-chain-slots     16 .. 4092
 *    B/max-ring-page-order                 0 .. 4,   default "0"
 *    B/multi-queue-max-queues              1 .. 64,  default "1"
 *    B/feature-persistent                  flag,     default "0"
 *    B/feature-max-indirect-segments       0 .. 512, default "0"
 *    B/session-id          1 .. 64 octets that name the 9P session: if they
 *                          are those that the frontend knew, its fids stand
 *
 * and when it cannot serve:
 *
 *    P/error               one sentence for the operator
 *
 * Written by the frontend before Initialised:
 *
 *    F/version             one of B/versions
 *    F/ring-page-order     0 .. B/max-ring-page-order, default "0"
 *    F/feature-persistent  flag, default "0": pages are granted once, writable,
 *                          and stay granted until the backend is Closed
 *    F/multi-queue-num-queues   1 .. B/multi-queue-max-queues, default "1"
 *
 *    and for each ring
 *
 *    ring-ref              gref, ring of one page
 *    ring-ref<M>           gref of page M, ring of 2^ring-page-order > 1 pages
 *    event-channel         port
 *
 *    in F itself if there is one queue, else in F/queue-<N>, N from 0.
 *
 *
 * STATES
 * ======
 *
 *   frontend                             backend
 *
 *   Initialising                         Initialising
 *        |                                    |  opens the export,
 *        |                                    |  writes its nodes
 *        |                                    v
 *        |<------------------------------ InitWait <---------------------+
 *        |  makes rings and channels,         |                          |
 *        |  writes its nodes                  |                          |
 *        v                                    |                          |
 *   Initialised ----------------------------->|  maps the rings,         |
 *        |                                    |  binds the channels      |
 *        |                                    v                          |
 *        |<------------------------------ Connected                      |
 *        v                                    |                          |
 *   Connected    (requests and replies)       |                          |
 *        |                                    |  online = 0, upgrade     |
 *        |<-  -  -  -  -  -  -  -  -  -  -  Closing                      |
 *        |  publishes no more requests        |  (answers what there is) |
 *        v                                    |                          |
 *   Closing --------------------------------->|  finishes, unmaps all    |
 *        |                                    v                          |
 *        |<------------------------------- Closed                        |
 *        |  ends its grants                   |                          |
 *        v                                    |  online = 1, frontend    |
 *   Closed ---------------------------------->|  Closed or Initialising  |
 *        |                                    +--------------------------+
 *        |  backend InitWait again: as from Initialising
 *
 * The frontend may touch what it granted again when the backend is Closed (or
 * its nodes are gone), and not before.  A ring that cannot be trusted any more
 * (too many requests, half a chain, too long a chain) and a server that died
 * take the backend from Connected through Closing to Closed at once.
 */

#define XEN_VIRTFS_DEVICE_TYPE "virtfs"
#define XEN_VIRTFS_VERSION     "1"

/* Sizes, in octets unless named otherwise. */
#define XEN_VIRTFS_PAGE_SIZE      4096
#define XEN_VIRTFS_RING_HEAD_SIZE 64
#define XEN_VIRTFS_SLOT_SIZE      12
#define XEN_VIRTFS_SEGMENT_SIZE   8
#define XEN_VIRTFS_SLOTS_PER_PAGE 256 /* slots of a one-page ring */

/* Slots of a ring that the frontend keeps free for Tflush and Tclunk. */
#define XEN_VIRTFS_RESERVED_SLOTS 4

/* Bounds of what the backend may publish in the node of the like name. */
#define XEN_VIRTFS_MIN_CHAIN_SLOTS     16
#define XEN_VIRTFS_MAX_CHAIN_SLOTS     4092
#define XEN_VIRTFS_MAX_RING_PAGE_ORDER 4
#define XEN_VIRTFS_MAX_QUEUES          64
#define XEN_VIRTFS_MAX_SEGMENTS        512 /* fill a page */

/* The least write half: an Rlerror.  The least request: a 9P header. */
#define XEN_VIRTFS_MIN_CAPACITY 11
#define XEN_VIRTFS_MIN_REQUEST  7

/* Bounds of the 9P msize. */
#define XEN_VIRTFS_MIN_MSIZE 4096
#define XEN_VIRTFS_MAX_MSIZE 4194304

/* Flags of a request slot: bit number, then mask.  All others are zero. */

/* The next slot belongs to the same chain. */
#define _XEN_VIRTFSF_MORE     0
#define XEN_VIRTFSF_MORE      (1U << _XEN_VIRTFSF_MORE)
/* The buffer is for the backend to write (9P reply), else to read. */
#define _XEN_VIRTFSF_WRITE    1
#define XEN_VIRTFSF_WRITE     (1U << _XEN_VIRTFSF_WRITE)
/* The page holds a list of segments; only if negotiated. */
#define _XEN_VIRTFSF_INDIRECT 2
#define XEN_VIRTFSF_INDIRECT  (1U << _XEN_VIRTFSF_INDIRECT)

/* Statuses of a response slot.  Unknown ones mean failure of the chain. */

/* The write half holds a 9P reply, which may be an Rlerror. */
#define XEN_VIRTFS_STATUS_OKAY          0
/* A page could not be mapped or copied. */
#define XEN_VIRTFS_STATUS_BAD_GREF      (-1)
/* No read slot, one behind a write slot, or INDIRECT not alone in its half. */
#define XEN_VIRTFS_STATUS_BAD_ORDER     (-2)
/* Octets beyond a page, or a malformed list of segments. */
#define XEN_VIRTFS_STATUS_BAD_EXTENT    (-3)
/* A flag that is unknown or was not negotiated. */
#define XEN_VIRTFS_STATUS_BAD_FLAGS     (-4)
/* The read half does not hold the 9P message that it begins. */
#define XEN_VIRTFS_STATUS_SHORT_REQUEST (-5)
/* The write half holds less than XEN_VIRTFS_MIN_CAPACITY octets. */
#define XEN_VIRTFS_STATUS_NO_ROOM       (-6)

/* Names of the xenstore nodes; QUEUE is followed by the queue's number, and
 * RING_REF by the page's in a ring of several pages. */
#define XEN_VIRTFS_NODE_FRONTEND                      "frontend"
#define XEN_VIRTFS_NODE_FRONTEND_ID                   "frontend-id"
#define XEN_VIRTFS_NODE_ONLINE                        "online"
#define XEN_VIRTFS_NODE_STATE                         "state"
#define XEN_VIRTFS_NODE_VERSIONS                      "versions"
#define XEN_VIRTFS_NODE_MAX_CHAIN_SLOTS               "max-chain-slots"
#define XEN_VIRTFS_NODE_MAX_RING_PAGE_ORDER           "max-ring-page-order"
#define XEN_VIRTFS_NODE_MULTI_QUEUE_MAX_QUEUES        "multi-queue-max-queues"
#define XEN_VIRTFS_NODE_FEATURE_PERSISTENT            "feature-persistent"
#define XEN_VIRTFS_NODE_FEATURE_MAX_INDIRECT_SEGMENTS "feature-max-indirect-segments"
#define XEN_VIRTFS_NODE_SESSION_ID                    "session-id"
#define XEN_VIRTFS_NODE_BACKEND                       "backend"
#define XEN_VIRTFS_NODE_BACKEND_ID                    "backend-id"
#define XEN_VIRTFS_NODE_TAG                           "tag"
#define XEN_VIRTFS_NODE_VERSION                       "version"
#define XEN_VIRTFS_NODE_RING_PAGE_ORDER               "ring-page-order"
#define XEN_VIRTFS_NODE_RING_REF                      "ring-ref"
#define XEN_VIRTFS_NODE_EVENT_CHANNEL                 "event-channel"
#define XEN_VIRTFS_NODE_MULTI_QUEUE_NUM_QUEUES        "multi-queue-num-queues"
#define XEN_VIRTFS_NODE_QUEUE                         "queue-"
#define XEN_VIRTFS_NODE_PATH                          "path"
#define XEN_VIRTFS_NODE_SECURITY_MODEL                "security_model"
#define XEN_VIRTFS_NODE_TRANSPORT                     "transport"
#define XEN_VIRTFS_NODE_READONLY                      "readonly"
#define XEN_VIRTFS_NODE_MAX_MSIZE                     "max-msize"
#define XEN_VIRTFS_NODE_ENFORCE                       "enforce"
#define XEN_VIRTFS_NODE_UID_MAP                       "uid-map"
#define XEN_VIRTFS_NODE_GID_MAP                       "gid-map"
#define XEN_VIRTFS_NODE_SQUASH                        "squash"
#define XEN_VIRTFS_NODE_ANON_UID                      "anon-uid"
#define XEN_VIRTFS_NODE_ANON_GID                      "anon-gid"
#define XEN_VIRTFS_NODE_FMODE                         "fmode"
#define XEN_VIRTFS_NODE_DMODE                         "dmode"
#define XEN_VIRTFS_NODE_UMASK                         "umask"
#define XEN_VIRTFS_NODE_MULTIDEVS                     "multidevs"
#define XEN_VIRTFS_NODE_MAX_FIDS                      "max-fids"
#define XEN_VIRTFS_NODE_MAX_OPEN_FILES                "max-open-files"
#define XEN_VIRTFS_NODE_MAX_XATTR_BYTES               "max-xattr-bytes"
#define XEN_VIRTFS_NODE_MAX_LOCKS                     "max-locks"
#define XEN_VIRTFS_NODE_MAX_REQUESTS                  "max-requests"
#define XEN_VIRTFS_NODE_MAX_FILES                     "max-files"
#define XEN_VIRTFS_NODE_MAX_SPACE                     "max-space"
#define XEN_VIRTFS_NODE_THROTTLE_OPS                  "throttle-ops"
#define XEN_VIRTFS_NODE_THROTTLE_OPS_BURST            "throttle-ops-burst"
#define XEN_VIRTFS_NODE_THROTTLE_BYTES                "throttle-bytes"
#define XEN_VIRTFS_NODE_THROTTLE_BYTES_BURST          "throttle-bytes-burst"
#define XEN_VIRTFS_NODE_ERROR                         "error"

struct xen_virtfsif_request {
    grant_ref_t gref;   /* page of the buffer, or of the list if INDIRECT */
    uint16_t    offset; /* of the buffer in the page */
    uint16_t    flags;  /* XEN_VIRTFSF_* */
    uint16_t    id;     /* echoed in the response */
    uint16_t    size;   /* of the buffer; 0: to the end of the page */
};
typedef struct xen_virtfsif_request xen_virtfsif_request_t;

struct xen_virtfsif_response {
    uint16_t id;     /* of the request slot that it answers */
    int16_t  status; /* XEN_VIRTFS_STATUS_* */
};
typedef struct xen_virtfsif_response xen_virtfsif_response_t;

struct xen_virtfsif_segment {
    grant_ref_t gref;   /* page of the buffer */
    uint16_t    offset; /* of the buffer in the page */
    uint16_t    size;   /* of the buffer; 0: to the end of the page */
};
typedef struct xen_virtfsif_segment xen_virtfsif_segment_t;

DEFINE_RING_TYPES(xen_virtfsif,
                  struct xen_virtfsif_request,
                  struct xen_virtfsif_response);

#endif /* __XEN_PUBLIC_IO_VIRTFS_H__ */

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
