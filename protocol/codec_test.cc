#include "protocol/codec.h"

#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/golden.h"

namespace virtfs::p9 {
namespace {

using Bytes = std::vector<uint8_t>;

void SetSize(Bytes& frame, size_t size) {
  for (size_t i = 0; i < 4; ++i) frame[i] = static_cast<uint8_t>(size >> (8 * i));
}

template <Message M>
bool Decodes(const Bytes& frame) {
  return Decode<M>(frame).ok();
}

// One message, its golden bytes, and the codec's functions for it: so that the tests below are compiled once.
struct GoldenCase {
  std::string_view name;
  uint8_t type;
  bool has_payload;
  size_t head;  // Bytes before the payload.
  std::string_view bytes;
  // Nothing, or whether it is the golden message. EINVAL is the only error.
  std::optional<bool> (*decode)(std::span<const uint8_t>);
  size_t (*encode)(std::span<uint8_t>);

  template <Message M>
  static GoldenCase Of() {
    return {
        .name = MessageName<M>(),
        .type = M::kType,
        .has_payload = PayloadMessage<M>,
        .head = EncodedSize(Golden<M>::kMessage),
        .bytes = Golden<M>::kBytes,
        .decode = [](std::span<const uint8_t> frame) -> std::optional<bool> {
          const Result<M> message = Decode<M>(frame);
          if (message.ok()) return *message == Golden<M>::kMessage;
          ExpectInvalid(message.error());
          return {};
        },
        .encode = [](std::span<uint8_t> out) { return Encode(kGoldenTag, Golden<M>::kMessage, out); },
    };
  }

  friend void PrintTo(const GoldenCase& golden, std::ostream* out) { *out << golden.name; }

  static void ExpectInvalid(Errno error) { EXPECT_EQ(error, Errno(EINVAL)); }
};

std::vector<GoldenCase> GoldenCases() {
  std::vector<GoldenCase> cases;
  ForEachMessage(Messages(), [&]<Message M>() { cases.push_back(GoldenCase::Of<M>()); });
  return cases;
}

// What every message must do.
class GoldenTest : public testing::TestWithParam<GoldenCase> {
 protected:
  bool Decodes(const Bytes& bytes) const { return golden_.decode(bytes).has_value(); }

  Bytes Cut(size_t size) const { return Bytes(frame_.begin(), frame_.begin() + static_cast<ptrdiff_t>(size)); }

