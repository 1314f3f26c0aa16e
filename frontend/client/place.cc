#include "frontend/client/place.h"

namespace virtfs::frontend {
namespace {

std::string_view WithoutSlashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path == "/" ? std::string_view() : path;
}

}  // namespace

std::string Place::Name() const {
  const std::string_view whole = WithoutSlashes(path);
  const size_t slash = whole.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? whole : whole.substr(slash + 1);
  return name == "." || name == ".." ? std::string() : std::string(name);
}

Place Place::Parent() const {
  const std::string_view whole = WithoutSlashes(path);
  const size_t slash = whole.rfind('/');
  if (slash == std::string_view::npos) return {tag, in_share() ? "" : "."};
  return {tag, std::string(whole.substr(0, slash == 0 ? 1 : slash))};
}

Place ParsePlace(std::string_view operand, std::string_view default_tag) {
  const size_t colon = operand.find(":/");
  if (colon == std::string_view::npos || operand.substr(0, colon).find('/') != std::string_view::npos) {
    return {"", std::string(operand)};
  }
  const std::string_view tag = colon > 0 ? operand.substr(0, colon) : default_tag;
  if (tag.empty()) return {"", std::string(operand)};
  return {std::string(tag), std::string(operand.substr(colon + 2))};
}

}  // namespace virtfs::frontend
