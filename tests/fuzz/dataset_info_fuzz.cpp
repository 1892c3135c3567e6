// dataset_info.json, asked for a name that the corpus has.
#include "runtime/data/dataset_info.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  fuzz::folder().write("dataset_info.json", fuzz::text_of(data, size));
  fuzz::expect_only_errors([] {
    const DatasetSource source = resolve_dataset("mine", fuzz::folder().path());
    ATHANOR_CHECK(!source.file.empty(), "a file");
  });
  return 0;
}
