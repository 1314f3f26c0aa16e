#include "toolstack/records/record_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "toolstack/records/guest_lock.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kUuid[] = "01234567-89ab-cdef-0123-456789abcdef";
constexpr char kOther[] = "00000000-0000-0000-0000-000000000001";

class RecordStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/records-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static Record Make(const std::string& uuid, int shares) {
    Record record{.uuid = uuid, .name = "web", .shares = {}, .absent_since = {}};
    for (int i = 0; i < shares; ++i) {
      record.shares.push_back({static_cast<uint32_t>(i), "0", "tag=t" + std::to_string(i) + ",path=/srv"});
    }
    return record;
  }

  std::string directory_;
};

TEST_F(RecordStoreTest, SaveLoadRemove) {
  const RecordStore store(directory_ + "/made");
  auto none = store.Load(kUuid);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  EXPECT_TRUE(store.Remove(kUuid).ok());

  for (int shares : {3, 1}) {
    ASSERT_TRUE(store.Save(Make(kUuid, shares)).ok());
    const auto loaded = store.Load(kUuid);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    EXPECT_EQ(**loaded, Make(kUuid, shares));
  }
  struct stat status;
  ASSERT_EQ(stat(store.directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_TRUE(store.Remove(kUuid).ok());
  EXPECT_FALSE(store.Load(kUuid)->has_value());
}

TEST_F(RecordStoreTest, AllOfThemButNoOtherFile) {
  const RecordStore store(directory_);
  ASSERT_TRUE(store.Save(Make(kUuid, 1)).ok());
  ASSERT_TRUE(store.Save(Make(kOther, 2)).ok());
  // What a Save left that was killed, and what somebody else put there.
  std::ofstream(directory_ + "/" + kOther + ".json.new") << "{";
  std::ofstream(directory_ + "/notes.json") << "{";
  auto all = store.All();
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(all->records, ElementsAre(Make(kOther, 2), Make(kUuid, 1)));
  EXPECT_THAT(all->unreadable, SizeIs(0));

  std::ofstream(directory_ + "/" + kOther + ".json") << "{";
  all = store.All();
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(all->records, SizeIs(1));
  ASSERT_THAT(all->unreadable, SizeIs(1));
  EXPECT_THAT(std::string(all->unreadable[0].message()), HasSubstr(kOther));
  EXPECT_TRUE(store.Save(Make(kOther, 2)).ok());
  EXPECT_THAT(store.All()->records, SizeIs(2));

  EXPECT_TRUE(RecordStore(directory_ + "/none").All()->records.empty());
}

TEST_F(RecordStoreTest, NotTheRecordOfAnother) {
  const RecordStore store(directory_);
  ASSERT_TRUE(store.Save(Make(kUuid, 1)).ok());
  std::filesystem::copy(directory_ + "/" + kUuid + ".json", directory_ + "/" + kOther + ".json");
  EXPECT_THAT(std::string(store.Load(kOther).status().message()), HasSubstr("another guest's"));
  EXPECT_FALSE(store.Load("../x").ok());
  EXPECT_FALSE(store.Remove("../x").ok());
}

// Whoever is killed while saving leaves the old record or the new one.
TEST_F(RecordStoreTest, KilledAnyTimeTheRecordIsWhole) {
  const RecordStore store(directory_);
  ASSERT_TRUE(store.Save(Make(kUuid, 1)).ok());
  for (int round = 0; round < 30; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0;; ++i) (void)store.Save(Make(kUuid, 1 + i % 40));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300 + 137 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const auto loaded = store.Load(kUuid);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    ASSERT_TRUE(loaded->has_value());
    EXPECT_EQ(**loaded, Make(kUuid, static_cast<int>((*loaded)->shares.size())));
  }
}

TEST_F(RecordStoreTest, OneHolderAtATime) {
  auto held = GuestLock::Take(directory_ + "/run", kUuid, milliseconds(0));
  ASSERT_TRUE(held.ok()) << held.status().message();
  EXPECT_TRUE(GuestLock::Take(directory_ + "/run", kOther, milliseconds(0)).ok());
  const auto busy = GuestLock::Take(directory_ + "/run", kUuid, milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(busy.status()));
  EXPECT_EQ(busy.status().message(), "the guest's shares are being changed by process " + std::to_string(getpid()));

  std::thread waiter([&] { EXPECT_TRUE(GuestLock::Take(directory_ + "/run", kUuid, std::chrono::seconds(60)).ok()); });
  held = absl::CancelledError();
  waiter.join();
}

TEST_F(RecordStoreTest, AHolderThatIsKilledHoldsNoMore) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto held = GuestLock::Take(directory_, kUuid, milliseconds(0));
    (void)!write(ready[1], held.ok() ? "y" : "n", 1);
    for (;;) pause();
  }
  char said = 0;
  ASSERT_EQ(read(ready[0], &said, 1), 1);
  EXPECT_EQ(said, 'y');
  EXPECT_FALSE(GuestLock::Take(directory_, kUuid, milliseconds(0)).ok());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(GuestLock::Take(directory_, kUuid, milliseconds(0)).ok());
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace virtfs::toolstack
