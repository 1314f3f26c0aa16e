// docs/virtfs.md and <xen/io/virtfs.h> agree, field by field; the worked examples are what codec and compiler make of
// them; and the comparison notices when something is changed.

#include <gtest/gtest.h>
#include <xen/io/virtfs.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "protocol/codec.h"
#include "tests/spec/agreement.h"
#include "tests/spec/document.h"

namespace virtfs::spec {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

const std::string& Document() {
  static const std::string text = ReadFile("docs/virtfs.md");
  return text;
}

const std::string& Header() {
  static const std::string text = ReadFile("include/xen/io/virtfs.h");
  return text;
}

const std::string& Manual() {
  static const std::string text = ReadFile("docs/man/virtfs-attach.8");
  return text;
}

TEST(SpecTest, LayoutsAgree) { EXPECT_EQ(CompareLayouts(Document(), Header()), Differences()); }
TEST(SpecTest, ConstantsAgree) { EXPECT_EQ(CompareConstants(Document(), Header()), Differences()); }
TEST(SpecTest, NodesAgree) { EXPECT_EQ(CompareNodes(Document(), Header()), Differences()); }
TEST(SpecTest, OptionsAgree) { EXPECT_EQ(CompareOptions(Document(), Manual()), Differences()); }
TEST(SpecTest, StatesAgree) { EXPECT_EQ(CompareStates(Document()), Differences()); }
TEST(SpecTest, SectionsExist) { EXPECT_EQ(CompareSections(Document()), Differences()); }

Differences CompareAll(const std::string& document, const std::string& header) {
  Differences all = CompareLayouts(document, header);
  for (const Differences& some : {CompareConstants(document, header), CompareNodes(document, header),
                                  CompareStates(document), CompareSections(document)}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

// One change to one of the two texts. Replaces the first `from`, which must be there.
struct Change {
  const char* name;
  bool in_header;
  const char* from;
  const char* to;
};

TEST(SpecTest, AnOptionThatIsToldWrongIsNoticed) {
  const struct {
    bool in_manual;
    const char *from, *to;
  } kChanges[] = {
      {true, ".BI fmode=", ".BI gmode="},
      {true, "Default: 1048576", "Default: 1048577"},
      {false, "| `P/squash` |", "| `P/squish` |"},
      {false, "| \"16384\" |", "| \"16385\" |"},
      {false, "| `P/max-files` |", "| `B/max-files` |"},
  };
  for (const auto& [in_manual, from, to] : kChanges) {
    std::string document = Document(), manual = Manual();
    std::string& text = in_manual ? manual : document;
    const size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    text.replace(at, std::strlen(from), to);
    EXPECT_NE(CompareOptions(document, manual), Differences()) << from;
  }
}

class ChangeTest : public testing::TestWithParam<Change> {};

TEST_P(ChangeTest, IsNoticed) {
  const Change& change = GetParam();
  std::string document = Document();
  std::string header = Header();
  std::string& text = change.in_header ? header : document;
  const size_t at = text.find(change.from);
  ASSERT_NE(at, std::string::npos) << "this test no longer finds what it wants to change";
  text.replace(at, std::strlen(change.from), change.to);
  EXPECT_NE(CompareAll(document, header), CompareAll(Document(), Header()));
}

constexpr bool kDocument = false;
constexpr bool kHeader = true;

INSTANTIATE_TEST_SUITE_P(
    Spec, ChangeTest,
    testing::Values(
        Change{"RequestOffset", kDocument, "| `flags` | 6 |", "| `flags` | 8 |"},
        Change{"RequestSize", kDocument, "| `size` | 10 | 2 |", "| `size` | 10 | 4 |"},
        Change{"ResponseOrder", kDocument, "| `status` | 2 |", "| `status` | 4 |"},
        Change{"FieldMissing", kDocument, "| `rsp_event` | 12 | 4 |\n", ""},
        Change{"DocumentDiagramName", kDocument, "|              id               |             size",
               "|              it               |             size"},
        Change{"DocumentDiagramOffset", kDocument, "        8 |              id ", "        6 |              id "},
        Change{"HeaderDiagramName", kHeader, "|        id         |       size        |   8",
               "|        id         |       length      |   8"},
        Change{"HeaderDiagramOffset", kHeader, "|      offset       |       flags       |   4",
               "|      offset       |       flags       |   6"},
        Change{"HeaderRingOffset", kHeader, "|               rsp_prod                |   8",
               "|               rsp_prod                |  12"},
        Change{"NewMember", kHeader, "    int16_t  status;", "    uint16_t spare;\n    int16_t  status;"},
        Change{"FlagBit", kDocument, "| `XEN_VIRTFSF_WRITE` | 1 | 2 |", "| `XEN_VIRTFSF_WRITE` | 2 | 2 |"},
        Change{"FlagValue", kDocument, "| `XEN_VIRTFSF_INDIRECT` | 2 | 4 |", "| `XEN_VIRTFSF_INDIRECT` | 2 | 8 |"},
        Change{"StatusValue", kDocument, "`XEN_VIRTFS_STATUS_NO_ROOM` | -6", "`XEN_VIRTFS_STATUS_NO_ROOM` | -7"},
        Change{"StatusMissing", kDocument, "| `XEN_VIRTFS_STATUS_BAD_ORDER` |", "| `XEN_VIRTFS_STATUS_ORDER` |"},
        Change{"LimitValue", kDocument, "| `XEN_VIRTFS_MAX_CHAIN_SLOTS` | 4092 |",
               "| `XEN_VIRTFS_MAX_CHAIN_SLOTS` | 4096 |"},
        Change{"NewMacro", kHeader, "#define XEN_VIRTFS_SLOT_SIZE",
               "#define XEN_VIRTFS_SPARE 1\n#define XEN_VIRTFS_SLOT_SIZE"},
        Change{"MacroGone", kHeader, "#define XEN_VIRTFS_STATUS_NO_ROOM ", "#define XEN_VIRTFS_STATUS_ROOM "},
        Change{"NodeName", kDocument, "`B/max-chain-slots`", "`B/max-chain-length`"},
        Change{"NodeMissing", kDocument, "| `F/tag` |", "| `F/label` |"},
        Change{"NodeNew", kDocument, "| `P/readonly` |", "| `P/colour` | x | x | x | x | x |\n| `P/readonly` |"},
        Change{"NodeElsewhere", kDocument, "| `P/path` |", "| `B/path` |"},
        Change{"NodeBounds", kDocument, "| 0 to 512: segments", "| 0 to 1024: segments"},
        Change{"HeaderNodeBounds", kHeader, "16 .. 4092", "16 .. 4096"},
        Change{"HeaderNode", kHeader, " *    B/session-id ", " *    B/session "},
        Change{"StateNumber", kDocument, "| Closing | 5 |", "| Closing | 6 |"},
        Change{"Section", kDocument, "(section 9.1)", "(section 9.9)"}),
    [](const testing::TestParamInfo<Change>& info) { return std::string(info.param.name); });

// The bytes of an object of the ABI.
template <typename T>
void Append(std::vector<uint8_t>& out, const T& object) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&object);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

template <typename... Ts>
std::vector<uint8_t> BytesOf(const Ts&... objects) {
  std::vector<uint8_t> out;
  (Append(out, objects), ...);
  return out;
}

xen_virtfsif_request Slot(grant_ref_t gref, uint16_t offset, unsigned flags, uint16_t id, uint16_t size) {
  return {gref, offset, static_cast<uint16_t>(flags), id, size};
}

TEST(ExampleTest, SlotsAreWhatTheCompilerMakes) {
  EXPECT_EQ(FindDump(Document(), "getattr slots"),
            BytesOf(Slot(260, 0, XEN_VIRTFSF_MORE, 0x28, 19), Slot(261, 0, XEN_VIRTFSF_WRITE, 0x29, 160)));
  EXPECT_EQ(FindDump(Document(), "getattr responses"),
            BytesOf(xen_virtfsif_response{0x28, XEN_VIRTFS_STATUS_OKAY}, xen_virtfsif_response{0x29, 0}));
  EXPECT_EQ(FindDump(Document(), "read slots"), BytesOf(Slot(260, 0, XEN_VIRTFSF_MORE, 0x2a, 23),
                                                        Slot(260, 4085, XEN_VIRTFSF_MORE | XEN_VIRTFSF_WRITE, 0x2b, 11),
                                                        Slot(315, 0, XEN_VIRTFSF_WRITE, 0x3b, 4096)));
  EXPECT_EQ(FindDump(Document(), "read segments"),
            BytesOf(xen_virtfsif_segment{260, 4085, 11}, xen_virtfsif_segment{300, 0, 4096}));
}

template <typename M>
M Decoded(const std::vector<uint8_t>& frame, p9::Tag tag) {
  const auto header = p9::ParseHeader(frame);
  EXPECT_TRUE(header.ok() && header->tag == tag);
  const auto message = p9::Decode<M>(frame);
  EXPECT_TRUE(message.ok());
  return message.ok() ? *message : M();
}

TEST(ExampleTest, MessagesDecode) {
  const auto getattr = Decoded<p9::Tgetattr>(FindDump(Document(), "getattr request"), 5);
  EXPECT_EQ(getattr.fid, 1u);
  EXPECT_EQ(getattr.request_mask, 0x7ffu);

  const auto attributes = Decoded<p9::Rgetattr>(FindDump(Document(), "getattr reply"), 5);
  EXPECT_EQ(attributes.valid, 0x7ffu);
  EXPECT_EQ(attributes.qid.path, 42u);
  EXPECT_EQ(attributes.mode, 0100644u);
  EXPECT_EQ(attributes.size, 5u);
  EXPECT_EQ(attributes.mtime_sec, 1700000001u);

  EXPECT_EQ(Decoded<p9::Rlerror>(FindDump(Document(), "rlerror"), 5).ecode, 9u);

  const auto read = Decoded<p9::Tread>(FindDump(Document(), "read request"), 6);
  EXPECT_EQ(read.fid, 2u);
  EXPECT_EQ(read.offset, 0x20000u);
  EXPECT_EQ(read.count, 65536u);

  EXPECT_EQ(Decoded<p9::Rread>(FindDump(Document(), "read reply head"), 6).count, 1000u);
}

// Section 10.5: bytes of the replies whose length is always the same.
TEST(ReplyTest, FixedSizesAreThoseOfTheCodec) {
  const Table table = FindTable(Document(), "Reply");
  auto size_of = [&](std::string_view message) -> std::string {
    for (const auto& row : table.rows) {
      if ((", " + row[0] + ",").find(", " + std::string(message) + ",") != std::string::npos) return row[1];
    }
    return "missing";
  };
  const std::pair<std::string_view, size_t> kReplies[] = {
      {"Rlerror", p9::kMinHeadSize<p9::Rlerror>},       {"Rclunk", p9::kMinHeadSize<p9::Rclunk>},
      {"Rflush", p9::kMinHeadSize<p9::Rflush>},         {"Rfsync", p9::kMinHeadSize<p9::Rfsync>},
      {"Rlink", p9::kMinHeadSize<p9::Rlink>},           {"Rremove", p9::kMinHeadSize<p9::Rremove>},
      {"Rrename", p9::kMinHeadSize<p9::Rrename>},       {"Rrenameat", p9::kMinHeadSize<p9::Rrenameat>},
      {"Rsetattr", p9::kMinHeadSize<p9::Rsetattr>},     {"Runlinkat", p9::kMinHeadSize<p9::Runlinkat>},
      {"Rlock", p9::kMinHeadSize<p9::Rlock>},           {"Rwrite", p9::kMinHeadSize<p9::Rwrite>},
      {"Rattach", p9::kMinHeadSize<p9::Rattach>},       {"Rmkdir", p9::kMinHeadSize<p9::Rmkdir>},
      {"Rmknod", p9::kMinHeadSize<p9::Rmknod>},         {"Rsymlink", p9::kMinHeadSize<p9::Rsymlink>},
      {"Rlcreate", p9::kMinHeadSize<p9::Rlcreate>},     {"Rlopen", p9::kMinHeadSize<p9::Rlopen>},
      {"Rstatfs", p9::kMinHeadSize<p9::Rstatfs>},       {"Rgetattr", p9::kMinHeadSize<p9::Rgetattr>},
      {"Rxattrwalk", p9::kMinHeadSize<p9::Rxattrwalk>}, {"Rxattrcreate", p9::kMinHeadSize<p9::Rxattrcreate>},
  };
  for (const auto& [name, size] : kReplies) EXPECT_EQ(size_of(name), std::to_string(size)) << name;
  EXPECT_EQ(size_of("Rwalk"), std::to_string(p9::kMinHeadSize<p9::Rwalk>) + " + 13 * nwname");
  EXPECT_EQ(size_of("Rreadlink"), std::to_string(p9::kMinHeadSize<p9::Rreadlink>) + " + length of the target");
  EXPECT_EQ(size_of("Rgetlock"), std::to_string(p9::kMinHeadSize<p9::Rgetlock>) + " + length of client_id");
  EXPECT_EQ(size_of("Rread"), std::to_string(p9::kMinHeadSize<p9::Rread>) + " + count");
  EXPECT_EQ(size_of("Rreaddir"), std::to_string(p9::kMinHeadSize<p9::Rreaddir>) + " + count");
  EXPECT_EQ(size_of("Rversion"), std::to_string(p9::kMinHeadSize<p9::Rversion> + std::strlen("9P2000.L")));
}

}  // namespace
}  // namespace virtfs::spec
