// Reading docs/virtfs.md and the text of <xen/io/virtfs.h>: tables, diagrams, hex dumps, macros and structs.
//
// It understands what those two files use and no more. What it does not find comes back empty, so that whoever compares
// notices. No errors are thrown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace virtfs::spec {

// A Markdown table. Cells are trimmed and without backquotes.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

// All tables of `markdown` whose first column has this title, as one.
Table FindTable(std::string_view markdown, std::string_view first_column);

// A box of a layout diagram.
struct Box {
  std::string name;
  int offset = 0;  // bytes from the beginning of what is drawn
  int size = 0;    // bytes
};

// The boxes of the first diagram behind `marker`. A row of boxes is as wide as 4 bytes, and the offset of its first
// byte stands before its first '|' (the document) or behind its last (the header).
std::vector<Box> FindDiagram(std::string_view text, std::string_view marker);

// The bytes of the dump behind "<!-- example: NAME -->", of all its lines.
std::vector<uint8_t> FindDump(std::string_view markdown, std::string_view name);

// The names of the macros that `header` defines.
std::vector<std::string> MacroNames(std::string_view header);

// The names of the members of `struct NAME { ... };` in `header`.
std::vector<std::string> MemberNames(std::string_view header, std::string_view struct_name);

// The lines of `text`.
std::vector<std::string_view> Lines(std::string_view text);

// Every "N" or "N.M" behind the word "section" or "sections" in `markdown`, and every number of a heading in it.
std::vector<std::string> SectionReferences(std::string_view markdown);
std::vector<std::string> SectionNumbers(std::string_view markdown);

}  // namespace virtfs::spec
