// A whole .safetensors file.
#include <vector>

#include "runtime/io/safetensors.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  const auto bytes = static_cast<int64_t>(size);
  fuzz::expect_only_errors([&] {
    const SafetensorsFile file(fuzz::folder().write("a.safetensors", fuzz::text_of(data, size)));
    std::vector<std::byte> content;
    int64_t total = 0;
    for (const TensorEntry& entry : file.entries()) {
      ATHANOR_CHECK(
          entry.file_offset >= 8 && entry.bytes >= 0 && entry.file_offset + entry.bytes <= bytes,
          entry.name + " is outside of the file");
      ATHANOR_CHECK(file.find(entry.name) == &entry, entry.name + " is not found");
      content.resize(static_cast<size_t>(entry.bytes));
      file.read(entry, 0, content);
      total += entry.bytes;
    }
    ATHANOR_CHECK(total + 8 <= bytes, "tensors share bytes");
  });
  return 0;
}
