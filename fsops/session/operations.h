// Operations: what each 9P request does, one Do() per message; the reply, or the errno of an Rlerror.
//
// Beside each stands what may run at the same time. "All" means every operation, itself included, on any fids, the same
// ones included: it works on the state that the fid had when it began. What the host's kernel makes of two operations
// on one file at once is what it makes of two processes doing them. Tversion never runs beside anything (InFlight).
//
// EWOULDBLOCK from Tlopen, Tlcreate and Tsetattr means that a host process holds a lease: nothing has been done, or
// only what doing again does not change, and the request is to be done again later.
//
// Trust: messages are well-formed, their values are the guest's. Threads: any, as said.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fsops/host/export.h"
#include "fsops/host/users.h"
#include "fsops/session/attributes.h"
#include "fsops/session/call.h"
#include "fsops/session/fid_table.h"
#include "fsops/session/gauges.h"
#include "fsops/session/ids.h"
#include "fsops/session/image.h"
#include "fsops/session/locks.h"
#include "fsops/session/names.h"
#include "fsops/session/options.h"
#include "protocol/messages.h"

namespace virtfs::session {

// One request while it is being served.
struct Context {
  Call& call;
  uint32_t limit;    // Bytes that the whole reply may have: min(msize, capacity).
  std::string text;  // Where the strings of a reply live until it is encoded.
};

class Operations {
 public:
  Operations(host::Export& tree, const SessionOptions& options)
      : tree_(tree),
        gauges_(options.gauges != nullptr ? *options.gauges : own_gauges_),
        open_files_(options.max_open_files, gauges_.open_files),
        xattrs_(options.max_xattr_bytes, gauges_.xattr_bytes),
        locks_(tree, open_files_, options.max_locks, gauges_.locks),
        fids_(options.max_fids, gauges_.fids),
        ids_(options.ids),
        qid_paths_(tree.root()->key().dev, options.devices) {
    if (options.devices == SessionOptions::Devices::kWarn) on_foreign_device_ = options.on_foreign_device;
    if (options.users != nullptr) users_.emplace(*options.users, ids_.Anonymous());
  }

  // Tversion: no fids and no locks any more.
  void Reset() {
    fids_.Clear();
    locks_.Clear();
  }

  // A session as a value (image.h): the fids, the locks, and what they need. Only while nothing else runs.
  // EOPNOTSUPP: a file system of the tree has no handles.
  Result<void> Save(Image& image);
  // Into an Operations without fids. EINVAL: the image contradicts itself, or asks for more than the limits allow;
  // there are no fids then.
  Result<void> Restore(const Image& image);

  // --- fids (operations_walk.cc) ---

  // Concurrent with all. Of two for one fid one gets EBADF.
  Result<p9::Rattach> Do(const p9::Tattach& request, Context& context);
  // Concurrent with all; onto the same fid: exclusive with what else changes that fid (EBUSY).
  Result<p9::Rwalk> Do(const p9::Twalk& request, Context& context);
  // Concurrent with all: the fid goes at once, operations that run on it keep what they have; the file is closed when
  // the last of them ends. The fid goes even where setting its attribute (Txattrcreate) fails.
  Result<p9::Rclunk> Do(const p9::Tclunk& request, Context& context);

  // --- opening and bytes (operations_file.cc) ---

  // Concurrent with all; exclusive with what else changes its fid (EBUSY). EINVAL: open already.
  Result<p9::Rlopen> Do(const p9::Tlopen& request, Context& context);
  Result<p9::Rlcreate> Do(const p9::Tlcreate& request, Context& context);
  // Concurrent with all; those on one attribute take turns.
  Result<p9::Rread> Do(const p9::Tread& request, Context& context);
  Result<p9::Rwrite> Do(const p9::Twrite& request, Context& context);
  // Concurrent with all.
  Result<p9::Rfsync> Do(const p9::Tfsync& request, Context& context);

  // --- locks (operations_locks.cc) ---

  // Concurrent with all; those on one file take turns, one that runs beside the clunk of its fid comes before or after
  // it. Never waits for a lock.
  Result<p9::Rlock> Do(const p9::Tlock& request, Context& context);
  Result<p9::Rgetlock> Do(const p9::Tgetlock& request, Context& context);

  // --- attributes (operations_attributes.cc) ---

  // Concurrent with all.
  Result<p9::Rgetattr> Do(const p9::Tgetattr& request, Context& context);
  // Concurrent with all, and several steps (owner, permissions, size, times): two at once on one file may mix.
  Result<p9::Rsetattr> Do(const p9::Tsetattr& request, Context& context);
  // Concurrent with all.
  Result<p9::Rstatfs> Do(const p9::Tstatfs& request, Context& context);
  Result<p9::Rreadlink> Do(const p9::Treadlink& request, Context& context);

  // --- directories (operations_directory.cc) ---

