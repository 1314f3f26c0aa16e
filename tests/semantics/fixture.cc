#include "tests/semantics/fixture.h"

#include <map>
#include <memory>

#include "tests/client_fixture.h"

namespace virtfs {
namespace {

const Model kModels[] = {
    {.name = "passthrough", .options = "security_model=passthrough"},
    {.name = "mapped_xattr", .options = "security_model=mapped-xattr", .mapped = true},
    {.name = "mapped_file", .options = "security_model=mapped-file", .mapped = true, .has_acls = false},
    {.name = "none", .options = "security_model=none", .keeps_owners = false, .makes_devices = false},
    {.name = "readonly", .options = "security_model=passthrough,readonly", .readonly = true},
};

// One guest for all tests of the process. Shares are connected when they are first needed.
class World : public ClientTest {
 public:
  struct Share {
    std::string directory;
    std::unique_ptr<frontend::Device> device;
    std::unique_ptr<Wire> wire;
  };

  void Start() {
    SetUp();
    StartGuest();
  }
  void End() {
    for (auto& [name, share] : shares_) share.device.reset();
    shares_.clear();
    TearDown();
  }

  // Null: a failure has been added.
  Share* Get(const Model& model, uint32_t owner) {
    const auto [entry, first] = shares_.try_emplace(model.name);
    Share& share = entry->second;
    if (first) Connect(model, owner, share);
    return share.wire != nullptr ? &share : nullptr;
  }

 private:
  void TestBody() override {}

  // `owner`: of the directory that an unprivileged server exports.
  void Connect(const Model& model, uint32_t owner, Share& share) {
    // The read-only share's directory is that of the first model, through which tests prepare it.
    share.directory = Path(model.readonly ? kModels[0].name : model.name);
    if (!model.readonly) {
      ASSERT_EQ(mkdir(share.directory.c_str(), 0755), 0);
      if (model.mapped || !model.keeps_owners) {
        ASSERT_EQ(chown(share.directory.c_str(), owner, owner), 0);
      }
    }
    const auto attach =
        SpawnAttach(kGuest, {std::string("tag=") + model.name + ",path=" + share.directory + "," + model.options});
    ASSERT_EQ(attach->Wait(), 0) << attach->Output();
    const AsDomain guest(*xen_, kGuest);
    auto device = frontend::Device::Connect({.tag = model.name});
    ASSERT_TRUE(device.ok()) << device.status();
    share.device = *std::move(device);
    share.wire = std::make_unique<Wire>(share.device->ring());
  }

  std::map<std::string, Share> shares_;
};

World* world = nullptr;

class WorldEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    world = new World;
    world->Start();
  }
  void TearDown() override {
    world->End();
    delete world;
  }
};

[[maybe_unused]] const testing::Environment* const environment =
    testing::AddGlobalTestEnvironment(new WorldEnvironment);

p9::Twalk WalkOf(p9::Fid from, p9::Fid to, const std::vector<std::string>& names) {
  p9::Twalk walk{.fid = from, .newfid = to, .wname = {}};
  for (const std::string& name : names) walk.wname.push_back(name);
  return walk;
}

}  // namespace

std::vector<Model> AllModels() { return {std::begin(kModels), std::end(kModels)}; }
std::vector<Model> WritableModels() {
  std::vector<Model> models = AllModels();
  models.pop_back();
  return models;
}
Model ReadonlyModel() { return AllModels().back(); }

INSTANTIATE_TEST_SUITE_P(Models, Reading, testing::ValuesIn(AllModels()), NameOfModel);
INSTANTIATE_TEST_SUITE_P(Models, Changing, testing::ValuesIn(WritableModels()), NameOfModel);
INSTANTIATE_TEST_SUITE_P(Models, ReadOnly, testing::Values(ReadonlyModel()), NameOfModel);

void SemanticsTest::BeginOn(Wire& wire, uint32_t uid) {
  ASSERT_TRUE(wire(p9::Tversion{Wire::kMsize, p9::kVersion}).ok());
  ASSERT_TRUE(wire(p9::Tattach{kRoot, p9::kNoFid, "", "", uid}).ok());
}

void SemanticsTest::SetUp() {
  static int number = 0;
  dir_name_ = "case" + std::to_string(++number);
  World::Share* const share = world->Get(GetParam(), kServersUid);
  World::Share* const preparing = GetParam().readonly ? world->Get(kModels[0], kServersUid) : share;
  ASSERT_TRUE(share != nullptr && preparing != nullptr);
  wire_ = share->wire.get();
  preparing_ = preparing->wire.get();
  host_ = share->directory + "/" + dir_name_;

  ASSERT_NO_FATAL_FAILURE(BeginOn(*preparing_, 0));
  ASSERT_TRUE((*preparing_)(p9::Tmkdir{kRoot, dir_name_, 0777, 0}).ok());
  if (preparing_ == wire_) {
    dir_ = preparing_dir_ = At(kRoot, {dir_name_});
  } else {
    preparing_dir_ = preparing_->NewFid();
    ASSERT_TRUE((*preparing_)(p9::Twalk{kRoot, preparing_dir_, {dir_name_}}).ok());
    ASSERT_NO_FATAL_FAILURE(Begin());
  }
}

