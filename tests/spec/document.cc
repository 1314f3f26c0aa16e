#include "tests/spec/document.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace virtfs::spec {
namespace {

constexpr int kBytesPerDiagramRow = 4;

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string WithoutBackquotes(std::string_view cell) {
  std::string plain(Trim(cell));
  plain.erase(std::remove(plain.begin(), plain.end(), '`'), plain.end());
  return plain;
}

std::vector<std::string> Cells(std::string_view line) {
  line = Trim(line);
  if (line.size() < 2 || line.front() != '|' || line.back() != '|') return {};
  std::vector<std::string> cells;
  for (std::string_view cell : Split(line.substr(1, line.size() - 2), '|')) cells.push_back(WithoutBackquotes(cell));
  return cells;
}

bool IsNumber(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// The number that ends `text` or, failing that, begins `behind`; -1 if neither.
int RowOffset(std::string_view before, std::string_view behind) {
  before = Trim(before);
  const size_t digits = before.find_last_not_of("0123456789");
  std::string_view number = digits == before.npos ? before : before.substr(digits + 1);
  if (number.empty()) {
    behind = Trim(behind);
    number = behind.substr(0, behind.find_first_not_of("0123456789"));
  }
  return IsNumber(number) ? std::atoi(std::string(number).c_str()) : -1;
}

std::string_view From(std::string_view text, std::string_view marker) {
  const size_t at = text.find(marker);
  return at == text.npos ? std::string_view() : text.substr(at + marker.size());
}

bool IsWordCharacter(unsigned char c) { return std::isalnum(c) || c == '_'; }

std::string_view LeadingWord(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && IsWordCharacter(static_cast<unsigned char>(text[length]))) ++length;
  return text.substr(0, length);
}

// "12" or "12.3" at the beginning of `text`, without a dot that ends a sentence.
std::string LeadingSection(std::string_view text) {
  std::string number(text.substr(0, std::min(text.find_first_not_of("0123456789."), text.size())));
  while (!number.empty() && number.back() == '.') number.pop_back();
  return number;
}

}  // namespace

std::vector<std::string_view> Lines(std::string_view text) { return Split(text, '\n'); }

Table FindTable(std::string_view markdown, std::string_view first_column) {
  Table table;
  bool inside = false;
  for (std::string_view line : Lines(markdown)) {
    std::vector<std::string> cells = Cells(line);
    if (cells.empty()) {
      inside = false;
    } else if (!inside) {
      if (cells[0] == first_column) {
        inside = true;
        table.columns = cells;
      }
    } else if (cells[0].find_first_not_of("-:") != std::string::npos) {
      table.rows.push_back(std::move(cells));
    }
  }
  return table;
}

std::vector<Box> FindDiagram(std::string_view text, std::string_view marker) {
  std::vector<Box> boxes;
  bool inside = false;
  for (std::string_view line : Lines(From(text, marker))) {
    if (line.find("+-") != line.npos) {
      inside = true;
      continue;
    }
    const size_t first = line.find('|');
    if (first == line.npos) {
      if (inside && line.find('+') == line.npos) break;
      continue;
    }
    if (!inside) continue;
    const size_t last = line.rfind('|');
    const int offset = RowOffset(line.substr(0, first), line.substr(last + 1));
    if (offset < 0) continue;
    const size_t width = last - first;
    size_t column = 0;
    for (std::string_view cell : Split(line.substr(first + 1, last - first - 1), '|')) {
      const size_t cell_width = cell.size() + 1;
      boxes.push_back({std::string(Trim(cell)), offset + static_cast<int>(column * kBytesPerDiagramRow / width),
                       static_cast<int>(cell_width * kBytesPerDiagramRow / width)});
      column += cell_width;
    }
  }
  return boxes;
}

std::vector<uint8_t> FindDump(std::string_view markdown, std::string_view name) {
  std::vector<uint8_t> bytes;
  const std::string_view text = From(From(markdown, "<!-- example: " + std::string(name) + " -->"), "```\n");
  for (std::string_view line : Lines(text.substr(0, text.find("```")))) {
    const std::string_view row = Trim(line);
    const size_t gap = row.find("  ");
    if (gap == row.npos) continue;
    for (std::string_view byte : Split(Trim(row.substr(gap)), ' ')) {
      bytes.push_back(static_cast<uint8_t>(std::strtoul(std::string(byte).c_str(), nullptr, 16)));
    }
  }
  return bytes;
}

std::vector<std::string> MacroNames(std::string_view header) {
  constexpr std::string_view kDefine = "#define ";
  std::vector<std::string> names;
  for (std::string_view line : Lines(header)) {
    if (line.substr(0, kDefine.size()) == kDefine) names.emplace_back(LeadingWord(Trim(line.substr(kDefine.size()))));
  }
  return names;
}

std::vector<std::string> MemberNames(std::string_view header, std::string_view struct_name) {
  std::vector<std::string> names;
  const std::string_view body = From(header, "struct " + std::string(struct_name) + " {");
  for (std::string_view line : Lines(body.substr(0, body.find('}')))) {
    const size_t end = line.find(';');
    if (end == line.npos) continue;
    const std::string_view declaration = Trim(line.substr(0, end));
    names.emplace_back(declaration.substr(declaration.find_last_of(' ') + 1));
  }
  return names;
}

std::vector<std::string> SectionReferences(std::string_view markdown) {
  std::vector<std::string> references;
  for (std::string_view rest = markdown; !(rest = From(rest, "ection")).empty();) {
    if (rest.front() == 's') rest.remove_prefix(1);
    if (rest.empty() || (rest.front() != ' ' && rest.front() != '\n')) continue;
    const std::string number = LeadingSection(rest.substr(1));
    if (!number.empty()) references.push_back(number);
  }
  return references;
}

std::vector<std::string> SectionNumbers(std::string_view markdown) {
  std::vector<std::string> numbers;
  for (std::string_view line : Lines(markdown)) {
    if (line.substr(0, 2) != "##") continue;
    const std::string number = LeadingSection(Trim(line.substr(line.find_first_not_of('#'))));
    if (!number.empty()) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace virtfs::spec
