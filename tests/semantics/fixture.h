// What the tests of 9P2000.L's points have in common: one guest with a share of each security model, through the real
// binaries, and for each test a session of its own in a directory of its own.
//
// The cases are in p*_test.cc, named by the point that they are about; README.md has the list.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/messages.h"
#include "tests/semantics/wire.h"

namespace virtfs {

struct Model {
  const char* name;     // of the tests
  const char* options;  // of virtfs-attach
  bool readonly = false;
  // Keeps whatever owner the guest gives a file; else all files are the server's own.
  bool keeps_owners = true;
  // Makes device nodes.
  bool makes_devices = true;
  // Keeps what is special in extended attributes or files: the host's directory has only regular files.
  bool mapped = false;
  bool has_acls = true;

  friend std::ostream& operator<<(std::ostream& out, const Model& model) { return out << model.name; }
};

// All that there are, the read-only one last.
std::vector<Model> AllModels();
std::vector<Model> WritableModels();
Model ReadonlyModel();

inline std::string NameOfModel(const testing::TestParamInfo<Model>& info) { return info.param.name; }

struct Entry {
  p9::Qid qid;
  uint64_t offset;
  uint8_t type;
  std::string name;
};

class SemanticsTest : public testing::TestWithParam<Model> {
 protected:
  static constexpr p9::Fid kRoot = 0;
  // Of an unprivileged server, and so of the directory that it exports.
  static constexpr uint32_t kServersUid = 1234;

  void SetUp() override;
  void TearDown() override;

  // Begins the session anew: kRoot and dir_ are there, nothing else.
  void Begin(uint32_t uid = 0);

  // The test's directory on the host.
  std::string Host(const std::string& name = "") const { return host_ + (name.empty() ? "" : "/" + name); }

  // --- preparing: works under a read-only model too, by another share of the same directory ---

  void MakeFile(const std::string& name, std::string_view content = "", uint32_t mode = 0644);
  void MakeDirectory(const std::string& name, uint32_t mode = 0755);
  void MakeSymlink(const std::string& name, const std::string& target);
  void MakeNode(const std::string& name, uint32_t mode, uint32_t major = 0, uint32_t minor = 0);

  // --- the session under test; what must not fail ---

  // A new fid for what lies along `names` from the test's directory.
  p9::Fid At(const std::vector<std::string>& names) { return At(dir_, names); }
  p9::Fid At(p9::Fid from, const std::vector<std::string>& names);
  p9::Fid OpenAt(const std::string& name, uint32_t flags);
  // A new file in the test's directory, open.
  p9::Fid Create(const std::string& name, uint32_t flags = p9::kOpenReadWrite, uint32_t mode = 0644, uint32_t gid = 0);
  p9::Rgetattr Stat(p9::Fid fid);
  std::string Read(p9::Fid fid, uint64_t offset = 0, uint32_t count = 4096);
  std::vector<Entry> List(p9::Fid open_directory, uint64_t offset = 0, uint32_t count = 8192);
  // What is in the test's directory now, without "." and "..".
  std::vector<std::string> Names();

  // --- what may ---

  // The errno; `fid` is then not there.
  int WalkError(p9::Fid from, p9::Fid fid, const std::vector<std::string>& names);
  int OpenError(p9::Fid fid, uint32_t flags) { return ErrorOf(wire()(p9::Tlopen{fid, flags})); }
  int WriteError(p9::Fid fid, uint64_t offset, std::string_view data) {
    return ErrorOf(wire()(p9::Twrite{fid, offset, static_cast<uint32_t>(data.size())}, data));
  }
  int ReadError(p9::Fid fid) { return ErrorOf(wire()(p9::Tread{fid, 0, 16})); }
  int StatError(p9::Fid fid) { return ErrorOf(wire()(p9::Tgetattr{fid, p9::kGetattrBasic})); }
  int ClunkError(p9::Fid fid) { return ErrorOf(wire()(p9::Tclunk{fid})); }

  Wire& wire() { return *wire_; }
  p9::Fid NewFid() { return wire().NewFid(); }

  p9::Fid dir_ = p9::kNoFid;
  std::string dir_name_;

 private:
  // A session with kRoot.
  static void BeginOn(Wire& wire, uint32_t uid);
  // In the preparing session: a fid in the test's directory.
  p9::Fid Prepared(const std::vector<std::string>& names);

  Wire* wire_ = nullptr;
  Wire* preparing_ = nullptr;
  p9::Fid preparing_dir_ = p9::kNoFid;
  std::string host_;
};

// For what a read-only share does as well.
class Reading : public SemanticsTest {};
// For what changes something.
class Changing : public SemanticsTest {};
// For how a read-only share refuses to.
class ReadOnly : public SemanticsTest {};

}  // namespace virtfs