void SemanticsTest::TearDown() {
  // What a test that failed left in flight or half done does not meet the next.
  if (wire_ != nullptr) {
    EXPECT_TRUE(wire()(p9::Tversion{Wire::kMsize, p9::kVersion}).ok());
  }
}

void SemanticsTest::Begin(uint32_t uid) {
  ASSERT_NO_FATAL_FAILURE(BeginOn(wire(), uid));
  dir_ = At(kRoot, {dir_name_});
  if (preparing_ == wire_) preparing_dir_ = dir_;
}

p9::Fid SemanticsTest::Prepared(const std::vector<std::string>& names) {
  const p9::Fid fid = preparing_->NewFid();
  const Result<p9::Rwalk> reply = (*preparing_)(WalkOf(preparing_dir_, fid, names));
  EXPECT_TRUE(reply.ok() && reply->wqid.size() == names.size());
  return fid;
}

void SemanticsTest::MakeFile(const std::string& name, std::string_view content, uint32_t mode) {
  const p9::Fid fid = Prepared({});
  EXPECT_EQ(ErrorOf((*preparing_)(p9::Tlcreate{fid, name, p9::kOpenWriteOnly, mode, 0})), 0) << name;
  if (!content.empty()) {
    const auto count = static_cast<uint32_t>(content.size());
    EXPECT_EQ(ErrorOf((*preparing_)(p9::Twrite{fid, 0, count}, content)), 0) << name;
  }
  EXPECT_EQ(ErrorOf((*preparing_)(p9::Tclunk{fid})), 0);
}

void SemanticsTest::MakeDirectory(const std::string& name, uint32_t mode) {
  EXPECT_EQ(ErrorOf((*preparing_)(p9::Tmkdir{preparing_dir_, name, mode, 0})), 0) << name;
}

void SemanticsTest::MakeSymlink(const std::string& name, const std::string& target) {
  EXPECT_EQ(ErrorOf((*preparing_)(p9::Tsymlink{preparing_dir_, name, target, 0})), 0) << name;
}

void SemanticsTest::MakeNode(const std::string& name, uint32_t mode, uint32_t major, uint32_t minor) {
  EXPECT_EQ(ErrorOf((*preparing_)(p9::Tmknod{preparing_dir_, name, mode, major, minor, 0})), 0) << name;
}

int SemanticsTest::WalkError(p9::Fid from, p9::Fid fid, const std::vector<std::string>& names) {
  return ErrorOf(wire()(WalkOf(from, fid, names)));
}

p9::Fid SemanticsTest::At(p9::Fid from, const std::vector<std::string>& names) {
  const p9::Fid fid = NewFid();
  const Result<p9::Rwalk> reply = wire()(WalkOf(from, fid, names));
  EXPECT_EQ(ErrorOf(reply), 0);
  EXPECT_TRUE(reply.ok() && reply->wqid.size() == names.size()) << "a name is missing";
  return fid;
}

p9::Fid SemanticsTest::OpenAt(const std::string& name, uint32_t flags) {
  const p9::Fid fid = At({name});
  EXPECT_EQ(OpenError(fid, flags), 0) << name;
  return fid;
}

p9::Fid SemanticsTest::Create(const std::string& name, uint32_t flags, uint32_t mode, uint32_t gid) {
  const p9::Fid fid = At({});
  EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{fid, name, flags, mode, gid})), 0) << name;
  return fid;
}

p9::Rgetattr SemanticsTest::Stat(p9::Fid fid) {
  const Result<p9::Rgetattr> reply = wire()(p9::Tgetattr{fid, p9::kGetattrBasic});
  EXPECT_EQ(ErrorOf(reply), 0);
  return reply.ok() ? *reply : p9::Rgetattr{};
}

std::string SemanticsTest::Read(p9::Fid fid, uint64_t offset, uint32_t count) {
  EXPECT_EQ(ErrorOf(wire()(p9::Tread{fid, offset, count})), 0);
  return wire().payload();
}

std::vector<Entry> SemanticsTest::List(p9::Fid open_directory, uint64_t offset, uint32_t count) {
  std::vector<Entry> entries;
  for (;;) {
    const Result<p9::Rreaddir> reply = wire()(p9::Treaddir{open_directory, offset, count});
    EXPECT_EQ(ErrorOf(reply), 0);
    if (!reply.ok() || reply->count == 0) return entries;
    std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(wire().payload().data()), wire().payload().size());
    for (p9::DirEntry entry; p9::DecodeDirEntry(data, entry);) {
      entries.push_back({entry.qid, entry.offset, entry.type, std::string(entry.name)});
    }
    EXPECT_TRUE(data.empty()) << "an entry was split";
    if (!data.empty()) return entries;
    offset = entries.back().offset;
  }
}

std::vector<std::string> SemanticsTest::Names() {
  const p9::Fid fid = At({});
  EXPECT_EQ(OpenError(fid, p9::kOpenReadOnly), 0);
  std::vector<std::string> names;
  for (const Entry& entry : List(fid)) {
    if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
  }
  EXPECT_EQ(ClunkError(fid), 0);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace virtfs
