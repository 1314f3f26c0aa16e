// Users of a host and directories with files in them, for tests of who may do what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace virtfs::enforce {

inline constexpr uint32_t kStaff = 70010, kProject = 70011, kNoGroup = 65534;

struct TestUser {
  const char* name;
  uint32_t uid;
  uint32_t gid;
  std::vector<uint32_t> groups;  // all
};

inline const std::vector<TestUser>& Users() {
  static const std::vector<TestUser> users = {
      {"root", 0, 0, {0}},
      {"alice", 70001, 70001, {70001, kStaff, kProject}},
      {"bob", 70002, 70002, {70002, kProject}},
      {"carol", 70003, kStaff, {kStaff}},
      {"unknown", 70099, kNoGroup, {kNoGroup}},  // without an entry in passwd
  };
  return users;
}
inline constexpr uint32_t kAlice = 70001, kBob = 70002, kCarol = 70003;

inline std::string PasswdText() {
  std::string text;
  for (const TestUser& user : Users()) {
    if (user.uid == 70099) continue;
    text +=
        std::string(user.name) + ":x:" + std::to_string(user.uid) + ":" + std::to_string(user.gid) + "::/:/bin/sh\n";
  }
  return text;
}

inline std::string GroupText() {
  return "root:x:0:\nalice:x:70001:\nbob:x:70002:\nstaff:x:70010:alice\nproject:x:70011:alice,bob\n";
}

// One entry of a POSIX ACL as the kernel stores it.
struct AclEntry {
  uint16_t tag, permissions;
  uint32_t id;
};
inline constexpr uint16_t kUserObject = 1, kUser = 2, kGroupObject = 4, kGroup = 8, kMask = 16, kOther = 32;

inline std::string Acl(const std::vector<AclEntry>& entries) {
  const uint32_t version = 2;
  std::string value(reinterpret_cast<const char*>(&version), sizeof(version));
  for (const AclEntry& entry : entries) value.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  return value;
}

// A directory with `file` in it, and a directory `sub`.
struct Scene {
  const char* name;
  uint32_t dir_uid, dir_gid, dir_mode;
  uint32_t file_uid, file_gid, file_mode;
  std::string dir_acl, dir_default_acl, file_acl;
};

inline const std::vector<Scene>& Scenes() {
  static const std::vector<Scene> scenes = {
      {"plain", 0, 0, 0755, kAlice, kAlice, 0644, "", "", ""},
      {"private", kAlice, kAlice, 0700, kAlice, kAlice, 0600, "", "", ""},
      {"shared by a group", kAlice, kProject, 0770, kAlice, kProject, 0660, "", "", ""},
      {"setgid directory", kAlice, kProject, 02775, kBob, kProject, 0664, "", "", ""},
      {"sticky directory", 0, 0, 01777, kBob, kBob, 0666, "", "", ""},
      {"open directory, root's file", 0, 0, 0777, 0, 0, 0600, "", "", ""},
      {"for staff to read", 0, kStaff, 0751, 0, kStaff, 0040, "", "", ""},
      {"the group has less than others", kAlice, kProject, 0707, kAlice, kProject, 0604, "", "", ""},
      {"set-id bits", 0, kProject, 0777, kAlice, kProject, 06777, "", "", ""},
      {"ACL for users", 0, 0, 0755, 0, 0, 0600,
       Acl({{kUserObject, 7, ~0U}, {kUser, 7, kCarol}, {kGroupObject, 5, ~0U}, {kMask, 7, ~0U}, {kOther, 5, ~0U}}), "",
       Acl({{kUserObject, 6, ~0U}, {kUser, 6, kBob}, {kGroupObject, 0, ~0U}, {kMask, 6, ~0U}, {kOther, 0, ~0U}})},
      {"ACL for a group, and to inherit", 0, 0, 0711, 0, 0, 0600,
       Acl({{kUserObject, 7, ~0U}, {kGroupObject, 1, ~0U}, {kGroup, 7, kProject}, {kMask, 7, ~0U}, {kOther, 1, ~0U}}),
       Acl({{kUserObject, 7, ~0U}, {kUser, 6, kCarol}, {kGroupObject, 5, ~0U}, {kMask, 7, ~0U}, {kOther, 0, ~0U}}),
       Acl({{kUserObject, 6, ~0U}, {kGroupObject, 0, ~0U}, {kGroup, 4, kProject}, {kMask, 4, ~0U}, {kOther, 0, ~0U}})},
  };
  return scenes;
}

}  // namespace virtfs::enforce
