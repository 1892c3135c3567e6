// Dataset files to samples: token ids and the labels that say where the loss is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace athanor {

inline constexpr int32_t kNoLoss = -100;

// The record that a sample was made from.
struct SampleOrigin {
  int32_t file = 0;  // index into DatasetReport::files
  int64_t line = 0;  // of the record's first character, from 1
};

struct Sample {
  std::vector<int32_t> input_ids;
  // labels[i] belongs to input_ids[i] (not shifted); kNoLoss where nothing is learned.
  std::vector<int32_t> labels;
  SampleOrigin origin = {};
};

enum class Stage {
  kSft,  // loss on answers; records of plain text are trained whole
  kPt,   // loss on all text
};

enum class Mix {
  kConcat,           // one set after the other
  kInterleaveUnder,  // in turns, until the first set is used up
  kInterleaveOver,   // in turns, until every set is used up; used ones begin again
};

struct DataOptions {
  Stage stage = Stage::kSft;
  std::vector<std::string> datasets;  // paths, or names in dataset_dir/dataset_info.json
  std::filesystem::path dataset_dir = "data";
  std::string template_name;        // empty or "default": the model's own
  std::filesystem::path model_dir;  // with the files of the tokenizer and its chat template
  int64_t cutoff_len = 2048;
  bool packing = false;          // for BatchSource; the samples are the same
  bool train_on_prompt = false;  // loss on the whole conversation
  bool mask_history = false;     // loss on the last assistant turn only
  int64_t max_samples = 0;       // records read of each dataset; 0: all
  double val_size = 0;           // share (< 1) or number (>= 1) of records kept for evaluation
  Mix mix = Mix::kConcat;        // of the records that are trained
  std::vector<double> interleave_probs;  // how likely each set is next; empty: strictly in turn
  bool skip_bad = false;                 // leave bad records out instead of stopping at the first
  uint64_t seed = 42;
  std::string date;  // YYYY-MM-DD that templates see (strftime_now); empty: today
};

struct DatasetFileReport {
  std::string file;
  std::string format;
  int64_t records = 0;
};

struct DatasetReport {
  std::vector<DatasetFileReport> files;
  int64_t records = 0;
  int64_t skipped_without_target = 0;  // samples that have no token to learn
  int64_t truncated = 0;               // samples cut at cutoff_len
  int64_t chats = 0;                   // conversations in stage sft, and of those:
  int64_t last_turn_only = 0;          // trained on their last answer only, see RenderedChat
  int64_t double_bos = 0;              // begin with two BOS
  int64_t ends_trained = 0;            // where a token that ends a turn is learned
  int64_t bad_records = 0;             // left out by skip_bad
  std::vector<std::string> bad;        // what was wrong with the first of them
  int64_t tokens = 0;                  // of the samples kept, train and eval
  int64_t target_tokens = 0;           // those among them that are learned
};

struct LoadedData {
  std::vector<Sample> train;
  std::vector<Sample> eval;
  DatasetReport report;
};

// `tokenizer` may be null when all records are pre-tokenised (else kConfig). Every id is checked
// against vocab_size, the number of rows of the model's embedding. Bad records are kBadInput
// "file:line:column: …", missing files and bad options kConfig. The result is the same for any
// number of worker threads.
LoadedData load_data(const DataOptions& options, const Tokenizer* tokenizer, int64_t vocab_size,
                     int workers = 1);

// What in the report is likely a mistake, a line each.
std::vector<std::string> data_warnings(const DatasetReport& report);

}  // namespace athanor
