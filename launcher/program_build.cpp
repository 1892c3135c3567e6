#include "launcher/program_build.h"

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "launcher/verbs.h"

namespace athanor {
namespace {

constexpr size_t padded(size_t bytes) { return (bytes + 3) & ~size_t{3}; }

// The note NT_GNU_BUILD_ID among the notes of a loaded segment, in hexadecimal.
std::string id_in(const char* at, size_t left) {
  ElfW(Nhdr) note;
  while (left >= sizeof note) {
    std::memcpy(&note, at, sizeof note);
    const size_t name = padded(note.n_namesz);
    const size_t size = sizeof note + name + padded(note.n_descsz);
    if (size > left) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
        std::memcmp(at + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
      std::string hex;
      for (size_t i = 0; i < note.n_descsz; ++i) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x",
                      static_cast<unsigned char>(at[sizeof note + name + i]));
        hex += digits;
      }
      return hex;
    }
    at += size;
    left -= size;
  }
  return "";
}

// The first object is the program itself.
int find_id(dl_phdr_info* info, size_t, void* result) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const std::string id =
        id_in(reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr), segment.p_memsz);
    if (id.empty()) continue;
    *static_cast<std::string*>(result) = id;
    break;
  }
  return 1;
}

}  // namespace

std::string program_build() {
  std::string id;
  ::dl_iterate_phdr(find_id, &id);
  return std::string("version ") + program_version() + (id.empty() ? "" : ", build " + id);
}

}  // namespace athanor
