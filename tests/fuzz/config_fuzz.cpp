// config.yaml: what is read can be written and read again, and its batch resolves or is refused.
#include "runtime/config/batch_plan.h"
#include "runtime/config/run_config.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace athanor;
  fuzz::expect_only_errors([&] {
    const RunConfig config =
        load_run_config(fuzz::folder().write("config.yaml", fuzz::text_of(data, size)));
    const std::string yaml = to_yaml(config);
    RunConfig again;
    try {
      again = load_run_config(fuzz::folder().write("again.yaml", yaml));
    } catch (const Error& error) {
      throw Error(ErrorKind::kInternal, yaml + error.message());
    }
    ATHANOR_CHECK(again == config, yaml);
    for (const int world : {1, 3}) {
      const BatchPlan plan = resolve_batch(config, world);
      ATHANOR_CHECK(plan.micro_batches * plan.rows_per_micro_batch == plan.rows_per_step, yaml);
    }
  });
  return 0;
}
