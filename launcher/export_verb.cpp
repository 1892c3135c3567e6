// athanor export: an adapter merged into its base, read back, and compared on a probe.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/cores.h"
#include "core/error.h"
#include "core/log.h"
#include "launcher/verbs.h"
#include "runtime/train/merge.h"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kProbeTokens = 64;

std::optional<DType> parse_dtype(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "float32" || text == "f32") return DType::kF32;
  if (text == "bfloat16" || text == "bf16") return DType::kBF16;
  throw Error(ErrorKind::kUsage, "--dtype: found " + text + ", needed float32 or bfloat16");
}

void check_output(const fs::path& output, const fs::path& model, bool overwrite) {
  std::error_code ignored;
  if (fs::equivalent(output, model, ignored)) {
    throw Error(ErrorKind::kConfig, "--output " + output.string() + ": is the model itself");
  }
  if (!overwrite && fs::exists(output) && !(fs::is_directory(output) && fs::is_empty(output))) {
    throw Error(ErrorKind::kConfig, "--output " + output.string() +
                                        ": is not an empty folder; name another or --overwrite");
  }
}

}  // namespace

int run_export(const ExportArguments& arguments) {
  MergeOptions options;
  options.model = arguments.model;
  options.adapter = arguments.adapter;
  options.output = arguments.output;
  options.dtype = parse_dtype(arguments.dtype);
  options.threads =
      arguments.threads > 0 ? arguments.threads : share_cores(host_cores(), {}).threads;
  check_output(options.output, options.model, arguments.overwrite);
  const MergeReport report = merge_adapter(options);
  std::string text = "wrote " + std::to_string(report.tensors) + " tensors, " +
                     std::to_string(report.merged) + " of them merged, in " +
                     std::to_string(report.files.size()) + " files to " + arguments.output +
                     "; read back and equal\n";
  if (arguments.probe) {
    const LogitComparison probe = compare_logits(options, kProbeTokens);
    char line[200];
    std::snprintf(line, sizeof line,
                  "probe of %lld tokens: logits differ by at most %.3g (largest logit %.4g), "
                  "%lld of %lld choose the same token\n",
                  static_cast<long long>(probe.positions), probe.largest_difference,
                  probe.largest_logit, static_cast<long long>(probe.same_choice),
                  static_cast<long long>(probe.positions));
    text += line;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace athanor
