// All that decides what load_data() makes, so that a result can be kept and known again.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"

namespace athanor {

struct DataInputs {
  std::vector<std::filesystem::path> files;  // by content; one that is missing counts as such
  // Options, columns of dataset_info.json, versions. Without skip_bad: a result without bad records
  // is the same with and without it.
  std::string settings;
};

// kConfig for a data set or a template that does not exist.
DataInputs data_inputs(const DataOptions& options, int64_t vocab_size);

// Whether the template asks for the date (strftime_now).
bool template_uses_date(const DataOptions& options);

// Of this computer's clock and time zone, YYYY-MM-DD.
std::string today();

}  // namespace athanor
