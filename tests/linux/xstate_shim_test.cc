// The shim's ptrace is linked in here, in place of libc's.

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <vector>

namespace {

// The legacy area and the header of XSAVE: the least that names what is in the rest.
constexpr size_t kShort = 512 + 64, kMost = size_t{64} * 1024;
// Where the 16 bytes of xmm0 are in it.
constexpr size_t kXmm0 = 160;

class XstateShim : public testing::Test {
 protected:
  void SetUp() override {
    child_ = fork();
    if (child_ == 0) {
      ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      raise(SIGSTOP);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child_, &status, 0), child_);
    ASSERT_TRUE(WIFSTOPPED(status));
    whole_.resize(kMost);
    ASSERT_EQ(Get(&whole_), 0);
    // What makes user-mode Linux fail, on this processor.
    std::vector<char> part(whole_.begin(), whole_.begin() + kShort);
    iovec given = {part.data(), part.size()};
    if (syscall(SYS_ptrace, PTRACE_SETREGSET, child_, NT_X86_XSTATE, &given) == 0) {
      GTEST_SKIP() << "this kernel takes part of the registers";
    }
  }
  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }

  long Get(std::vector<char>* state) const {
    iovec place = {state->data(), state->size()};
    const long result = ptrace(PTRACE_GETREGSET, child_, NT_X86_XSTATE, &place);
    state->resize(place.iov_len);
    return result;
  }

  pid_t child_ = -1;
  std::vector<char> whole_;
};

TEST_F(XstateShim, AShortBufferIsCompleted) {
  std::vector<char> part(whole_.begin(), whole_.begin() + kShort);
  memcpy(&part[kXmm0], "sixteen letters.", 16);
  part[512] |= 2;  // XSTATE_BV: the SSE registers are not at their initial values
  iovec given = {part.data(), part.size()};
  EXPECT_EQ(ptrace(PTRACE_SETREGSET, child_, NT_X86_XSTATE, &given), 0) << strerror(errno);
  std::vector<char> after(kMost);
  ASSERT_EQ(Get(&after), 0);
  EXPECT_EQ(after.size(), whole_.size());
  EXPECT_EQ(std::string(&after[kXmm0], 16), "sixteen letters.");
}

TEST_F(XstateShim, WordsAreReturnedAsByLibc) {
  static long word = 0x1234567890abcdef;
  EXPECT_EQ(ptrace(PTRACE_PEEKDATA, child_, &word, nullptr), 0x1234567890abcdef);
  EXPECT_EQ(ptrace(PTRACE_POKEDATA, child_, &word, 77L), 0);
  EXPECT_EQ(ptrace(PTRACE_PEEKDATA, child_, &word, nullptr), 77);
  EXPECT_EQ(ptrace(PTRACE_PEEKDATA, child_, nullptr, nullptr), -1);
  EXPECT_EQ(errno, EIO);
}

}  // namespace
