// model.safetensors.index.json beside two good shards.
#include <cstring>
#include <vector>

#include "runtime/io/model_files.h"
#include "tests/fuzz/fuzz.h"

namespace {

// One f32 tensor of two elements.
void write_shard(const std::string& file, const std::string& tensor) {
  const std::string header =
      "{\"" + tensor + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const uint64_t length = header.size();
  std::string text(sizeof length, '\0');
  std::memcpy(text.data(), &length, sizeof length);
  athanor::fuzz::folder().write(file, text + header + std::string(8, '\0'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  static const bool ready = [] {
    write_shard("one.safetensors", "a");
    write_shard("two.safetensors", "b");
    return true;
  }();
  if (!ready) return 0;
  fuzz::folder().write("model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::expect_only_errors([] {
    const ModelFiles files(fuzz::folder().path());
    for (const std::string& name : files.names()) {
      const TensorLocation found = files.get(name);
      std::vector<float> values(static_cast<size_t>(found.entry->elements()));
      files.read_elements(name, 0, found.entry->elements(), DType::kF32, values.data());
    }
  });
  return 0;
}
