// What the program must not do, read from the operations it submits and the bytes it asks for: no
// logits buffer, no attention matrix, no products for frozen weights, nothing prepared twice, and
// nothing read that is not kept.
#include <gtest/gtest.h>

#include <mutex>
#include <ostream>
#include <vector>

#include "tests/sharding/thread_ranks.h"
#include "tests/train/golden.h"
#include "tests/train/train_support.h"

namespace athanor::testing {
namespace {

struct Variant {
  const char* name;
  bool full;
  bool recompute;
  bool layer_major;
  bool bf16;
};

void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class Structure : public ::testing::TestWithParam<Variant> {
 protected:
  RunConfig config(const std::filesystem::path& folder, int64_t length) const {
    RunConfig config;
    config.model_name_or_path = folder;
    config.train_from_scratch = true;
    config.finetuning_type = GetParam().full ? FinetuningOption::kFull : FinetuningOption::kLora;
    config.lora_dropout = 0.1;  // scratch of dropout counts, too
    config.cutoff_len = length;
    config.global_batch_size = 2;
    config.bf16 = GetParam().bf16;
    config.zero.schedule =
        GetParam().layer_major ? ScheduleOption::kLayerMajor : ScheduleOption::kBatchMajor;
    config.gradient_checkpointing =
        GetParam().recompute ? CheckpointingOption::kFull : CheckpointingOption::kNone;
    resolve_auto(config);
    return config;
  }

  int64_t peak(const std::filesystem::path& folder, int64_t length) const {
    return plan_of(config(folder, length), 1).ranks[0].peak_bytes;
  }

  // Bytes that another 65,536 tokens cost: rows so long that the scratch of a block, which grows
  // with them, has left the head's chunk of logits behind.
  int64_t growth(int64_t vocab) const {
    const TempFolder folder;
    ModelSizes sizes;
    sizes.vocab = vocab;
    write_model_config(folder.path(), sizes);
    return peak(folder.path(), 2 << 16) - peak(folder.path(), 1 << 16);
  }
};

// A [T, T] buffer would make the second step of T cost more than the first one.
TEST_P(Structure, MemoryIsLinearInTheRowLength) {
  const TempFolder folder;
  write_model_config(folder.path(), {});
  const int64_t at1 = peak(folder.path(), 8192);
  const int64_t at2 = peak(folder.path(), 16384);
  const int64_t at3 = peak(folder.path(), 24576);
  EXPECT_GT(at2, at1);
  EXPECT_EQ(at3 - at2, at2 - at1);
}

// A [N, V] buffer would make a token cost more with a larger vocabulary.
TEST_P(Structure, TokensCostTheSameWithTenTimesTheVocabulary) {
  EXPECT_EQ(growth(1000), growth(10000));
}

// Rows of logits that are held at a time never take more than 64 MiB (or 16 rows) each in f32.
TEST(Head, ChunksAreBounded) {
  for (const int64_t vocab : {100, 1000, 32000, 128256, 1000000}) {
    const int64_t rows = Transformer::head_chunk_rows(vocab);
    EXPECT_LE(rows, 256);
    EXPECT_TRUE(rows == 16 || rows * vocab <= int64_t{16} << 20) << vocab;
  }
}

INSTANTIATE_TEST_SUITE_P(Plans, Structure,
                         ::testing::Values(Variant{"lora", false, false, false, false},
                                           Variant{"lora_recompute", false, true, false, false},
                                           Variant{"lora_layer_major", false, true, true, true},
                                           Variant{"full", true, false, false, false},
                                           Variant{"full_recompute", true, true, false, false}),
                         [](const auto& info) { return std::string(info.param.name); });

constexpr int64_t kLayers = 3;
constexpr int64_t kModules = 7;
constexpr int64_t kMicroBatches = 2;

// llama_tied (three blocks), two micro-batches of fewer targets than a chunk of the head.
ResolvedRun tied_run(const std::string& kind, int stage, int world, bool recompute) {
  const Golden golden("llama_tied");
  RunConfig config = golden.config(kind);
  config.zero.stage = stage;
  config.gradient_checkpointing =
      recompute ? CheckpointingOption::kFull : CheckpointingOption::kNone;
  return resolve_run(config, world);
}

TEST(StructureOfStep, LoraMakesWeightGradientsOfAdaptersOnly) {
  for (const bool recompute : {false, true}) {
    const ResolvedRun run = tied_run("lora", 0, 1, recompute);
    DryTrainer dry(run);
    dry.load();
    const auto sums = dry.step();
    // dA and dB of every adapted layer.
    EXPECT_EQ(count_of(sums, "linear_backward_weight"), kMicroBatches * kLayers * kModules * 2);
    // And they are written, nothing larger: 4 bytes for each trained element.
    EXPECT_EQ(sums.at("linear_backward_weight").bytes_written,
              kMicroBatches * run.spec.trainable_parameters() * 4);
  }
}

TEST(StructureOfStep, LoraMakesInputGradientsOnlyWhereSomethingBelowTrains) {
  const ResolvedRun run = tied_run("lora", 0, 1, false);
  DryTrainer dry(run);
  dry.load();
  const auto sums = dry.step();
  // A layer: dy W, dy B and g A for each module. In the first block nothing below q, k and v
  // trains, so their dy W and g A are left out. The head has one.
  const int64_t expected = kLayers * kModules * 3 - 2 * 3 + 1;
  EXPECT_EQ(count_of(sums, "linear_backward_input"), kMicroBatches * expected);
  EXPECT_EQ(count_of(sums, "embedding_backward"), 0);
}

TEST(StructureOfStep, FullTrainingMakesEachWeightGradientOnce) {
  const ResolvedRun run = tied_run("full", 0, 1, false);
  DryTrainer dry(run);
  dry.load();
  const auto sums = dry.step();
  EXPECT_EQ(count_of(sums, "linear_backward_weight"), kMicroBatches * (kLayers * kModules + 1));
}

TEST(StructureOfStep, RecomputationRepeatsBlocksAndNotTheHead) {
  const ResolvedRun plain = tied_run("full", 0, 1, false);
  const ResolvedRun again = tied_run("full", 0, 1, true);
  DryTrainer dry_plain(plain);
  DryTrainer dry_again(again);
  dry_plain.load();
  dry_again.load();
  const auto once = dry_plain.step();
  const auto twice = dry_again.step();
  EXPECT_EQ(count_of(twice, "attention_forward"), 2 * count_of(once, "attention_forward"));
  EXPECT_EQ(count_of(twice, "cross_entropy"), count_of(once, "cross_entropy"));
  // Each block again but its last product, whose output nobody reads.
  EXPECT_EQ(count_of(twice, "linear_forward") - count_of(once, "linear_forward"),
            kMicroBatches * kLayers * (kModules - 1));
}

TEST(StructureOfStep, ResidentFrozenWeightsArePreparedOnceAtLoad) {
  for (const int stage : {0, 2}) {
    const ResolvedRun run = tied_run("lora", stage, 2, false);
    DryTrainer dry(run);
    EXPECT_EQ(count_of(dry.load(), "prepare_weight"), kLayers * kModules + 1);  // and the head
    EXPECT_EQ(count_of(dry.step(), "prepare_weight"), 0);
  }
  // What trains, or is gathered into slots, is used as it is.
  for (const auto& [kind, stage] : {std::pair("full", 0), std::pair("lora", 3)}) {
    const ResolvedRun run = tied_run(kind, stage, 2, false);
    DryTrainer dry(run);
    EXPECT_EQ(count_of(dry.load(), "prepare_weight"), 0);
    EXPECT_EQ(count_of(dry.step(), "prepare_weight"), 0);
  }
}

int64_t file_bytes(const std::filesystem::path& file) {
  const SafetensorsFile tensors(file);
  int64_t bytes = 0;
  for (const TensorEntry& entry : tensors.entries()) bytes += entry.bytes;
  return bytes;
}

TEST(StructureOfStep, ShardedRanksReadTheFilesOnceTogether) {
  for (const char* model : {"llama_tied", "llama_untied"}) {
    const Golden golden(model);
    for (const char* kind : {"lora", "full"}) {
      int64_t whole = file_bytes(golden.folder / "model.safetensors");
      if (std::string(kind) == "lora") {
        whole += file_bytes(golden.folder / "adapter" / "adapter_model.safetensors");
      }
      for (const int world : {1, 2, 3, 4}) {
        SCOPED_TRACE(std::string(model) + " " + kind + " world " + std::to_string(world));
        RunConfig config = golden.config(kind);
        config.zero.stage = 3;
        const ResolvedRun run = resolve_run(config, world);
        std::mutex mutex;
        int64_t together = 0;
        run_ranks(world, [&](TestRank& self) {
          Trainer trainer(run.spec, run.trainer, self.context());
          RunWeights weights(run);
          trainer.load(&weights.source());
          // A shard of each unit, padding included, is the most that anybody keeps.
          int64_t share = 0;
          for (int unit = 0; unit < trainer.partition().num_units(); ++unit) {
            const UnitPartition& partition = trainer.partition().unit(unit);
            share += partition.frozen_shard_bytes + partition.trainable_shard_elements * 4;
          }
          EXPECT_LE(weights.bytes_read(), share);
          std::lock_guard lock(mutex);
          together += weights.bytes_read();
        });
        EXPECT_EQ(together, whole);
      }
    }
  }
}

}  // namespace
}  // namespace athanor::testing
