#include "toolstack/records/record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace virtfs::toolstack {
namespace {

using Json = nlohmann::ordered_json;

// Of the form of the file. One with a higher number was written by a newer xl-virtfs.
constexpr uint32_t kVersion = 1;

absl::Status Bad(std::string_view what) {
  return absl::DataLossError(absl::StrCat("the record is damaged: ", std::string(what)));
}

absl::Status Check(const Record& record) {
  if (!IsUuid(record.uuid)) return absl::InvalidArgumentError(absl::StrCat(record.uuid, " is no UUID"));
  for (const RecordedShare& share : record.shares) {
    if (FindShare(record, share.devid) != &share) {
      return absl::InvalidArgumentError(absl::StrCat("two shares have the device id ", share.devid));
    }
  }
  return absl::OkStatus();
}

// False if there is no such text.
bool GetText(const Json& object, const char* key, std::string& text) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return false;
  text = found->get<std::string>();
  return true;
}

bool GetShare(const Json& object, RecordedShare& share) {
  if (!object.is_object()) return false;
  const auto devid = object.find("devid");
  if (devid == object.end() || !devid->is_number_unsigned() || devid->get<uint64_t>() > INT32_MAX) return false;
  share.devid = devid->get<uint32_t>();
  return GetText(object, "backend", share.backend) && GetText(object, "spec", share.spec);
}

}  // namespace

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

absl::StatusOr<std::string> EncodeRecord(const Record& record) {
  if (absl::Status checked = Check(record); !checked.ok()) return checked;
  Json json = {{"version", kVersion}, {"uuid", record.uuid}, {"name", record.name}};
  if (record.absent_since) json["absent_since"] = *record.absent_since;
  Json& shares = json["shares"] = Json::array();
  for (const RecordedShare& share : record.shares) {
    shares.push_back({{"devid", share.devid}, {"backend", share.backend}, {"spec", share.spec}});
  }
  try {
    return json.dump(2) + "\n";
  } catch (const Json::exception&) {
    return absl::InvalidArgumentError("a name or path is not UTF-8 and cannot be recorded: rename it");
  }
}

absl::StatusOr<Record> DecodeRecord(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Bad("it is no JSON object");
  const auto version = json.find("version");
  if (version == json.end() || !version->is_number_unsigned()) return Bad("its version is missing");
  if (version->get<uint64_t>() != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat("the record has version ", version->get<uint64_t>(),
                                                      ", and this xl-virtfs knows version ", kVersion, " only"));
  }
  Record record;
  if (!GetText(json, "uuid", record.uuid) || !GetText(json, "name", record.name)) {
    return Bad("its uuid or name is missing");
  }
  if (const auto since = json.find("absent_since"); since != json.end()) {
    if (!since->is_number_integer()) return Bad("absent_since is no number");
    record.absent_since = since->get<int64_t>();
  }
  const auto shares = json.find("shares");
  if (shares == json.end() || !shares->is_array()) return Bad("its shares are missing");
  for (const Json& object : *shares) {
    if (!GetShare(object, record.shares.emplace_back())) return Bad("a share has not devid, backend and spec");
  }
  if (absl::Status checked = Check(record); !checked.ok()) return Bad(std::string(checked.message()));
  return record;
}

absl::StatusOr<ShareSpec> SpecOf(const Record& record, const RecordedShare& share) {
  absl::StatusOr<ShareSpec> spec = ParseShareSpec(share.spec);
  if (!spec.ok()) return spec;
  spec->devid = share.devid;
  spec->nodes.emplace_back(kMarkNode, absl::StrCat(record.uuid, " ", spec->tag));
  return spec;
}

const RecordedShare* FindShare(const Record& record, uint32_t devid) {
  const auto found = std::find_if(record.shares.begin(), record.shares.end(),
                                  [devid](const RecordedShare& share) { return share.devid == devid; });
  return found == record.shares.end() ? nullptr : &*found;
}

uint32_t FirstFreeDevid(const Record& record, absl::FunctionRef<bool(uint32_t)> taken) {
  uint32_t devid = 0;
  while (FindShare(record, devid) != nullptr || taken(devid)) ++devid;
  return devid;
}

}  // namespace virtfs::toolstack