  // Concurrent with all; two on one fid take turns.
  Result<p9::Rreaddir> Do(const p9::Treaddir& request, Context& context);
  // Concurrent with all.
  Result<p9::Rmkdir> Do(const p9::Tmkdir& request, Context& context);
  Result<p9::Rsymlink> Do(const p9::Tsymlink& request, Context& context);
  Result<p9::Rmknod> Do(const p9::Tmknod& request, Context& context);
  Result<p9::Rlink> Do(const p9::Tlink& request, Context& context);

  // --- names (operations_names.cc) ---

  // Concurrent with all. Of the renames that run at once on one name the session may remember the wrong one: Tremove
  // and Trename of such a file's fid then answer ESTALE or ENOENT, and touch another file only
  // if it takes the name between the check and the act (host::Export::RemoveIfSame).
  Result<p9::Rrename> Do(const p9::Trename& request, Context& context);
  Result<p9::Rrenameat> Do(const p9::Trenameat& request, Context& context);
  // Concurrent with all.
  Result<p9::Runlinkat> Do(const p9::Tunlinkat& request, Context& context);
  // Concurrent with all; the fid goes at once, whatever comes of it.
  Result<p9::Rremove> Do(const p9::Tremove& request, Context& context);

  // --- extended attributes (operations_xattrs.cc) ---
  // A fid that stands for an attribute can be read or written, and clunked; all else is EINVAL, Tremove too (which
  // frees it as ever, and sets nothing).

  // Concurrent with all. Of two for one newfid one gets EBADF.
  Result<p9::Rxattrwalk> Do(const p9::Txattrwalk& request, Context& context);
  // Concurrent with all; exclusive with what else changes its fid (EBUSY). EINVAL: open already.
  Result<p9::Rxattrcreate> Do(const p9::Txattrcreate& request, Context& context);

  // --- refused: who a guest is was settled when its share was attached ---

  static Result<p9::Rauth> Do(const p9::Tauth& /*request*/, Context& /*context*/) { return Errno(EOPNOTSUPP); }

 private:
  // A name in a directory, as requests give one: by fid and text.
  struct Target {
    FidRef dir;
    host::PathComponent name;

    host::Inode& inode() const { return *dir->inode; }
  };

  p9::Qid QidOf(const host::Attributes& attributes);
  // One step of a walk, ".." included. ENODEV: to a device that is not allowed.
  Result<host::Node> Step(host::Inode& dir, std::string_view name);
  // FidState::uid of a fid that Tattach makes.
  Result<uint32_t> UserOfAttach(uint32_t guest_uid);
  // From now on this thread acts for the user (of a FidState), where the host decides who may do what. Before all that
  // asks the kernel for permission; what works on open files and held descriptors alone needs no user.
  Result<void> ActFor(uint32_t uid);
  // Before a write by anyone but root: takes from an open file the set-id bits that Linux would take, were it not the
  // server that writes. A guest's kernel leaves this to the server.
  Result<void> ClearSetIds(const FidState& state);
  // The fid, whose user this thread then acts for.
  Result<FidRef> FindToAct(p9::Fid fid);
  Result<FidTable::Change> BeginChangeToAct(p9::Fid fid);
  // Of what is made in `dir`. In a setgid directory the kernel takes the directory's group instead. EOVERFLOW: the
  // host has no such user or group.
  Result<host::Owner> OwnerOfNew(const FidState& dir, uint32_t gid) const;
  // The fid, whose file must be open. EBADF: unknown, or not open. EINVAL: it stands for an attribute.
  Result<FidRef> FindOpen(p9::Fid fid);
  Result<Target> FindTarget(p9::Fid dir, std::string_view name);
  // In which directory and by which name a file is reached. EBUSY: the root. ENOENT: by none that is known.
  Result<Place> Locate(const FidState& fid);
  Result<std::unique_ptr<XattrValue>> RestoreXattr(const ImageXattr& saved);
  Result<void> RestoreLocks(const Image::Locked& locked, const host::InodeRef& inode,
                            std::shared_ptr<const UniqueFd> shared);
  // After `fid` was taken out of the table, as Tclunk and Tremove do.
  void ReleaseLocks(p9::Fid fid, const FidState& state) {
    if (state.opened != nullptr && state.opened->locked) locks_.Release(*state.inode, fid);
  }

  host::Export& tree_;
  SessionGauges own_gauges_;
  SessionGauges& gauges_;
  Names names_;  // Before fids_, which refer to it.
  OpenFileBudget open_files_;
  XattrBudget xattrs_;
  Locks locks_;
  FidTable fids_;
  const Ids ids_;
  std::optional<host::Users> users_;         // None: operations run with the server's own rights.
  std::function<void()> on_foreign_device_;  // To be called once; empty: never.
  std::atomic<bool> warned_of_devices_ = false;
  QidPaths qid_paths_;
};

}  // namespace virtfs::session
