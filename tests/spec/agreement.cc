#include "tests/spec/agreement.h"

#include <xen/io/virtfs.h>
#include <xen/io/xenbus.h>

#include <algorithm>
#include <cctype>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "options/option_table.h"
#include "tests/spec/document.h"

namespace virtfs::spec {
namespace {

struct Field {
  std::string_view name;
  size_t offset;
  size_t size;
};

#define FIELD(type, member) \
  Field { #member, offsetof(type, member), sizeof(type::member) }

constexpr Field kRing[] = {
    FIELD(xen_virtfsif_sring, req_prod),  FIELD(xen_virtfsif_sring, req_event), FIELD(xen_virtfsif_sring, rsp_prod),
    FIELD(xen_virtfsif_sring, rsp_event), FIELD(xen_virtfsif_sring, ring),
};
constexpr Field kRequest[] = {
    FIELD(xen_virtfsif_request, gref), FIELD(xen_virtfsif_request, offset), FIELD(xen_virtfsif_request, flags),
    FIELD(xen_virtfsif_request, id),   FIELD(xen_virtfsif_request, size),
};
constexpr Field kResponse[] = {
    FIELD(xen_virtfsif_response, id),
    FIELD(xen_virtfsif_response, status),
};
constexpr Field kSegment[] = {
    FIELD(xen_virtfsif_segment, gref),
    FIELD(xen_virtfsif_segment, offset),
    FIELD(xen_virtfsif_segment, size),
};

struct Layout {
  std::span<const Field> fields;
  std::string_view table;            // title of its first column in the document
  std::string_view document_marker;  // before its diagram
  std::string_view header_marker;
  std::string_view struct_name;  // empty: the struct is not spelled out in the header
  size_t struct_size;
};

const Layout kLayouts[] = {
    {kRing, "Ring field", "### 4.1. Layout", " * RING\n", "", 0},
    {kRequest, "Request field", "### 5.1. Request slot", " * REQUEST SLOT (", "xen_virtfsif_request",
     sizeof(xen_virtfsif_request)},
    {kResponse, "Response field", "### 5.2. Response slot", " * RESPONSE SLOT (", "xen_virtfsif_response",
     sizeof(xen_virtfsif_response)},
    {kSegment, "Segment field", "### 8.4. Indirect segments", " * SEGMENT (", "xen_virtfsif_segment",
     sizeof(xen_virtfsif_segment)},
};

// A macro: its name and, as text, the value that the compiler sees.
struct Macro {
  std::string name;
  std::string value;
};

template <std::integral T>
std::string Text(T value) {
  return std::to_string(value);
}
std::string Text(const char* value) { return '"' + std::string(value) + '"'; }

#define MACRO(name) \
  Macro { #name, Text(name) }

const std::vector<Macro>& Flags() {
  static const std::vector<Macro> flags = {MACRO(XEN_VIRTFSF_MORE), MACRO(XEN_VIRTFSF_WRITE),
                                           MACRO(XEN_VIRTFSF_INDIRECT)};
  return flags;
}

const std::vector<Macro>& FlagBits() {
  static const std::vector<Macro> bits = {MACRO(_XEN_VIRTFSF_MORE), MACRO(_XEN_VIRTFSF_WRITE),
                                          MACRO(_XEN_VIRTFSF_INDIRECT)};
  return bits;
}

const std::vector<Macro>& Statuses() {
  static const std::vector<Macro> statuses = {
      MACRO(XEN_VIRTFS_STATUS_OKAY),       MACRO(XEN_VIRTFS_STATUS_BAD_GREF),  MACRO(XEN_VIRTFS_STATUS_BAD_ORDER),
      MACRO(XEN_VIRTFS_STATUS_BAD_EXTENT), MACRO(XEN_VIRTFS_STATUS_BAD_FLAGS), MACRO(XEN_VIRTFS_STATUS_SHORT_REQUEST),
      MACRO(XEN_VIRTFS_STATUS_NO_ROOM),
  };
  return statuses;
}

const std::vector<Macro>& Limits() {
  static const std::vector<Macro> limits = {
      MACRO(XEN_VIRTFS_PAGE_SIZE),       MACRO(XEN_VIRTFS_RING_HEAD_SIZE),
      MACRO(XEN_VIRTFS_SLOT_SIZE),       MACRO(XEN_VIRTFS_SLOTS_PER_PAGE),
      MACRO(XEN_VIRTFS_RESERVED_SLOTS),  MACRO(XEN_VIRTFS_MIN_CHAIN_SLOTS),
      MACRO(XEN_VIRTFS_MAX_CHAIN_SLOTS), MACRO(XEN_VIRTFS_MAX_RING_PAGE_ORDER),
      MACRO(XEN_VIRTFS_MAX_QUEUES),      MACRO(XEN_VIRTFS_SEGMENT_SIZE),
      MACRO(XEN_VIRTFS_MAX_SEGMENTS),    MACRO(XEN_VIRTFS_MIN_CAPACITY),
      MACRO(XEN_VIRTFS_MIN_REQUEST),     MACRO(XEN_VIRTFS_MIN_MSIZE),
      MACRO(XEN_VIRTFS_MAX_MSIZE),       MACRO(XEN_VIRTFS_DEVICE_TYPE),
      MACRO(XEN_VIRTFS_VERSION),
  };
  return limits;
}

const std::vector<Macro>& NodeMacros() {
  static const std::vector<Macro> nodes = {
      MACRO(XEN_VIRTFS_NODE_FRONTEND),
      MACRO(XEN_VIRTFS_NODE_FRONTEND_ID),
      MACRO(XEN_VIRTFS_NODE_ONLINE),
      MACRO(XEN_VIRTFS_NODE_STATE),
      MACRO(XEN_VIRTFS_NODE_VERSIONS),
      MACRO(XEN_VIRTFS_NODE_MAX_CHAIN_SLOTS),
      MACRO(XEN_VIRTFS_NODE_MAX_RING_PAGE_ORDER),
      MACRO(XEN_VIRTFS_NODE_MULTI_QUEUE_MAX_QUEUES),
      MACRO(XEN_VIRTFS_NODE_FEATURE_PERSISTENT),
      MACRO(XEN_VIRTFS_NODE_FEATURE_MAX_INDIRECT_SEGMENTS),
      MACRO(XEN_VIRTFS_NODE_SESSION_ID),
      MACRO(XEN_VIRTFS_NODE_BACKEND),
      MACRO(XEN_VIRTFS_NODE_BACKEND_ID),
      MACRO(XEN_VIRTFS_NODE_TAG),
      MACRO(XEN_VIRTFS_NODE_VERSION),
      MACRO(XEN_VIRTFS_NODE_RING_PAGE_ORDER),
      MACRO(XEN_VIRTFS_NODE_RING_REF),
      MACRO(XEN_VIRTFS_NODE_EVENT_CHANNEL),
      MACRO(XEN_VIRTFS_NODE_MULTI_QUEUE_NUM_QUEUES),
      MACRO(XEN_VIRTFS_NODE_QUEUE),
      MACRO(XEN_VIRTFS_NODE_PATH),
      MACRO(XEN_VIRTFS_NODE_SECURITY_MODEL),
      MACRO(XEN_VIRTFS_NODE_TRANSPORT),
      MACRO(XEN_VIRTFS_NODE_READONLY),
      MACRO(XEN_VIRTFS_NODE_MAX_MSIZE),
      MACRO(XEN_VIRTFS_NODE_ENFORCE),
      MACRO(XEN_VIRTFS_NODE_UID_MAP),
      MACRO(XEN_VIRTFS_NODE_GID_MAP),
      MACRO(XEN_VIRTFS_NODE_SQUASH),
      MACRO(XEN_VIRTFS_NODE_ANON_UID),
      MACRO(XEN_VIRTFS_NODE_ANON_GID),
      MACRO(XEN_VIRTFS_NODE_FMODE),
      MACRO(XEN_VIRTFS_NODE_DMODE),
      MACRO(XEN_VIRTFS_NODE_UMASK),
      MACRO(XEN_VIRTFS_NODE_MULTIDEVS),
      MACRO(XEN_VIRTFS_NODE_MAX_FIDS),
      MACRO(XEN_VIRTFS_NODE_MAX_OPEN_FILES),
      MACRO(XEN_VIRTFS_NODE_MAX_XATTR_BYTES),
      MACRO(XEN_VIRTFS_NODE_MAX_LOCKS),
      MACRO(XEN_VIRTFS_NODE_MAX_REQUESTS),
      MACRO(XEN_VIRTFS_NODE_MAX_FILES),
      MACRO(XEN_VIRTFS_NODE_MAX_SPACE),
      MACRO(XEN_VIRTFS_NODE_THROTTLE_OPS),
      MACRO(XEN_VIRTFS_NODE_THROTTLE_OPS_BURST),
      MACRO(XEN_VIRTFS_NODE_THROTTLE_BYTES),
      MACRO(XEN_VIRTFS_NODE_THROTTLE_BYTES_BURST),
      MACRO(XEN_VIRTFS_NODE_ERROR),
  };
  return nodes;
}

void Expect(Differences& out, bool holds, std::string sentence) {
  if (!holds) out.push_back(std::move(sentence));
}

std::string Cell(const std::vector<std::string>& row, size_t column) {
  return column < row.size() ? row[column] : std::string();
}

// Everything that is in one list and not in the other.
void CompareSets(Differences& out, std::vector<std::string> a, std::string_view where_a, std::vector<std::string> b,
                 std::string_view where_b) {
  for (auto* list : {&a, &b}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  for (const std::string& name : a) {
    Expect(out, std::binary_search(b.begin(), b.end(), name),
           name + " is in " + std::string(where_a) + " and not in " + std::string(where_b));
  }
  for (const std::string& name : b) {
    Expect(out, std::binary_search(a.begin(), a.end(), name),
           name + " is in " + std::string(where_b) + " and not in " + std::string(where_a));
  }
}

void CompareDiagram(Differences& out, const Layout& layout, const std::vector<Box>& boxes, std::string_view where) {
  for (const Field& field : layout.fields) {
    const std::string name(field.name);
    // The array of slots is drawn as its first element.
    const std::string drawn = field.name == "ring" ? "slot 0" : name;
    const auto box = std::find_if(boxes.begin(), boxes.end(), [&](const Box& b) {
      return b.name.substr(0, b.name.find_first_of(",(")) == drawn || b.name.substr(0, drawn.size() + 1) == drawn + " ";
    });
    if (box == boxes.end()) {
      out.push_back(name + " is not in the diagram of " + std::string(where));
      continue;
    }
    Expect(out, box->offset == static_cast<int>(field.offset),
           name + " is at " + Text(box->offset) + " in the diagram of " + std::string(where));
    // Rows are 4 bytes wide: what is longer has its length in words.
    if (field.size <= 4) {
      Expect(out, box->size == static_cast<int>(field.size),
             name + " has " + Text(box->size) + " bytes in the diagram of " + std::string(where));
    } else {
      Expect(out, box->name.find(Text(field.size)) != std::string::npos,
             name + " has not its size in the diagram of " + std::string(where));
    }
  }
}

// The table's rows are exactly `macros` with these values.
void CompareTable(Differences& out, std::string_view document, std::string_view first_column, size_t value_column,
                  const std::vector<Macro>& macros) {
  const Table table = FindTable(document, first_column);
  std::vector<std::string> in_document, compiled;
  for (const auto& row : table.rows) {
    in_document.push_back(row[0]);
    const auto macro = std::find_if(macros.begin(), macros.end(), [&](const Macro& m) { return m.name == row[0]; });
    if (macro == macros.end()) continue;
    Expect(out, macro->value == Cell(row, value_column),
           row[0] + " is " + macro->value + " in the header and " + Cell(row, value_column) + " in the document");
  }
  for (const Macro& macro : macros) compiled.push_back(macro.name);
  CompareSets(out, in_document, "the document's table", compiled, "the header");
}

std::string NodeMacroName(std::string_view node) {
  std::string name = "XEN_VIRTFS_NODE_";
  for (char c : node) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

// "0 to 512: segments" -> "0 .. 512", as the header writes it; empty if the cell has no bounds in numbers.
std::string Bounds(std::string_view values) {
  const size_t to = values.find(" to ");
  if (to == values.npos || to == 0) return {};
  const std::string_view low = values.substr(0, to);
  if (low.find_first_not_of("0123456789") != low.npos) return {};
  const std::string_view rest = values.substr(to + 4);
  const std::string_view high = rest.substr(0, rest.find_first_of(" :;,"));
  return std::string(low) + " .. " + std::string(high);
}

}  // namespace

Differences CompareLayouts(std::string_view document, std::string_view header) {
  Differences out;
  for (const Layout& layout : kLayouts) {
    const std::string title(layout.table);
    const Table table = FindTable(document, layout.table);
    Expect(out, table.rows.size() == layout.fields.size(), title + ": the table has not as many rows as fields");
    size_t size = 0;
    for (size_t i = 0; i < layout.fields.size(); ++i) {
      const Field& field = layout.fields[i];
      size += field.size;
      const std::vector<std::string> row = i < table.rows.size() ? table.rows[i] : std::vector<std::string>();
      Expect(out, Cell(row, 0) == field.name, title + ": " + std::string(field.name) + " is not row " + Text(i));
      Expect(out, Cell(row, 1) == Text(field.offset), title + " " + std::string(field.name) + ": offset");
      Expect(out, Cell(row, 2) == Text(field.size), title + " " + std::string(field.name) + ": size");
    }
    CompareDiagram(out, layout, FindDiagram(document, layout.document_marker), "the document");
    CompareDiagram(out, layout, FindDiagram(header, layout.header_marker), "the header");
    if (layout.struct_name.empty()) continue;
    Expect(out, size == layout.struct_size, std::string(layout.struct_name) + " has bytes that no field names");
    std::vector<std::string> fields;
    for (const Field& field : layout.fields) fields.emplace_back(field.name);
    Expect(out, MemberNames(header, layout.struct_name) == fields,
           std::string(layout.struct_name) + " has other members in the header's text");
  }
  return out;
}

Differences CompareConstants(std::string_view document, std::string_view header) {
  Differences out;
  CompareTable(out, document, "Flag", 2, Flags());
  CompareTable(out, document, "Status", 1, Statuses());
  CompareTable(out, document, "Constant", 1, Limits());

  std::vector<Macro> bits;  // under the flags' names, for the table's column of bit numbers
  for (const Macro& bit : FlagBits()) bits.push_back({bit.name.substr(1), bit.value});
  CompareTable(out, document, "Flag", 1, bits);

  std::vector<std::string> known = {"__XEN_PUBLIC_IO_VIRTFS_H__"};
  for (const auto* macros : {&Flags(), &FlagBits(), &Statuses(), &Limits(), &NodeMacros()}) {
    for (const Macro& macro : *macros) known.push_back(macro.name);
  }
  CompareSets(out, known, "this test", MacroNames(header), "the header's text");
  return out;
}

Differences CompareNodes(std::string_view document, std::string_view header) {
  Differences out;
  std::vector<std::string> in_document, compiled;
  for (const auto& row : FindTable(document, "Node").rows) {
    const std::string& path = row[0];
    const bool queue = path.find("/queue-<N>/") != std::string::npos;
    if (queue) in_document.push_back(NodeMacroName("queue"));
    std::string name = path.substr(path.rfind('/') + 1);
    name = name.substr(0, name.find('<'));
    in_document.push_back(NodeMacroName(name));
    // In the header's comment: by its path, or, what is there once for each queue, by its name.
    const bool per_ring = name == "ring-ref" || name == "event-channel";
    const std::string wanted = per_ring ? path.substr(path.rfind('/') + 1) : path;
    const std::string bounds = Bounds(Cell(row, 3));
    const std::vector<std::string_view> lines = Lines(header);
    const bool found = std::any_of(lines.begin(), lines.end(), [&](std::string_view line) {
      return line.find(" *    " + wanted + ' ') == 0 && line.find(bounds) != line.npos;
    });
    const std::string described = bounds.empty() ? path : absl::StrCat(path, " with ", bounds);
    Expect(out, found, described + " is in the document and not in the header's comment");
  }
  for (const Macro& macro : NodeMacros()) {
    compiled.push_back(macro.name);
    const std::string name = macro.value.substr(1, macro.value.size() - 2);
    const std::string expected = NodeMacroName(name.back() == '-' ? name.substr(0, name.size() - 1) : name);
    Expect(out, macro.name == expected, macro.name + " is " + macro.value);
  }
  CompareSets(out, in_document, "the document's table of nodes", compiled, "the header");
  return out;
}

Differences CompareOptions(std::string_view document, std::string_view manual) {
  Differences out;
  std::vector<std::string> in_document, declared;
  for (const auto& row : FindTable(document, "Node").rows) {
    if (row[0].substr(0, 2) != "P/" || Cell(row, 1) != "toolstack") continue;
    in_document.push_back(row[0].substr(2));
    const options::Option* option = options::FindOption(in_document.back());
    if (option == nullptr) continue;
    const std::string initial(option->initial);
    const std::string in_cell = Cell(row, 4).substr(0, Cell(row, 4).find(':'));
    const bool same = initial.empty() ? in_cell == "must exist" : in_cell == '"' + initial + '"' || in_cell == initial;
    Expect(out, same,
           absl::StrCat(row[0], " has the default ", in_cell, " in the document and ", initial, " in the table"));
  }
  for (const options::Option& option : options::AllOptions()) {
    const std::string name(option.name);
    declared.push_back(name);
    // ".BI name= ARGUMENT" or ".BR name [ =1 ]", then text up to the next entry.
    size_t entry = manual.find(".TP\n.BI " + name + "= ");
    if (option.argument.empty()) entry = manual.find(".TP\n.BR " + name + " [ =1 ]");
    if (entry == manual.npos) {
      out.push_back(name + " is not in the manual page");
      continue;
    }
    const std::string_view text = manual.substr(entry, manual.find("\n.TP", entry + 1) - entry);
    const bool told = option.initial.empty() || text.find("Default: " + std::string(option.initial)) != text.npos;
    Expect(out, told, name + " has another default in the manual page");
  }
  CompareSets(out, in_document, "the document's table of nodes", declared, "the table of options");
  return out;
}

Differences CompareStates(std::string_view document) {
  const std::pair<const char*, int> kStates[] = {
      {"Unknown", XenbusStateUnknown},     {"Initialising", XenbusStateInitialising},
      {"InitWait", XenbusStateInitWait},   {"Initialised", XenbusStateInitialised},
      {"Connected", XenbusStateConnected}, {"Closing", XenbusStateClosing},
      {"Closed", XenbusStateClosed},
  };
  std::vector<Macro> states;
  for (const auto& [name, number] : kStates) states.push_back({name, Text(number)});
  Differences out;
  CompareTable(out, document, "State", 1, states);
  return out;
}

Differences CompareSections(std::string_view document) {
  Differences out;
  const std::vector<std::string> numbers = SectionNumbers(document);
  Expect(out, numbers.size() > 18, "hardly any section found");
  for (const std::string& reference : SectionReferences(document)) {
    Expect(out, std::find(numbers.begin(), numbers.end(), reference) != numbers.end(),
           "there is no section " + reference);
  }
  return out;
}

}  // namespace virtfs::spec
