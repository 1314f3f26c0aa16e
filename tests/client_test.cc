// virtfs-client, as a user of a guest meets it.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/client_fixture.h"

namespace virtfs {
namespace {

class ClientCommandTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    Share("in");
    Share("out");
    Share("locked", ",readonly");
    // A tree with something of everything.
    ASSERT_EQ(mkdir(Path("in/dir").c_str(), 0750), 0);
    ASSERT_EQ(mkdir(Path("in/dir/deep er").c_str(), 0700), 0);
    WriteFile("in/hello", "hello, guest\n");
    WriteFile("in/empty", "");
    std::string large(3'000'017, ' ');
    for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 + (i >> 13));
    WriteFile("in/dir/large", large);
    WriteFile("in/dir/deep er/\xff name", "bytes");
    ASSERT_EQ(chmod(Path("in/hello").c_str(), 04751), 0);
    ASSERT_EQ(symlink("../hello", Path("in/dir/link").c_str()), 0);
    ASSERT_EQ(symlink("/nowhere/at/all", Path("in/broken").c_str()), 0);
    const timespec times[2] = {{1'000'000'000, 5}, {1'234'567'890, 123'456'789}};
    for (const char* name : {"in/hello", "in/dir/large", "in/broken", "in/dir"}) {
      ASSERT_EQ(utimensat(AT_FDCWD, Path(name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
    }
  }

  // Everything that compare names, as its output.
  std::string Compare(const std::string& one, const std::string& other, int expected_status) {
    std::string output;
    EXPECT_EQ(Client({"compare", one, other}, &output), expected_status) << output;
    return output;
  }
};

TEST_F(ClientCommandTest, TreeOutAndInIsTheSame) {
  ASSERT_EQ(Client({"cp", "-r", "in:/", Path("guest")}), 0);
  EXPECT_EQ(Compare(Path("in"), Path("guest"), 0), "4 files, 3 directories, 2 symlinks, 3000035 bytes: the same\n");
  ASSERT_EQ(Client({"cp", "-r", Path("guest"), "out:/"}), 0);
  Compare(Path("in"), Path("out/guest"), 0);
  // From share to share, over what is there, at the least msize and one request at a time.
  ASSERT_EQ(Client({"--msize", "4096", "--depth", "1", "cp", "-r", "in:/", "out:/guest"}), 0);
  Compare("in:/", "out:/guest", 0);
}

TEST_F(ClientCommandTest, FlippedByteIsNamed) {
  ASSERT_EQ(Client({"cp", "-r", "in:/", Path("guest")}), 0);
  struct stat info;
  ASSERT_EQ(stat(Path("guest/dir/large").c_str(), &info), 0);
  const int fd = open(Path("guest/dir/large").c_str(), O_RDWR | O_CLOEXEC);
  char byte;
  ASSERT_EQ(pread(fd, &byte, 1, 2'000'000), 1);
  byte = static_cast<char>(byte ^ 1);
  ASSERT_EQ(pwrite(fd, &byte, 1, 2'000'000), 1);
  const timespec times[2] = {info.st_atim, info.st_mtim};
  ASSERT_EQ(futimens(fd, times), 0);
  close(fd);
  EXPECT_EQ(Compare(Path("in"), Path("guest"), 1), "dir/large: content, first at byte 2000000\n");
  EXPECT_EQ(Compare("in:/", Path("guest"), 1), "dir/large: content, first at byte 2000000\n");
}

TEST_F(ClientCommandTest, LooksAtFiles) {
  std::string output;
  EXPECT_EQ(Client({"ls", "in:/"}, &output), 0);
  EXPECT_EQ(output, "broken\ndir\nempty\nhello\n");
  EXPECT_EQ(Client({"ls", "-l", "in:/"}, &output), 0);
  EXPECT_NE(output.find("-rwsr-x--x   1     0     0         13 "), std::string::npos) << output;
  EXPECT_NE(output.find("broken -> /nowhere/at/all\n"), std::string::npos) << output;
  EXPECT_EQ(Client({"--tag", "in", "ls", ":/dir/deep er"}, &output), 0);
  EXPECT_EQ(output, "\xff name\n");
  EXPECT_EQ(Client({"cat", "in:/hello", "in:/dir/deep er/\xff name"}, &output), 0);
  EXPECT_EQ(output, "hello, guest\nbytes");
  EXPECT_EQ(Client({"stat", "in:/hello"}, &output), 0);
  EXPECT_NE(output.find("-rwsr-x--x (4751)  owner 0:0  links 1"), std::string::npos) << output;
  EXPECT_NE(output.find(".123456789\n"), std::string::npos) << output;
}

TEST_F(ClientCommandTest, GetsPutsAndRemoves) {
  EXPECT_EQ(Client({"get", "in:/dir/large", Path("large")}), 0);
  EXPECT_EQ(ReadFile("large"), ReadFile("in/dir/large"));
  EXPECT_EQ(Client({"put", Path("large"), "out:/as this"}), 0);
  EXPECT_EQ(ReadFile("out/as this"), ReadFile("in/dir/large"));
  EXPECT_EQ(Client({"put", Path("large"), "out:/"}), 0);
  EXPECT_EQ(ReadFile("out/large"), ReadFile("in/dir/large"));
  EXPECT_EQ(Client({"rm", "out:/large"}), 0);
  EXPECT_NE(access(Path("out/large").c_str(), F_OK), 0);

  ASSERT_EQ(Client({"cp", "-r", "in:/dir", "in:/hello", "out:/"}), 0);
  std::string output;
  EXPECT_EQ(Client({"rm", "out:/dir"}, &output), 1);
  EXPECT_EQ(output, "virtfs-client: out:/dir: Is a directory\n");
  EXPECT_EQ(Client({"rm", "-r", "out:/dir", "out:/as this"}), 0);
  EXPECT_EQ(Client({"ls", "out:/"}, &output), 0);
  EXPECT_EQ(output, "hello\n");
}

TEST_F(ClientCommandTest, SaysWhatCannotBe) {
  std::string output;
  EXPECT_EQ(Client({"cat", "in:/no such"}, &output), 1);
  EXPECT_EQ(output, "virtfs-client: in:/no such: No such file or directory\n");
  EXPECT_EQ(Client({"--timeout", "1", "ls", "other:/"}, &output), 1);
  EXPECT_EQ(output, "virtfs-client: no share with the tag 'other'; this guest has: in, out, locked\n");
  EXPECT_EQ(Client({"put", Path("in/hello"), "locked:/"}, &output), 1);
  EXPECT_NE(output.find("Read-only file system"), std::string::npos) << output;
  EXPECT_EQ(Client({"cp", "in:/dir", Path("x")}, &output), 1);
  EXPECT_EQ(output, "virtfs-client: in:/dir: is a directory; use cp -r\n");
  EXPECT_EQ(Client({"rm", "-r", Path("in")}, &output), 1);
  EXPECT_TRUE(std::filesystem::exists(Path("in/hello")));
  EXPECT_EQ(Client({"cat", "in:/../etc/passwd"}, &output), 1);
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"fly"},
                                                {"ls"},
                                                {"compare", "in:/"},
                                                {"--depth", "0", "ls", "in:/"},
                                                {"--msize"}}) {
    EXPECT_EQ(Client(wrong, &output), 2) << output;
    EXPECT_NE(output.find("--help"), std::string::npos) << output;
  }
  EXPECT_EQ(Client({"--help"}, &output), 0);
  EXPECT_NE(output.find("usage: virtfs-client"), std::string::npos);
}

