// ConfigFile: a file in the syntax of xl.cfg, as libxlutil parses it, with the lines that things are on.
//
// Errors: each as "FILE:LINE: sentence".
// Threads: one at a time.
// Trust: the operator's file; wrong only by mistake.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct XLU_Config;

namespace virtfs::toolstack {

// Something wrong in a file, for one sentence.
struct Mistake {
  std::string file;
  int line = 0;          // 0: none in particular
  std::string key;       // empty: none in particular
  std::string sentence;  // says what to write instead

  // "FILE:LINE: KEY: sentence", without what is not there.
  std::string Text() const;
};

// InvalidArgument with a line for each mistake; OK if there are none.
absl::Status StatusOf(const std::vector<Mistake>& mistakes);

class ConfigFile {
 public:
  // A string of the file, and the line that it is on.
  struct Value {
    std::string text;
    int line = 0;
  };
  // A name that the file sets, each time that it does.
  struct Setting {
    std::string name;
    int line = 0;
    bool adds = false;  // with += instead of =
  };

  // NotFound and others if it cannot be read; InvalidArgument if it is not in that syntax.
  static absl::StatusOr<ConfigFile> Read(const std::string& path);
  // Of text that is already here. `path` is for the sentences only.
  static absl::StatusOr<ConfigFile> Parse(const std::string& path, std::string_view text);

  ConfigFile(ConfigFile&& other) noexcept;
  ConfigFile& operator=(ConfigFile&& other) = delete;
  ~ConfigFile();

  const std::string& path() const { return path_; }
  const std::vector<Setting>& settings() const { return settings_; }

  // Nothing if the file does not set `key`. Otherwise the values, or what is wrong with them.
  struct Strings {
    std::vector<Value> values;
    std::vector<Mistake> mistakes;
  };
  std::optional<Strings> List(const std::string& key);
  std::optional<Strings> String(const std::string& key);

 private:
  struct Close {
    void operator()(XLU_Config* config) const;
  };
  class Report;

  ConfigFile();

  std::string path_;
  std::unique_ptr<Report> report_;  // what libxlutil says goes there; it outlives config_
  std::unique_ptr<XLU_Config, Close> config_;
  std::vector<Setting> settings_;
};

}  // namespace virtfs::toolstack
