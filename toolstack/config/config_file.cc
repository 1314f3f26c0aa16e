#include "toolstack/config/config_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/unique_fd.h"

extern "C" {
#include <libxlutil.h>

// The parser is taken from libxlutil.a, so that the command does not depend on the libxenlight of one version of Xen.
// This is the one function outside of it that its objects name, for xlu_cfg_get_defbool, which nobody here calls.
void libxl_defbool_set(libxl_defbool*, bool) { abort(); }
}

namespace virtfs::toolstack {
namespace {

constexpr char kSource[] = "line";  // what libxlutil puts before a line's number

bool IsNameByte(char c) { return isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// What follows "line:" in a report.
int LineIn(const std::string& report) {
  const size_t at = report.find(absl::StrCat(kSource, ":"));
  return at == report.npos ? 0 : atoi(report.c_str() + at + sizeof(kSource));
}

// The names that a text in this syntax sets. libxlutil has no call that lists them. The text has been parsed, so that
// strings and brackets end.
std::vector<ConfigFile::Setting> SettingsIn(std::string_view text) {
  std::vector<ConfigFile::Setting> settings;
  int line = 1, depth = 0;
  ConfigFile::Setting last;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '"' || c == '\'') {
      while (++i < text.size() && text[i] != c) {
        if (text[i] == '\\') ++i;
      }
    } else if (c == '[') {
      ++depth;
    } else if (c == ']') {
      --depth;
    } else if (c == '=' && depth == 0) {
      last.adds = i > 0 && text[i - 1] == '+';
      settings.push_back(std::exchange(last, {}));
    } else if (IsNameByte(c)) {
      const size_t begin = i;
      while (i + 1 < text.size() && IsNameByte(text[i + 1])) ++i;
      last = {.name = std::string(text.substr(begin, i + 1 - begin)), .line = line};
    }
  }
  return settings;
}

}  // namespace

// libxlutil tells lines in what it reports and nowhere else.
class ConfigFile::Report {
 public:
  Report() : file_(open_memstream(&text_, &size_)) {}
  ~Report() {
    fclose(file_);
    free(text_);
  }
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  FILE* file() { return file_; }

  // What has come since the last call.
  std::string Take() {
    fflush(file_);
    std::string news(text_ + taken_, size_ - taken_);
    taken_ = size_;
    return news;
  }

 private:
  char* text_ = nullptr;
  size_t size_ = 0;
  size_t taken_ = 0;
  FILE* file_;
};

void ConfigFile::Close::operator()(XLU_Config* config) const { xlu_cfg_destroy(config); }

ConfigFile::ConfigFile() : report_(std::make_unique<Report>()), config_(xlu_cfg_init(report_->file(), kSource)) {}
ConfigFile::~ConfigFile() = default;
ConfigFile::ConfigFile(ConfigFile&&) noexcept = default;

std::string Mistake::Text() const {
  return absl::StrCat(file, line > 0 ? absl::StrCat(":", line) : "", ": ", key, key.empty() ? "" : ": ", sentence);
}

absl::Status StatusOf(const std::vector<Mistake>& mistakes) {
  if (mistakes.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrJoin(mistakes, "\n", [](std::string* text, const Mistake& mistake) { text->append(mistake.Text()); }));
}

absl::StatusOr<ConfigFile> ConfigFile::Read(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> buffer;
  ssize_t size = file.ok() ? 1 : -1;
  while (size > 0) {
    size = read(file.get(), buffer.data(), buffer.size());
    if (size > 0) text.append(buffer.data(), static_cast<size_t>(size));
  }
  if (size == 0) return Parse(path, text);
  const int error = errno;
  const std::string sentence = absl::StrCat("cannot read ", path, ": ", strerror(error));
  return error == ENOENT ? absl::NotFoundError(sentence) : absl::UnavailableError(sentence);
}

absl::StatusOr<ConfigFile> ConfigFile::Parse(const std::string& path, std::string_view text) {
  ConfigFile file;
  file.path_ = path;
  if (xlu_cfg_readdata(file.config_.get(), text.data(), static_cast<int>(text.size())) != 0) {
    std::string report = file.report_->Take();
    const int line = LineIn(report);
    const size_t near = report.find("near ");
    report = near == report.npos ? "" : absl::StrCat(" ", report.substr(near, report.find('\n', near) - near));
    return StatusOf({{.file = path,
                      .line = line,
                      .key = "",
                      .sentence = absl::StrCat("not the syntax of xl.cfg(5)", report,
                                               ": write KEY=\"VALUE\" or KEY=[ \"VALUE\", ... ]")}});
  }
  file.settings_ = SettingsIn(text);
  return file;
}

std::optional<ConfigFile::Strings> ConfigFile::List(const std::string& key) {
  Strings strings;
  XLU_ConfigList* list = nullptr;
  int count = 0;
  const int error = xlu_cfg_get_list(config_.get(), key.c_str(), &list, &count, 0);
  std::string report = report_->Take();
  if (error == ESRCH) return std::nullopt;
  if (error != 0) {
    strings.mistakes.push_back({path_, LineIn(report), key, absl::StrCat("write a list, ", key, "=[ \"...\", ... ]")});
    return strings;
  }
  for (int i = 0; i < count; ++i) {
    XLU_ConfigValue* const item = xlu_cfg_get_listitem2(list, i);
    // What the item is not, so that its line is told.
    if (xlu_cfg_value_type(item) != XLU_STRING) {
      char* none = nullptr;
      (void)xlu_cfg_value_get_string(config_.get(), item, &none, 0);
      strings.mistakes.push_back(
          {path_, LineIn(report_->Take()), key, "there is a list in the list: write strings only"});
      continue;
    }
    XLU_ConfigList* none = nullptr;
    (void)xlu_cfg_value_get_list(config_.get(), item, &none, 0);
    char* text = nullptr;
    (void)xlu_cfg_value_get_string(config_.get(), item, &text, 1);
    strings.values.push_back({text, LineIn(report_->Take())});
  }
  return strings;
}

std::optional<ConfigFile::Strings> ConfigFile::String(const std::string& key) {
  Strings strings;
  const char* text = nullptr;
  const int error = xlu_cfg_get_string(config_.get(), key.c_str(), &text, 0);
  const std::string report = report_->Take();
  if (error == ESRCH) return std::nullopt;
  if (error != 0) {
    strings.mistakes.push_back({path_, LineIn(report), key, absl::StrCat("write one string, ", key, "=\"...\"")});
    return strings;
  }
  int line = 0;
  for (const Setting& setting : settings_) {
    if (setting.name == key) line = setting.line;
  }
  strings.values.push_back({text, line});
  return strings;
}

}  // namespace virtfs::toolstack