TEST_F(ClientCommandTest, SpecialFilesAreNamedAndLeftOut) {
  ASSERT_EQ(mkfifo(Path("in/fifo").c_str(), 0600), 0);
  std::string output;
  EXPECT_EQ(Client({"cp", "-r", "in:/", Path("guest")}, &output), 0);
  EXPECT_EQ(output, "virtfs-client: in:/fifo: left out: it is neither file, directory nor symlink\n");
  EXPECT_EQ(Compare("in:/", Path("guest"), 1).find("fifo: only in the first"), 0U);
  EXPECT_EQ(Client({"--skip-special", "compare", "in:/", Path("guest")}), 0);
}

TEST_F(ClientCommandTest, ShareIsUsedByOneAtATimeAndOutlivesAKilledUser) {
  Connection held = ConnectShare("in");
  ASSERT_TRUE(held);
  std::string output;
  EXPECT_EQ(Client({"--timeout", "1", "ls", "in:/"}, &output), 1);
  EXPECT_EQ(output, "virtfs-client: another process of this guest uses the share\n");
  EXPECT_EQ(Client({"ls", "out:/"}), 0);
  held.Close();
  // cat cannot end while nobody reads its output; it dies in the middle.
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  const int reader = open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const std::shared_ptr<Process> killed = xen_->Spawn(
      {"/bin/sh", "-c", "exec \"$0\" cat in:/dir/large >\"$1\"", Program("frontend/virtfs-client"), Path("pipe")},
      kGuest);
  pollfd readable = {reader, POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, static_cast<int>(kBound.count())), 1);
  killed->Kill();
  close(reader);
  EXPECT_EQ(Client({"cat", "in:/hello"}, &output), 0);
  EXPECT_EQ(output, "hello, guest\n");
}

TEST_F(ClientCommandTest, TenThousandNames) {
  std::vector<std::string> names;
  for (int i = 0; i < 10'000; ++i) {
    names.push_back("a name that is not too short " + std::to_string(i));
    close(open(Path("in/dir/" + names.back()).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  }
  for (const char* there : {"deep er", "large", "link"}) names.emplace_back(there);
  std::sort(names.begin(), names.end());
  std::string expected;
  for (const std::string& name : names) expected += name + "\n";
  for (const char* msize : {"4096", "524288"}) {
    std::string output;
    EXPECT_EQ(Client({"--msize", msize, "ls", "in:/dir"}, &output), 0);
    EXPECT_TRUE(output == expected) << "at msize " << msize;
  }
}

}  // namespace
}  // namespace virtfs
