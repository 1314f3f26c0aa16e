// The main function of a fuzzer that is built as a test: runs each file named on the command line as one test case.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

class CorpusTest : public testing::Test {
 public:
  explicit CorpusTest(std::string path) : path_(std::move(path)) {}

  void TestBody() override {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path_.c_str(), "rb"), std::fclose);
    ASSERT_TRUE(file) << path_;
    ASSERT_EQ(std::fseek(file.get(), 0, SEEK_END), 0);
    const auto size = static_cast<size_t>(std::ftell(file.get()));
    std::rewind(file.get());
    // A heap block of exactly the input's size, so that AddressSanitizer sees a byte read too many.
    const std::unique_ptr<uint8_t[]> data(new uint8_t[size]);
    ASSERT_EQ(std::fread(data.get(), 1, size, file.get()), size);
    EXPECT_EQ(LLVMFuzzerTestOneInput(data.get(), size), 0);
  }

 private:
  const std::string path_;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string path = argv[i];
    testing::RegisterTest("Corpus", path.substr(path.rfind('/') + 1).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [path] { return new CorpusTest(path); });
  }
  return RUN_ALL_TESTS();
}
