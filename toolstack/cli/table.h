// Table: columns of text, as wide as they need to be.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace virtfs::toolstack {

class Table {
 public:
  explicit Table(std::vector<std::string> head) { Add(std::move(head)); }

  // As many as the head has; an empty one is shown as "-".
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // A line of its own below the last row.
  void AddLine(std::string line) { rows_.push_back({std::move(line)}); }

  std::string Text() const {
    std::vector<size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      if (row.size() != widths.size()) continue;
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max({widths[i], row[i].size(), size_t{1}});
    }
    std::string text;
    for (const auto& row : rows_) {
      if (row.size() != widths.size()) {
        text += "  " + row[0] + "\n";
        continue;
      }
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string cell = row[i].empty() ? "-" : row[i];
        text += cell;
        if (i + 1 < row.size()) text.append(widths[i] - cell.size() + 2, ' ');
      }
      text += "\n";
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace virtfs::toolstack
