// Where tokenised data are kept, and how their use is said.
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "launcher/verbs.h"

namespace athanor {

std::filesystem::path default_data_cache() {
  const auto folder = [](const char* name) -> std::filesystem::path {
    const char* const text = std::getenv(name);
    // A relative one is to be ignored, says the specification of XDG_CACHE_HOME.
    return text != nullptr && *text == '/' ? text : "";
  };
  const std::filesystem::path caches = folder("XDG_CACHE_HOME");
  if (!caches.empty()) return caches / "athanor/data";
  const std::filesystem::path home = folder("HOME");
  return home.empty() ? home : home / ".cache/athanor/data";
}

const char* cache_use_name(const CacheUse& use) {
  switch (use.kind) {
    case CacheUse::Kind::kOff:
      return "off";
    case CacheUse::Kind::kHit:
      return "hit";
    case CacheUse::Kind::kMiss:
      return "miss";
  }
  throw Error(ErrorKind::kInternal, "a use of the cache without a name");
}

std::string cache_text(const CacheUse& use) {
  if (use.kind == CacheUse::Kind::kOff) return "";
  return std::string(" (cache ") + cache_use_name(use) +
         (use.file.empty() ? ")" : ": " + use.file.string() + ")");
}

}  // namespace athanor
