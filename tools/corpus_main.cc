// The main function of a fuzzer that is built as a test: runs each file named on the command line as one test case.
#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// Set before gtest asks for the parameters.
std::vector<std::string>& Paths() {
  static auto& paths = *new std::vector<std::string>();
  return paths;
}

class CorpusTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusTest, testing::ValuesIn(Paths()), [](const auto& test) {
  std::string name = test.param.substr(test.param.rfind('/') + 1);
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
});

TEST_P(CorpusTest, Runs) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(GetParam().c_str(), "rb"), std::fclose);
  ASSERT_TRUE(file) << GetParam();
  ASSERT_EQ(std::fseek(file.get(), 0, SEEK_END), 0);
  const auto size = static_cast<size_t>(std::ftell(file.get()));
  std::rewind(file.get());
  // A heap block of exactly the input's size, so that AddressSanitizer sees a byte read too many.
  const std::unique_ptr<uint8_t[]> data(new uint8_t[size]);
  ASSERT_EQ(std::fread(data.get(), 1, size, file.get()), size);
  EXPECT_EQ(LLVMFuzzerTestOneInput(data.get(), size), 0);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).substr(0, 2) != "--") Paths().emplace_back(argv[i]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