  const GoldenCase& golden_ = GetParam();
  const Bytes frame_ = BytesOf(golden_.bytes);
  const Bytes head_ = Cut(golden_.head);
};

INSTANTIATE_TEST_SUITE_P(Messages, GoldenTest, testing::ValuesIn(GoldenCases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(GoldenTest, EncodesToTheBytes) {
  ASSERT_TRUE(golden_.has_payload ? golden_.head < frame_.size() : golden_.head == frame_.size());
  Bytes out(golden_.head, 0xaa);
  ASSERT_EQ(golden_.encode(out), golden_.head);
  EXPECT_EQ(out, head_);

  const Bytes untouched(golden_.head - 1, 0xaa);
  out = untouched;
  EXPECT_EQ(golden_.encode(out), 0u) << "one byte too small";
  EXPECT_EQ(out, untouched);
}

TEST_P(GoldenTest, DecodesFromTheBytes) {
  EXPECT_EQ(golden_.decode(frame_), true);
  EXPECT_EQ(golden_.decode(head_), true);
  const auto size = static_cast<uint32_t>(frame_.size());
  EXPECT_EQ(*ParseHeader(frame_), (Header{.size = size, .type = golden_.type, .tag = kGoldenTag}));
  EXPECT_EQ(HeadSize(golden_.type, size), golden_.head);
  EXPECT_EQ(*VisitMessage(frame_, []<Message M>(const M&) { return MessageName<M>(); }), golden_.name);
}

TEST_P(GoldenTest, RefusesWhatIsCutShort) {
  for (size_t size = 0; size < frame_.size(); ++size) {
    Bytes cut = Cut(size);
    EXPECT_EQ(Decodes(cut), golden_.has_payload && size == golden_.head) << "cut to " << size;
    if (size < kHeaderSize) continue;
    SetSize(cut, size);
    const bool datasync_left_out = golden_.type == Tfsync::kType && size == kHeaderSize + sizeof(Fid);
    EXPECT_EQ(Decodes(cut), datasync_left_out) << "cut and resized to " << size;
  }
}

TEST_P(GoldenTest, RefusesATrailingByte) {
  Bytes longer = frame_;
  longer.push_back(0);
  EXPECT_FALSE(Decodes(longer));
  SetSize(longer, longer.size());
  EXPECT_FALSE(Decodes(longer));
}

TEST_P(GoldenTest, RefusesAnotherSizeOrType) {
  const size_t size = frame_.size();
  for (const size_t wrong : {size_t{0}, size_t{6}, size - 1, size + 1, size_t{0xffffffff}}) {
    Bytes resized = frame_;
    SetSize(resized, wrong);
    EXPECT_FALSE(Decodes(resized)) << "size[4] = " << wrong;
  }
  Bytes other = frame_;
  other[4] ^= 1;
  EXPECT_FALSE(Decodes(other));
}

TEST(CodecTest, SizesAreKnownBeforehand) {
  static_assert(kHasFixedSize<Rgetattr> && kMinHeadSize<Rgetattr> == 7 + 153);
  static_assert(kHasFixedSize<Rstatfs> && kMinHeadSize<Rstatfs> == 7 + 60);
  static_assert(kHasFixedSize<Rlopen> && kMinHeadSize<Rlopen> == 24);
  static_assert(kErrorReplySize == 11);
  static_assert(!kHasFixedSize<Rwalk> && kMinHeadSize<Rwalk> == 9 && kMaxHeadSize<Rwalk> == 9 + 16 * 13);
  static_assert(!kHasFixedSize<Rreadlink> && kMaxHeadSize<Rreadlink> == 9 + 65535);
  static_assert(!kHasFixedSize<Rread> && kMinHeadSize<Rread> == 11 && kMinHeadSize<Twrite> == 23);
}

TEST(CodecTest, HeaderNeedsSevenBytesAndASizeThatCountsThem) {
  EXPECT_FALSE(ParseHeader({}).ok());
  EXPECT_FALSE(ParseHeader(BytesOf("07 00 00 00  6c  01")).ok());
  EXPECT_FALSE(ParseHeader(BytesOf("06 00 00 00  6c  01 02")).ok());
  EXPECT_EQ(*ParseHeader(BytesOf("ff ff ff ff  00  fe ff")), (Header{.size = 0xffffffff, .type = 0, .tag = 0xfffe}));
}

TEST(CodecTest, HeadSizeIsWhatTheTypeCanHaveAndNoMoreThanTheSize) {
  EXPECT_EQ(HeadSize(Twrite::kType, 512 * 1024), 23u);
  EXPECT_EQ(HeadSize(Twrite::kType, 22), 22u);
  EXPECT_EQ(HeadSize(Rread::kType, 4096), 11u);
  EXPECT_EQ(HeadSize(Rreaddir::kType, 4096), 11u);
  EXPECT_EQ(HeadSize(Twalk::kType, 4096), 4096u);
  EXPECT_EQ(HeadSize(Tclunk::kType, 4096), 11u);
  for (const uint8_t unknown : {0, 10, 112, 127, 128, 255}) EXPECT_EQ(HeadSize(unknown, 4096), kHeaderSize);

  EXPECT_FALSE(Decodes<Tclunk>(BytesOf("00 10 00 00  78  01 02   01 00 00 00")));
  EXPECT_EQ(VisitRequest(BytesOf("00 10 00 00  70  01 02"), [](const auto&) {}).error(), Errno(EOPNOTSUPP));
}

TEST(CodecTest, FsyncWithoutDatasync) {
  const Result<Tfsync> message = Decode<Tfsync>(BytesOf("0b 00 00 00  32  01 02   0a 0b 0c 0d"));
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(*message == (Tfsync{.fid = 0x0d0c0b0a, .datasync = 0}));
}

TEST(CodecTest, WalkTakesSixteenNamesAndNoMore) {
  const auto walk = [](size_t names) {
    Bytes frame = BytesOf("00 00 00 00  6e  01 02   01 00 00 00   02 00 00 00");
    frame.push_back(static_cast<uint8_t>(names));
    frame.push_back(0);
    for (size_t i = 0; i < names; ++i) {
      for (const uint8_t byte : {1, 0, 'a' + static_cast<int>(i)}) frame.push_back(byte);
    }
    SetSize(frame, frame.size());
    return frame;
  };
  EXPECT_TRUE(Decodes<Twalk>(walk(0)));
  const Bytes sixteen = walk(16);
  const Result<Twalk> message = Decode<Twalk>(sixteen);
  ASSERT_TRUE(message.ok());
  ASSERT_EQ(message->wname.size(), 16u);
  EXPECT_EQ(message->wname[15], "p");
  EXPECT_FALSE(Decodes<Twalk>(walk(17)));
}

TEST(CodecTest, StringBeyondTheFrame) {
  EXPECT_FALSE(Decodes<Rreadlink>(BytesOf("0b 00 00 00  17  01 02   ff ff 'ab'")));
  EXPECT_FALSE(Decodes<Rreadlink>(BytesOf("0b 00 00 00  17  01 02   03 00 'ab'")));
  EXPECT_FALSE(Decodes<Rreadlink>(BytesOf("0b 00 00 00  17  01 02   01 00 'ab'")));
  EXPECT_TRUE(Decodes<Rreadlink>(BytesOf("0b 00 00 00  17  01 02   02 00 'ab'")));
}

TEST(CodecTest, StringsHoldAnyBytes) {
  const Bytes frame = BytesOf("0d 00 00 00  17  01 02   04 00  00 2f ff 80");
  const Result<Rreadlink> message = Decode<Rreadlink>(frame);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->target, std::string_view("\0/\xff\x80", 4));
}

TEST(CodecTest, LongestStringIsEncodedALongerOneIsNot) {
  const std::string name(65536, 'n');
  Bytes out(70000);
  const std::string_view longest = std::string_view(name).substr(1);
  ASSERT_EQ(Encode(1, Rreadlink{.target = longest}, out), kMaxHeadSize<Rreadlink>);
  EXPECT_EQ(Decode<Rreadlink>(std::span(out).first(kMaxHeadSize<Rreadlink>))->target, longest);
  EXPECT_EQ(Encode(1, Rreadlink{.target = name}, out), 0u);
  EXPECT_EQ(Encode(1, Twalk{.wname = {"a", name}}, out), 0u);
}

TEST(CodecTest, PayloadIsCountedAndComesWholeOrNotAtAll) {
  Bytes out(64);
  ASSERT_EQ(Encode(1, Twrite{.fid = 1, .offset = 2, .count = 0x10000}, out), 23u);
  EXPECT_EQ(ParseHeader(out)->size, 0x10000u + 23);
  EXPECT_EQ(Encode(1, Rread{.count = 0xffffffff - 11}, out), 11u);
  EXPECT_EQ(Encode(1, Rread{.count = 0xffffffff - 10}, out), 0u) << "more than size[4] can say";

  EXPECT_TRUE(Decodes<Rread>(BytesOf("0d 00 00 00  75  01 02   02 00 00 00")));
  EXPECT_FALSE(Decodes<Rread>(BytesOf("0d 00 00 00  75  01 02   02 00 00 00  'a'")));
  EXPECT_TRUE(Decodes<Rread>(BytesOf("0d 00 00 00  75  01 02   02 00 00 00  'ab'")));
  EXPECT_FALSE(Decodes<Rread>(BytesOf("0d 00 00 00  75  01 02   03 00 00 00  'ab'")));
  EXPECT_FALSE(Decodes<Rread>(BytesOf("0d 00 00 00  75  01 02   01 00 00 00")));
  EXPECT_FALSE(Decodes<Rread>(BytesOf("0a 00 00 00  75  01 02   ff ff ff ff")));
}

TEST(VisitTest, DecodesByTypeOrSaysWhatIsWrong) {
  const auto type_of = [](const auto& request) { return int{request.kType}; };
  EXPECT_EQ(*VisitRequest(BytesOf(Golden<Tlopen>::kBytes), type_of), 12);
  EXPECT_EQ(VisitRequest(BytesOf(Golden<Rlopen>::kBytes), type_of).error(), Errno(EOPNOTSUPP)) << "no request";
  EXPECT_EQ(VisitRequest(BytesOf("07 00 00 00  70  01 02"), type_of).error(), Errno(EOPNOTSUPP)) << "Topen of 9P2000";
  EXPECT_EQ(VisitRequest(BytesOf("08 00 00 00  0c  01 02  00"), type_of).error(), Errno(EINVAL));
  EXPECT_EQ(VisitRequest(BytesOf("07 00 00 00"), type_of).error(), Errno(EINVAL));

  int visited = 0;
  const Result<void> done = VisitRequest(BytesOf(Golden<Tclunk>::kBytes), [&](const auto&) { ++visited; });
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(visited, 1);
}

TEST(DecodeReplyTest, TheReplyOrTheErrnoOfTheServer) {
  EXPECT_EQ(DecodeReply<Tlopen>(BytesOf(Golden<Rlopen>::kBytes))->iounit, 0x34333231u);
  EXPECT_EQ(DecodeReply<Tlopen>(BytesOf(Golden<Rlerror>::kBytes)).error(), Errno(ENOTEMPTY));
  for (const std::string_view bad : {
           "0b 00 00 00  07  01 02   00 00 00 00",  // no error
           "0b 00 00 00  07  01 02   00 10 00 00",  // 4096
           "0b 00 00 00  07  01 02   fe ff ff ff",  // -ENOENT
           "07 00 00 00  6d  01 02",                // an Rflush
           "0a 00 00 00  07  01 02   02 00 00",     // cut short
           "08 00 00 00  0d  01 02   00",
       }) {
    EXPECT_EQ(DecodeReply<Tlopen>(BytesOf(bad)).error(), Errno(EPROTO)) << bad;
  }
}

TEST(DirEntryTest, GoldenBytes) {
  const DirEntry entry = {
      .qid = {.type = 0x80, .version = 0x14131211, .path = 0x2827262524232221},
      .offset = 0x4847464544434241,
      .type = 4,
      .name = "sub",
  };
  const Bytes bytes = BytesOf("80  11 12 13 14  21 22 23 24 25 26 27 28   41 42 43 44 45 46 47 48   04   03 00 'sub'");
  Bytes out(bytes.size());
  ASSERT_EQ(EncodedSize(entry), bytes.size());
  ASSERT_EQ(EncodeDirEntry(entry, out), bytes.size());
  EXPECT_EQ(out, bytes);
  EXPECT_EQ(EncodeDirEntry(entry, std::span(out).first(bytes.size() - 1)), 0u);

  Bytes two = bytes;
  two.insert(two.end(), bytes.begin(), bytes.end());
  std::span<const uint8_t> data = two;
  DirEntry decoded;
  ASSERT_TRUE(DecodeDirEntry(data, decoded));
  EXPECT_TRUE(decoded == entry);
  ASSERT_TRUE(DecodeDirEntry(data, decoded));
  EXPECT_TRUE(data.empty());
  EXPECT_FALSE(DecodeDirEntry(data, decoded));
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::span<const uint8_t> cut = std::span<const uint8_t>(bytes).first(size);
    EXPECT_FALSE(DecodeDirEntry(cut, decoded));
    EXPECT_EQ(cut.size(), size);
  }
}

}  // namespace
}  // namespace virtfs::p9
