// Place: what an operand names: TAG:/path lies in the share TAG, everything else is the guest's own.
//
// A local name that looks like a share's can be written ./name:/...
#pragma once

#include <string>
#include <string_view>

namespace virtfs::frontend {

struct Place {
  std::string tag;   // Empty: local.
  std::string path;  // Of a share: behind the first "/".

  bool in_share() const { return !tag.empty(); }
  // As an operand.
  std::string Text() const { return in_share() ? tag + ":/" + path : path; }
  // The last component; empty for a root, ".", "..".
  std::string Name() const;
  // The directory that holds it: "" for the root of a share, "." for a plain local name.
  Place Parent() const;
};

// `default_tag` is that of places which begin with ":/".
Place ParsePlace(std::string_view operand, std::string_view default_tag);

}  // namespace virtfs::frontend
